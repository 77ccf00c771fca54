"""A game and an agent whose every move the test decides, for what must be exact to the turn."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np

from gtr.config import TaskConfig
from gtr.tasks.reply import write
from gtr.tasks.task import Task
from gtr.types import Expert, Observation, Parsed, Prompt, Reply, Truth


class CountEnv(gymnasium.Env[np.ndarray, int]):
    """Counts its steps. Action 0 earns the count, 1 ends the episode with a win, 2 cuts it, 3 breaks the game."""

    observation_space = gymnasium.spaces.Box(0, 255, (8, 8, 3), np.uint8)
    action_space = gymnasium.spaces.Discrete(4)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.start = int(self.np_random.integers(1000))
        self.count = 0
        return self.look()

    def look(self) -> tuple[np.ndarray, dict[str, Any]]:
        image = np.full((8, 8, 3), self.count % 256, np.uint8)
        image[0, 0] = self.start % 256
        return image, {"count": self.count, "start": self.start, "success": False}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        if action == 3:
            raise RuntimeError("the game broke")
        self.count += 1
        image, info = self.look()
        info["success"] = action == 1
        return image, float(self.count), action == 1, action == 2, info


class CountTask(Task):
    """``{"thoughts": "fine", "action": "go"}``: a thought is right when it says "fine"."""

    name = "count"
    max_turns = 6
    words: Mapping[str, int] = {"go": 0, "win": 1, "cut": 2, "break": 3}

    def __init__(self, config: TaskConfig | None = None) -> None:
        super().__init__(config or TaskConfig(name="count"))

    def make_env(self) -> CountEnv:
        return CountEnv()

    def observe(self, image: np.ndarray, info: Mapping[str, Any]) -> Observation:
        return Observation(image, {"count": str(info["count"]), "start": str(info["start"])})

    def prompt(self, observation: Observation) -> str:
        return f"{observation.words['start']} {observation.words['count']}"

    def actions(self, observation: Observation) -> Sequence[str]:
        return ("go", "win")

    def to_env(self, action: str, observation: Observation) -> int | None:
        return self.words.get(action)

    def expert(self, truth: Truth, target: str | None = None) -> Expert | None:
        return Expert({"thoughts": "fine"}, "go", target or f"from {truth.state['count']}")

    def check(self, truth: Truth, parsed: Parsed, target: str | None) -> Mapping[str, bool]:
        return {"step": parsed.fields.get("thoughts") == "fine"}

    def plan_reachable(self, truth: Truth, target: str | None) -> bool:
        return bool(truth.state["count"] != 2)


def say(action: str, thought: str = "fine") -> str:
    return write({"thoughts": thought}, action)


def count_of(prompt: Prompt) -> int:
    return int(prompt.text.split()[1])


class Scripted:
    """Answers what a function of the prompt and the number of calls so far says; values a prompt by its count."""

    def __init__(self, answer: Callable[[Prompt, int], str]) -> None:
        self.answer = answer
        self.calls = 0

    def generate(self, prompts: Sequence[Prompt], greedy: bool = False) -> list[Reply]:
        texts = [self.answer(prompt, self.calls) for prompt in prompts]
        self.calls += 1
        values = self.values(prompts)
        return [Reply(t, (1,), (-0.5,), True, v) for t, v in zip(texts, values, strict=True)]

    def values(self, prompts: Sequence[Prompt]) -> list[float]:
        return [100.0 + count_of(prompt) for prompt in prompts]

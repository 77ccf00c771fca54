"""The game on which gtr is timed beside a peer: name the number of dots, so many times an episode. Imports no torch."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import gymnasium
import numpy as np
from annotated_types import Ge, Le
from PIL import Image as Pictures
from PIL import ImageDraw

from gtr.config import TaskConfig
from gtr.tasks.task import Task
from gtr.types import Image, Observation

ANSWERS = ("1", "2", "3", "4")
ASKED = 'How many dots? Answer {"dots": number, "thoughts": "next <number>", "action": "<number>"}'
SIZE = 96


def prompt(digits: int) -> str:
    """The question behind so many digits, which stand for the rules of a longer game; the same in every turn."""
    drawn = random.Random(1)
    return " ".join(f"{drawn.randrange(10)}+" for _ in range(digits)) + ASKED


class StepsEnv(gymnasium.Env[Image, np.int64]):
    """One to four dots, drawn anew `steps` times; +1 for each right answer."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.observation_space = gymnasium.spaces.Box(0, 255, (SIZE, SIZE, 3), np.uint8)
        self.action_space = gymnasium.spaces.Discrete(len(ANSWERS))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Image, dict[str, Any]]:
        super().reset(seed=seed)
        self.played = 0
        return self._draw(), {"Dots": self.dots}

    def step(self, action: int | np.int64) -> tuple[Image, float, bool, bool, dict[str, Any]]:
        right, self.played = int(action) + 1 == self.dots, self.played + 1
        return self._draw(), float(right), self.played >= self.steps, False, {"Dots": self.dots, "success": right}

    def _draw(self) -> Image:
        self.dots = int(self.np_random.integers(1, len(ANSWERS) + 1))
        canvas, cell = Pictures.new("RGB", (SIZE, SIZE), "white"), SIZE / 3
        draw = ImageDraw.Draw(canvas)
        for column, row in (divmod(int(index), 3) for index in self.np_random.permutation(9)[: self.dots]):
            x, y = (column + 0.2) * cell, (row + 0.2) * cell
            draw.ellipse((x, y, x + cell * 0.6, y + cell * 0.6), fill="navy")
        return np.array(canvas)


@dataclass(frozen=True)
class StepsSettings(TaskConfig):
    """Of the timed game."""

    steps: Annotated[int, Ge(1), Le(1000)] = 4
    """Turns of an episode."""
    digits: Annotated[int, Ge(0), Le(100_000)] = 0
    """Digits before the question."""


class StepsTask(Task):
    """Name the number of dots."""

    Settings = StepsSettings
    config: StepsSettings
    name = "steps"
    thought_keys = ("dots", "thoughts")
    max_turns = 1000

    def make_env(self) -> StepsEnv:
        return StepsEnv(self.config.steps)

    def observe(self, image: Image, info: Mapping[str, Any]) -> Observation:
        return Observation(image)

    def prompt(self, observation: Observation) -> str:
        return prompt(self.config.digits)

    def actions(self, observation: Observation) -> Sequence[str]:
        return ANSWERS

    def to_env(self, action: str, observation: Observation) -> int | None:
        return ANSWERS.index(action) if action in ANSWERS else None

"""Skeleton: bring the ball to the goal. Check it with ``gtr check``, train it with ``gtr train gtr --task``.

The first half is a plain gymnasium environment, the second half its words. Change one thing at a time and check again.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from PIL import Image as Pictures
from PIL import ImageDraw

from gtr.tasks.reply import announced
from gtr.tasks.task import Task
from gtr.types import Expert, Image, Observation, Parsed, Truth

SIDE = 3
MOVES = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}


class SkeletonEnv(gymnasium.Env[Image, np.int64]):
    """A ball on a board of 3 by 3 cells, numbered 1 to 9 row by row. +1 on the goal, else 0; walls stop a move."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.observation_space = gymnasium.spaces.Box(0, 255, (size, size, 3), np.uint8)
        self.action_space = gymnasium.spaces.Discrete(len(MOVES))
        self.ball = self.goal = (0, 0)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Image, dict[str, Any]]:
        """Draws two different cells."""
        super().reset(seed=seed)
        ball, goal = self.np_random.permutation(SIDE * SIDE)[:2]
        self.ball, self.goal = (int(ball) % SIDE, int(ball) // SIDE), (int(goal) % SIDE, int(goal) // SIDE)
        return self._picture(), self._info()

    def step(self, action: int | np.int64) -> tuple[Image, float, bool, bool, dict[str, Any]]:
        """Moves the ball by one cell."""
        across, down = list(MOVES.values())[int(action)]
        self.ball = min(max(self.ball[0] + across, 0), SIDE - 1), min(max(self.ball[1] + down, 0), SIDE - 1)
        won = self.ball == self.goal
        return self._picture(), float(won), won, False, self._info()

    def _info(self) -> dict[str, Any]:
        """What only the oracle may see, and whether the goal is reached."""
        return {"ball": self.ball, "goal": self.goal, "success": self.ball == self.goal}

    def _picture(self) -> Image:
        canvas = Pictures.new("RGB", (self.size, self.size), "white")
        draw, cell = ImageDraw.Draw(canvas), self.size / SIDE
        for (x, y), colour, shape in ((self.goal, "green", draw.rectangle), (self.ball, "crimson", draw.ellipse)):
            shape((x * cell + 4, y * cell + 4, (x + 1) * cell - 4, (y + 1) * cell - 4), fill=colour)
        return np.array(canvas)


class SkeletonTask(Task):
    """Bring the ball to the goal."""

    name = "skeleton"
    thought_keys: tuple[str, ...] = ("ball", "goal", "thoughts")
    reading_keys: tuple[str, ...] = ("ball", "goal")
    max_turns = 8

    def make_env(self) -> SkeletonEnv:
        """The environment, its picture as large as the settings say."""
        return SkeletonEnv(self.config.image_size)

    def observe(self, image: Image, info: Mapping[str, Any]) -> Observation:
        """The picture alone: nothing of `info`, which holds the answer."""
        return Observation(image)

    def prompt(self, observation: Observation) -> str:
        """The rules, and the reply with its keys in order; a few words for tiny agents."""
        if self.config.prompt == "compact":
            return "move:"
        seen = {"ball": "cell", "goal": "cell", "thoughts": '"where to; end with: next <move>"'}
        return (
            "Bring the red ball to the green goal. Cells are numbered 1 to 9, row by row from the upper left.\n"
            + self.ask(seen, '"left, right, up or down"')
        )

    def actions(self, observation: Observation) -> Sequence[str]:
        """All moves, always."""
        return tuple(MOVES)

    def to_env(self, action: str, observation: Observation) -> int | None:
        """The number of a move."""
        return list(MOVES).index(action) if action in MOVES else None

    def expert(self, truth: Truth, target: str | None = None) -> Expert | None:
        """A shortest way; None where nothing is left to do."""
        if not (moves := _closer(truth)):
            return None
        thought = {**_seen(truth), "thoughts": f"next {moves[0]}"}
        return Expert({key: thought[key] for key in self.thought_keys}, moves[0])

    def check(self, truth: Truth, parsed: Parsed, target: str | None) -> Mapping[str, bool]:
        """Whether both cells are read right, and the announced move comes closer."""
        if not self.thought_keys:
            return {}
        seen = {key: parsed.fields.get(key) for key in self.reading_keys}
        return {"perception": seen == _seen(truth), "step": self.stated_plan(truth, parsed) is not None}

    def stated_plan(self, truth: Truth, parsed: Parsed) -> str | None:
        """The announced move, if it comes closer."""
        move = announced(parsed.fields.get("thoughts"), MOVES)
        return move if move in _closer(truth) else None

    def implied_action(self, parsed: Parsed, observation: Observation) -> str | None:
        """The move after the thought's last "next"."""
        return announced(parsed.fields.get("thoughts"), MOVES)

    def visual_labels(self, truth: Truth) -> tuple[int, ...]:
        """Both cells, as the picture shows them."""
        return tuple(_seen(truth).values())


def _seen(truth: Truth) -> dict[str, int]:
    """The numbers of both cells, 1 to 9."""
    return {key: truth.state[key][1] * SIDE + truth.state[key][0] + 1 for key in ("ball", "goal")}


def _closer(truth: Truth) -> list[str]:
    """The moves that come closer to the goal."""
    (x, y), (to_x, to_y) = truth.state["ball"], truth.state["goal"]
    return [move for move, (across, down) in MOVES.items() if across * (to_x - x) > 0 or down * (to_y - y) > 0]

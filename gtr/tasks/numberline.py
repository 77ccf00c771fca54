"""NumberLine: move the current number to the target by steps of one.

Rewards as in gym_cards: +1 on reaching the target, -1 for a move that does not come closer, else 0. An episode is
truncated after twice the line's length. A start is never the target itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

import gymnasium
import numpy as np
from annotated_types import Ge, Le

from gtr.config import TaskConfig
from gtr.errors import TaskError
from gtr.tasks.cards import Table, check_size, look_of
from gtr.tasks.defaults import Published, Tiny
from gtr.tasks.looks import CardSettings, CardTask
from gtr.tasks.pictured import PictureEnv
from gtr.tasks.reply import announced
from gtr.tasks.task import CorrectorSpec
from gtr.tasks.variety import drawn
from gtr.types import Expert, Image, Observation, Parsed, Truth

MOVES = ("-", "+")
MAX_POSITION = 5


class NumberLineEnv(PictureEnv[np.int64]):
    """Numbers 0..max_position. Observation: an RGB picture that says target and current. Actions: 0 down, 1 up.

    ``reset(options={"target": 4, "current": 1})`` starts from a state. `info` has ``Target``, ``Current``, ``success``.
    """

    options = ("target", "current")

    def __init__(
        self,
        image_size: int = 300,
        deck: str = "classic",
        max_position: int = MAX_POSITION,
        max_turns: int | None = None,
        starts: str = "uniform",
        render_mode: str | None = None,
        variety: bool = False,
    ) -> None:
        super().__init__(check_size(image_size), gymnasium.spaces.Discrete(len(MOVES)), render_mode)
        self.look, self.variety = look_of(deck), variety
        if max_position < 1:
            raise TaskError(f"max_position={max_position}: the line needs at least the numbers 0 and 1")
        if starts == "shifted" and max_position < 2:
            raise TaskError(f"starts={starts!r}: max_position is {max_position}, and a shifted target needs 2 or more")
        self.max_position, self.starts = max_position, starts
        self.max_turns = max_turns or 2 * max_position
        self.target = self.current = self.turns = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Image, dict[str, Any]]:
        """Draws two different numbers, or takes those of ``options``."""
        options = self.begin(seed, options)
        target, current = self._start(options.get("target"))
        self.target, self.current = target, int(options.get("current", current))
        for name, value in (("target", self.target), ("current", self.current)):
            if not 0 <= value <= self.max_position:
                raise TaskError(f"reset options: {name}={value} is not on the line 0..{self.max_position}")
        if self.target == self.current:
            raise TaskError(f"reset options: target and current are both {self.target}; nothing is left to play")
        self.turns = 0
        if self.variety:
            self.look = drawn(self.np_random.spawn(1)[0])
        return self._picture(), self._info()

    def _start(self, given: int | None) -> tuple[int, int]:
        """Target and current number: every pair alike, or as gym_cards draws them."""
        count = self.max_position + 1
        if self.starts == "shifted" and given is None:
            current, target = (int(number) for number in self.np_random.integers(0, count, 2))
            # Modulo the largest number, not the count: such a target is never the largest.
            return ((target + 1) % self.max_position if target == current else target), current
        first, step = self.np_random.integers(0, count), self.np_random.integers(1, count)
        target = int(first if given is None else given)
        return target, int((target + step) % count)

    def step(self, action: int | np.int64) -> tuple[Image, float, bool, bool, dict[str, Any]]:
        """Moves by one; moves off the line change nothing."""
        before = abs(self.target - self.current)
        self.current = min(max(self.current + (1 if int(action) == 1 else -1), 0), self.max_position)
        self.turns += 1
        after = abs(self.target - self.current)
        reward = 1.0 if after == 0 else 0.0 if after < before else -1.0
        return self._picture(), reward, after == 0, after != 0 and self.turns >= self.max_turns, self._info()

    def _info(self) -> dict[str, Any]:
        return {"Target": self.target, "Current": self.current, "success": self.target == self.current}

    def _picture(self) -> Image:
        table = Table(self.size, self.look)
        for top, label, number in ((0.08, "Target:", self.target), (0.55, "Current:", self.current)):
            table.text(label, int(self.size * 0.06), int(self.size * (top + 0.13)), int(self.size * 0.13))
            table.text(str(number), int(self.size * 0.66), int(self.size * top), int(self.size * 0.36))
        return table.image()


@dataclass(frozen=True)
class NumberLineSettings(CardSettings):
    """How long the line is."""

    max_position: Annotated[int, Ge(1), Le(99)] = MAX_POSITION
    """The largest number on the line, which begins at 0."""
    starts: Literal["uniform", "shifted"] = "uniform"
    """Every pair of different numbers alike; or two numbers, of which a target that equals the start is shifted by one
    (code: target 5 then has chance 5/36, target 1 7/36)."""


class NumberLineTask(CardTask):
    """NumberLine: bring the current number to the target by + and -."""

    Settings: ClassVar[type[TaskConfig]] = NumberLineSettings
    published = Published(turns_per_update=512, updates=30, reference={"starts": "shifted"})
    tiny = Tiny(sft_target=0.3)
    config: NumberLineSettings
    name = "numberline"
    thought_keys: tuple[str, ...] = ("target", "current", "thoughts")
    reading_keys: tuple[str, ...] = ("target", "current")

    words = MOVES

    def __init__(self, config: NumberLineSettings) -> None:
        self.max_turns = 2 * config.max_position
        super().__init__(config)

    def make_env(self) -> NumberLineEnv:
        """The environment with this task's settings."""
        config = self.config
        length, variety = config.max_position, config.variety
        return NumberLineEnv(config.image_size, config.deck, length, self.max_turns, config.starts, variety=variety)

    def strict(self) -> TaskConfig:
        """Every start alike."""
        return replace(self.config, illegal="penalise", starts="uniform")

    def prompt(self, observation: Observation) -> str:
        """Rules and reply format, or one word."""
        if self.config.prompt == "compact":
            return "move:"
        fields = {
            "target": "the target number in the picture",
            "current": "the current number in the picture",
            "thoughts": '"compare them; end with: the next action is ..."',
        }
        return (
            "The picture shows a target number and a current number. Bring the current number to the target: each turn "
            "you add one (+) or subtract one (-).\n" + self.ask(fields, '"+" or "-"')
        )

    def expert(self, truth: Truth, target: str | None = None) -> Expert | None:
        """Moves towards the target; there is no longer plan to keep."""
        goal, current = truth.state["Target"], truth.state["Current"]
        if goal == current:
            return None
        move = _towards(truth)
        side = "below" if move == "+" else "above"
        sentence = f"{current} is {side} {goal}, so the next action is {move}"
        said = f"next {move}" if self.config.prompt == "compact" else sentence
        fields = {"target": goal, "current": current, "thoughts": said}
        return Expert({key: fields[key] for key in self.thought_keys}, move)

    def check(self, truth: Truth, parsed: Parsed, target: str | None) -> Mapping[str, bool]:
        """Whether both numbers are read right and the announced move comes closer."""
        if not self.thought_keys:
            return {}
        read = [parsed.fields.get("target"), parsed.fields.get("current")]
        shown = [truth.state["Target"], truth.state["Current"]]
        return {
            "perception": [str(number) for number in read] == [str(number) for number in shown],
            "step": announced(parsed.fields.get("thoughts"), MOVES) == _towards(truth),
        }

    def stated_plan(self, truth: Truth, parsed: Parsed) -> str | None:
        """The announced move, if it comes closer."""
        move = announced(parsed.fields.get("thoughts"), MOVES)
        return move if move == _towards(truth) else None

    def corrector_spec(self) -> CorrectorSpec:
        """The rules and the check questions."""
        rules = (
            "The picture shows a target number and a current number. Each turn the player adds one (+) or subtracts "
            "one (-); every move must bring the current number closer to the target. A right thought states both "
            'numbers and ends by announcing the move, in words that end with "next action is +" or "next action is -".'
        )
        questions = {
            "perception": "Are both stated numbers, target and current, those in the picture?",
            "step": "Does the announced move bring the current number closer to the target?",
        }
        types = {key: str if key == "thoughts" else int for key in self.thought_keys}
        return CorrectorSpec(rules, questions, types)

    def validate_correction(self, observation: Observation, thought: Mapping[str, Any]) -> str | None:
        """Whether the numbers and the announced move fit one another."""
        goal, current = int(thought.get("target", 0)), int(thought.get("current", 0))
        if goal == current:
            return "target and current must differ, or the game would be over"
        due = "+" if current < goal else "-"
        if announced(thought.get("thoughts"), MOVES) == due:
            return None
        return f'from {current} to {goal} the thoughts must end with "next action is {due}"'

    def state_key(self, truth: Truth) -> str:
        """Target and current."""
        return f"{truth.state['Target']} {truth.state['Current']}"

    def visual_labels(self, truth: Truth) -> tuple[int, ...]:
        """Target and current as the picture shows them."""
        return truth.state["Target"], truth.state["Current"]


def _towards(truth: Truth) -> str:
    return "+" if truth.state["Current"] < truth.state["Target"] else "-"

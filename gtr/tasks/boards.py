"""Games on a board of cells in which something is moved left, down, right or up: their words are alike."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from gtr.tasks.looks import ChoiceTask
from gtr.tasks.reply import announced
from gtr.tasks.task import CorrectorSpec
from gtr.types import Expert, Observation, Parsed, Truth

Cell = tuple[int, int]
"""Row and column, from 0 at the upper left."""
MOVES: Mapping[str, Cell] = {"left": (0, -1), "down": (1, 0), "right": (0, 1), "up": (-1, 0)}
"""Rows and columns that a move goes, in the order of gymnasium's actions."""


class BoardTask(ChoiceTask):
    """A board game: a subclass says what is to be seen, which moves are good, and the rules."""

    fields: Mapping[str, tuple[type, str]]
    """What a thought says it sees: by key its type, and what it is, in words. Cells are numbered row by row from 1."""
    words = tuple(MOVES)

    def __init__(self, config: Any) -> None:
        self.reading_keys = tuple(self.fields)
        self.thought_keys = (*self.reading_keys, "thoughts")
        super().__init__(config)

    @abstractmethod
    def told(self) -> str:
        """The rules, as the prompt tells them."""

    @abstractmethod
    def shown(self, truth: Truth) -> dict[str, Any]:
        """What the picture shows, by the keys of `fields`."""

    @abstractmethod
    def good_moves(self, truth: Truth) -> Sequence[str]:
        """The moves that lie on a shortest way to the goal; none where nothing helps, or nothing is left to do."""

    def prompt(self, observation: Observation) -> str:
        """Rules and reply format, or one word."""
        if self.config.prompt == "compact":
            return "move:"
        said = {key: f"[{words}]" if kind is not int else words for key, (kind, words) in self.fields.items()}
        said["thoughts"] = '"which way, and why; end with: the next move is ..."'
        return f"{self.told()}\n" + self.ask(said, '"left", "down", "right" or "up"')

    def expert(self, truth: Truth, target: str | None = None) -> Expert | None:
        """The first move of a shortest way."""
        if not (moves := self.good_moves(truth)):
            return None
        said = (
            f"next {moves[0]}" if self.config.prompt == "compact" else f"the shortest way: the next move is {moves[0]}"
        )
        thought = {**self.shown(truth), "thoughts": said}
        return Expert({key: thought[key] for key in self.thought_keys}, moves[0])

    def check(self, truth: Truth, parsed: Parsed, target: str | None) -> Mapping[str, bool]:
        """Whether all cells are read right, and the announced move lies on a shortest way."""
        if not self.thought_keys:
            return {}
        seen = {key: _cells(parsed.fields.get(key)) for key in self.reading_keys}
        shown = {key: _cells(value) for key, value in self.shown(truth).items()}
        return {"perception": seen == shown, "step": self.stated_plan(truth, parsed) is not None}

    def stated_plan(self, truth: Truth, parsed: Parsed) -> str | None:
        """The announced move, if it is a good one."""
        move = announced(parsed.fields.get("thoughts"), MOVES)
        return move if move in self.good_moves(truth) else None

    def corrector_spec(self) -> CorrectorSpec:
        """The rules and the check questions."""
        stated = "; ".join(words for _, words in self.fields.values())
        rules = f"{self.told()} A right thought states {stated}, and ends with a move, as in: the next move is left."
        questions = {
            "perception": f"Is everything stated as in the picture: {stated}?",
            "step": "Does the announced move lie on a shortest way to the end of the game?",
        }
        types = {**{key: kind for key, (kind, _) in self.fields.items()}, "thoughts": str}
        return CorrectorSpec(rules, questions, {key: types[key] for key in self.thought_keys})


def _cells(value: object) -> list[str]:
    """Stated cells in any order, each as a text."""
    return sorted(map(str, value)) if isinstance(value, list) else [str(value)]

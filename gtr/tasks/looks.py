"""Games that are drawn in one of the looks of `gtr.tasks.cards`, which evaluations may change."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from gtr.config import TaskConfig
from gtr.tasks.cards import Deck
from gtr.tasks.reply import announced
from gtr.tasks.task import Task
from gtr.types import Image, Observation, Parsed


@dataclass(frozen=True)
class DeckSettings(TaskConfig):
    """Settings of a game that is drawn in a look of its own."""

    deck: Deck = "classic"
    """How the cards, or whatever is drawn, look; another deck at evaluation is the "new look" split."""


class DeckTask(Task):
    """A game with several looks."""

    Settings: ClassVar[type[TaskConfig]] = DeckSettings
    splits: ClassVar[tuple[str, ...]] = ("same", "new-look")
    config: DeckSettings

    def for_split(self, split: str) -> TaskConfig:
        """``new-look`` shows another deck."""
        if split == "new-look":
            return replace(self.config, deck=other_deck(self.config.deck))
        return super().for_split(split)


def other_deck(deck: Deck) -> Deck:
    """The deck of the new look."""
    return "dark" if deck != "dark" else "sketch"


OF_THE_STARTS = ("variety", "first_hand")
"""Settings of how a game begins."""


@dataclass(frozen=True)
class CardSettings(DeckSettings):
    """Settings of a game of cards, or of numbers written as on cards."""

    variety: bool = False
    """Draw colours, letters, sizes and places anew for every episode, so that agents learn to read more than one deck;
    `deck` is then that of no episode, but the "new look" split shows a deck as it is, which no episode had."""


class ChoiceTask(DeckTask):
    """A game seen as a picture alone in which the same words are moves, always: the rules, not the task, punish one."""

    words: Sequence[str]
    """In the order of the environment's actions."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.make_env()

    def observe(self, image: Image, info: Mapping[str, Any]) -> Observation:
        """The picture alone."""
        return Observation(image)

    def actions(self, observation: Observation) -> Sequence[str]:
        """All of them."""
        return self.words

    def to_env(self, action: str, observation: Observation) -> int | None:
        """The index of a word, in any case of letters."""
        return self.words.index(action.lower()) if action.lower() in self.words else None

    def implied_action(self, parsed: Parsed, observation: Observation) -> str | None:
        """The word named after the last "next" of the thoughts."""
        return announced(parsed.fields.get("thoughts"), self.words)


class CardTask(ChoiceTask):
    """A game of cards."""

    Settings: ClassVar[type[TaskConfig]] = CardSettings
    config: CardSettings

    def for_split(self, split: str) -> TaskConfig:
        """``new-look`` shows one deck, always alike."""
        if split == "new-look":
            return replace(self.config, deck=other_deck(self.config.deck), variety=False)
        return super().for_split(split)

    def rules(self) -> Mapping[str, Any]:
        """Without what a panel's start states and pictures tell."""
        return {key: value for key, value in super().rules().items() if key not in OF_THE_STARTS}

"""Games that are drawn in one of the looks of `gtr.tasks.cards`, which evaluations may change."""

from dataclasses import dataclass, replace
from typing import ClassVar

from gtr.config import TaskConfig
from gtr.tasks.cards import Deck
from gtr.tasks.task import Task


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
            return replace(self.config, deck="dark" if self.config.deck != "dark" else "sketch")
        return super().for_split(split)

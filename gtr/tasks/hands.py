"""Which hands the point games deal: freely, as the reference environment does, or from a fixed set of solvable ones."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations_with_replacement
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Le

from gtr.errors import ConfigError, EmptySplitError, TaskError, nearest
from gtr.tasks.cards import RANKS
from gtr.tasks.looks import CardSettings
from gtr.tasks.solver import solvable

SUBSET_SEED = 24
FACES = ("ten", "rank")
"""How J, Q, K count: as 10, or as 11, 12, 13."""


@dataclass(frozen=True)
class Game:
    """The rules that tell the point games apart."""

    name: str
    goal: int
    """The value a formula must have."""
    cards: int
    symbols: tuple[str, ...]
    """What can be written beside numbers, in the order of the actions."""
    limit: int
    """Symbols that a formula may have, blanks included."""

    @property
    def operators(self) -> str:
        """The binary operations."""
        return "".join(symbol for symbol in self.symbols if symbol in "+-*/")


EZPOINTS = Game("ezpoints", goal=12, cards=2, symbols=("+", "*", "="), limit=5)
POINTS24 = Game("points24", goal=24, cards=4, symbols=("+", "-", "*", "/", "(", ")", "="), limit=20)


@dataclass(frozen=True)
class PointsSettings(CardSettings):
    """A point game: which hands are dealt and what cards count."""

    faces: Literal["ten", "rank"] = "ten"
    """J, Q, K count 10, or 11, 12, 13 (the "new rules" split)."""
    hands: Annotated[int, Ge(1), Le(1362)] | None = None
    """Number of distinct hands in play, the difficulty knob; None deals freely, unsolvable hands included (code)."""
    first_hand: Annotated[int, Ge(0), Le(1361)] = 0
    """Number of the first of `hands` in a fixed shuffle of all solvable ones; the "new hands" split takes as many from
    those that follow."""
    order: Literal["shuffled", "sorted"] = "shuffled"
    """How the cards of a hand from a set of `hands` lie: in random order, or ascending."""
    loopholes: bool = False
    """Accept what the reference environment accepts by accident: **, // and glued digits in formulas."""


def largest(faces: str) -> int:
    """The largest number a card can count."""
    if faces not in FACES:
        raise TaskError(f"faces={faces!r}: {nearest(faces, FACES)}")
    return 10 if faces == "ten" else 13


def counted(ranks: Sequence[int], faces: str) -> list[int]:
    """What cards of ranks 1..13 count.

    >>> counted([1, 11, 13], "ten"), counted([1, 11, 13], "rank")
    ([1, 10, 10], [1, 11, 13])
    """
    return [min(rank, largest(faces)) for rank in ranks]


def stated_value(card: object, faces: str) -> int:
    """What a card counts that a thought states by number or by rank letter; -1 for what is no card.

    >>> stated_value("J", "ten"), stated_value("A", "ten"), stated_value("7", "ten"), stated_value(12, "rank")
    (10, 1, 7, 12)
    """
    if isinstance(card, str):
        face = card.strip().upper()
        card = RANKS.index(face) + 1 if face in RANKS else int(face) if re.fullmatch("[0-9]{1,2}", face) else -1
        return counted([card], faces)[0] if face in RANKS else card
    return card if isinstance(card, int) and not isinstance(card, bool) else -1


@lru_cache(maxsize=64)
def solvable_hands(game: Game, faces: str) -> tuple[tuple[int, ...], ...]:
    """Every multiset of card values that has a solution, in ascending order."""
    every = combinations_with_replacement(range(1, largest(faces) + 1), game.cards)
    return tuple(hand for hand in every if solvable(hand, game.goal, game.operators))


@lru_cache(maxsize=64)
def hand_set(game: Game, faces: str, count: int, first: int = 0) -> tuple[tuple[int, ...], ...]:
    """`count` solvable hands of a fixed shuffle from number `first` on, so that a smaller set is part of every larger
    one, and other parts are hands of the same kind that were never dealt."""
    known = solvable_hands(game, faces)
    if not 1 <= count <= len(known) - first:
        begun = f" from task.first_hand {first} on" if first else ""
        raise ConfigError(
            f"task.hands={count}: {game.name} with faces={faces} has 1 to {len(known) - first} solvable hands{begun}"
        )
    order = np.random.default_rng(SUBSET_SEED).permutation(len(known))
    return tuple(known[i] for i in order[first : first + count])


def new_hands(game: Game, settings: PointsSettings) -> PointsSettings:
    """The settings with hands of the same kind that were never dealt; EmptySplitError where there are none."""
    dealt = settings.hands or len(solvable_hands(game, settings.faces))
    left = len(solvable_hands(game, settings.faces)) - settings.first_hand - dealt
    if left < 1:
        raise EmptySplitError(
            f"--split new-hands: task.hands is {settings.hands}, which holds no hand back: give fewer"
        )
    return replace(settings, first_hand=settings.first_hand + dealt, hands=min(dealt, left))


def deal(
    rng: np.random.Generator, game: Game, faces: str, hands: int | None, shuffled: bool = True, first: int = 0
) -> list[int]:
    """Ranks 1..13 of a new hand, in the order of the picture.

    From a hand set, hands are equally likely, their cards lie in random order (ascending unless `shuffled`) and a 10
    is a ten, jack, queen or king alike where these count the same.
    """
    if hands is None:
        return _ez_hand(rng, faces) if game.cards == 2 else [int(rank) for rank in rng.integers(1, 14, game.cards)]
    known = hand_set(game, faces, hands, first)
    hand = [_face(rng, value, faces) for value in known[int(rng.integers(len(known)))]]
    return [hand[int(i)] for i in rng.permutation(len(hand))] if shuffled else hand


def _face(rng: np.random.Generator, value: int, faces: str) -> int:
    return int(rng.integers(10, 14)) if value == 10 and faces == "ten" else value


def _ez_hand(rng: np.random.Generator, faces: str) -> list[int]:
    """Two cards that make 12 by a sum or, half the time where it divides, by a product (always solvable)."""
    first = int(rng.integers(2, 14 if faces == "ten" else 13))
    value = counted([first], faces)[0]
    product = 12 % value == 0 and (value == 12 or rng.random() <= 0.5)
    hand = [first, 12 // value if product else 12 - value]
    return hand[::-1] if rng.random() <= 0.5 else hand

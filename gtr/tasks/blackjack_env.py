"""The environment Blackjack: gymnasium's Blackjack-v1 as a picture.

Cards come from an infinite deck; the dealer draws to 17 and shows one card. On equal seeds this plays exactly as
``gymnasium.make("Blackjack-v1")`` does, its rule included that two cards of 21 beat a longer 21, which gym_cards
never finds to hold (`natural_wins`). Suits and faces come from a generator of their own, so that looks cannot change
the game.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import gymnasium
import numpy as np

from gtr.errors import TaskError
from gtr.tasks.cards import BACK, RANKS, SUITS, Table, check_size, given, look_of, rank_of
from gtr.tasks.pictured import PictureEnv
from gtr.tasks.variety import drawn
from gtr.types import Image

MOVES = ("stand", "hit")
DECK = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 10, 10)
"""Values of the thirteen ranks; an ace is 1 or, where that does not bust, 11."""


class Card(NamedTuple):
    """One card as gym_cards lists it."""

    value: int
    """1..10, an ace 1."""
    face: str
    """``A``, ``2`` .. ``9``, ``10``, ``J``, ``Q``, ``K``."""
    suit: str

    @property
    def name(self) -> str:
        """The card's name for drawing, as in ``"HT"``."""
        return self.suit + self.face.replace("10", "T")


def total(values: Sequence[int]) -> int:
    """The best count of a hand: an ace counts 11 where that does not bust.

    >>> total([1, 6]), total([1, 6, 10])
    (17, 17)
    """
    return sum(values) + 10 * soft(values)


def soft(values: Sequence[int]) -> bool:
    """Whether an ace counts 11."""
    return 1 in values and sum(values) + 10 <= 21


class BlackjackEnv(PictureEnv[np.int64]):
    """Observation: an RGB picture of the dealer's face-up card and the player's hand. Actions: 0 stand, 1 hit.

    ``reset(options={"dealer": ["H6", "SK"], "player": ["DA", "C7"]})`` starts from given hands (names, or ranks 1..13;
    the dealer's second card may be left out). `info` has ``Dealer Card`` (both cards, the hidden one too),
    ``Player Card`` and ``success``. Rewards: +1 won, 0 drawn or going on, -1 lost.
    """

    options = ("dealer", "player")

    def __init__(
        self,
        image_size: int = 300,
        deck: str = "classic",
        natural_wins: bool = True,
        render_mode: str | None = None,
        variety: bool = False,
    ) -> None:
        super().__init__(check_size(image_size), gymnasium.spaces.Discrete(len(MOVES)), render_mode)
        self.look, self.variety, self.natural_wins = look_of(deck), variety, natural_wins
        self.dealer: list[Card] = []
        self.player: list[Card] = []
        self._looks = np.random.default_rng(0)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Image, dict[str, Any]]:
        """Deals two cards each, in gymnasium's order of draws."""
        options = self.begin(seed, options)
        self._looks = self.np_random.spawn(1)[0]
        values = [self._value() for _ in range(4)]
        self.dealer = [self._shown(values[0]), self._dressed(values[1])]
        self.player = [self._dressed(value) for value in values[2:]]
        if "dealer" in options:
            cards = [self._given(card) for card in options["dealer"]]
            if not 1 <= len(cards) <= 2:
                raise TaskError(f"reset options: the dealer starts with one or two cards, not {options['dealer']!r}")
            self.dealer = [*cards, self.dealer[1]][:2]
        if "player" in options:
            self.player = [self._given(card) for card in options["player"]]
            if len(self.player) < 2 or total(_values(self.player)) > 21:
                raise TaskError(f"reset options: {options['player']!r} is no start: give two or more cards up to 21")
        if self.variety:
            self.look = drawn(self.np_random.spawn(1)[0])
        return self._picture(), self._info()

    def step(self, action: int | np.int64) -> tuple[Image, float, bool, bool, dict[str, Any]]:
        """Takes a card, or lets the dealer play."""
        if int(action) == MOVES.index("hit"):
            self.player.append(self._dressed(self._value()))
            bust = total(_values(self.player)) > 21
            return self._picture(), -1.0 if bust else 0.0, bust, False, self._info()
        while total(_values(self.dealer)) < 17:
            self.dealer.append(self._dressed(self._value()))
        reward = self._outcome()
        return self._picture(), reward, True, False, self._info(reward > 0)

    def _outcome(self) -> float:
        player, dealer = _values(self.player), _values(self.dealer)
        if self.natural_wins and sorted(player) == [1, 10] and sorted(dealer) != [1, 10]:
            return 1.0
        mine, theirs = total(player), total(dealer)
        return float(theirs > 21 or mine > theirs) - float(mine < theirs <= 21)

    def _value(self) -> int:
        return int(self.np_random.choice(DECK))

    def _shown(self, value: int) -> Card:
        """The dealer's first card; gymnasium draws its looks from the game's own generator."""
        suit = str(self.np_random.choice(["C", "D", "H", "S"]))
        face = str(self.np_random.choice(["J", "Q", "K"])) if value == 10 else "A" if value == 1 else str(value)
        return Card(value, face, suit)

    def _dressed(self, value: int) -> Card:
        rank = int(self._looks.integers(10, 14)) if value == 10 else value
        return _card(rank, SUITS[int(self._looks.integers(len(SUITS)))])

    def _given(self, card: str | int) -> Card:
        name = given(card, self._looks)
        return _card(rank_of(name), name[0])

    def _info(self, success: bool = False) -> dict[str, Any]:
        return {"Dealer Card": list(self.dealer), "Player Card": list(self.player), "success": success}

    def _picture(self) -> Image:
        table = Table(self.size, self.look)
        label = max(8, int(self.size * 0.055))
        for top, words in ((0.01, "Dealer"), (0.51, "Player")):
            table.text(words, int(self.size * 0.03), int(self.size * top), label)
        table.row([self.dealer[0].name, BACK], int(self.size * 0.11), int(self.size * 0.49), 4)
        names = [card.name for card in self.player]
        rows = 1 if len(names) <= 6 else 2
        columns = max(4, -(-len(names) // rows))
        top, room = 0.61, 0.38 / rows
        for row in range(rows):
            upper, lower = (int(self.size * (top + edge * room)) for edge in (row, row + 1))
            table.row(names[row * columns : (row + 1) * columns], upper, lower, columns)
        return table.image()


def _card(rank: int, suit: str) -> Card:
    return Card(min(rank, 10), RANKS[rank - 1].replace("T", "10"), suit)


def _values(cards: Sequence[Card]) -> list[int]:
    return [card.value for card in cards]

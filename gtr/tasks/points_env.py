"""The environments EZPoints (12 from two cards) and Points24 (24 from four): write a formula symbol by symbol.

Every card must be used once. Rewards as in gym_cards: +10 for ``=`` after a right formula, -1 for ``=`` after any
other; -1 for a number that is not left on the cards, and a blank is appended to the formula; -1 when one more symbol
is written on a formula that is already too long. That last case ends the game here (`terminated`), as the limit is a
rule of the game that shows in the picture; gym_cards calls it truncated.
"""

from typing import Any, ClassVar

import gymnasium
import numpy as np

from gtr.errors import TaskError
from gtr.tasks.cards import Table, check_size, given, look_of, rank_of
from gtr.tasks.formulas import BLANK, FormulaError, Symbol, evaluate
from gtr.tasks.hands import EZPOINTS, POINTS24, Game, counted, deal, hand_set, largest
from gtr.tasks.pictured import PictureEnv
from gtr.tasks.variety import drawn
from gtr.types import Image

WIN, LOSS = 10.0, -1.0


class PointsEnv(PictureEnv[np.int64]):
    """One point game. Observation: an RGB picture of the cards with the formula below.

    Actions: the numbers 1..10 (1..13 where faces count their rank), then `game.symbols`, in gym_cards' order.
    ``reset(options={"cards": ["H2", "SK"], "formula": [2, "+"]})`` starts from a state; cards may also be ranks 1..13,
    and the formula may be left out. `info` has ``Cards``, ``Numbers``, ``Formula`` and ``success``.
    """

    game: ClassVar[Game]
    options = ("cards", "formula")

    def __init__(
        self,
        image_size: int = 300,
        deck: str = "classic",
        faces: str = "ten",
        hands: int | None = None,
        loopholes: bool = False,
        shuffled: bool = True,
        render_mode: str | None = None,
        variety: bool = False,
        first_hand: int = 0,
    ) -> None:
        self.words = action_words(self.game, faces)
        super().__init__(check_size(image_size), gymnasium.spaces.Discrete(len(self.words)), render_mode)
        self.look, self.variety = look_of(deck), variety
        self.faces = faces
        self.hands, self.first_hand = hands, first_hand
        if hands is not None:
            hand_set(self.game, faces, hands, first_hand)
        self.loopholes = loopholes
        self.shuffled = shuffled
        self.cards: list[str] = []
        self.numbers: list[int] = []
        self.formula: list[Symbol] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Image, dict[str, Any]]:
        """Deals a new hand, or starts from ``options``; TaskError for a state that cannot be."""
        options = self.begin(seed, options)
        hand = options.get("cards")
        if hand is None:
            hand = deal(self.np_random, self.game, self.faces, self.hands, self.shuffled, self.first_hand)
        if len(hand) != self.game.cards:
            raise TaskError(f"{self.game.name} is played with {self.game.cards} cards, not with {list(hand)!r}")
        self.cards = [given(card, self.np_random) for card in hand]
        self.numbers = counted([rank_of(card) for card in self.cards], self.faces)
        self.formula = []
        allowed = (*self.game.symbols[:-1], BLANK)
        for symbol in options.get("formula", ()):
            if not (self._left(symbol) if isinstance(symbol, int) else symbol in allowed):
                raise TaskError(f"formula {options['formula']!r}: {symbol!r} cannot be written with {self.numbers}")
            self.formula.append(symbol)
        if self.variety:
            self.look = drawn(self.np_random.spawn(1)[0])
        return self._picture(), self._info()

    def step(self, action: int | np.int64) -> tuple[Image, float, bool, bool, dict[str, Any]]:
        """Writes one symbol."""
        word = self.words[int(action)]
        symbol: Symbol = int(word) if word.isdecimal() else word
        if len(self.formula) > self.game.limit:
            return self._picture(), LOSS, True, False, self._info()
        if isinstance(symbol, int) and not self._left(symbol):
            self.formula.append(BLANK)
            return self._picture(), LOSS, False, False, self._info()
        if symbol == "=":
            won = self._right()
            return self._picture(), WIN if won else LOSS, True, False, self._info(won)
        self.formula.append(symbol)
        return self._picture(), 0.0, False, False, self._info()

    def _left(self, number: int) -> bool:
        return self.formula.count(number) < self.numbers.count(number)

    def _right(self) -> bool:
        """Whether all cards are used and the formula's value is the goal."""
        if sum(isinstance(symbol, int) for symbol in self.formula) != self.game.cards:
            return False
        try:
            return evaluate(self.formula, self.loopholes) == self.game.goal
        except FormulaError:
            return False

    def _info(self, success: bool = False) -> dict[str, Any]:
        return {
            "Cards": list(self.cards),
            "Numbers": list(self.numbers),
            "Formula": list(self.formula),
            "success": success,
        }

    def _picture(self) -> Image:
        table = Table(self.size, self.look)
        table.row(self.cards, int(self.size * 0.16), int(self.size * 0.77), self.game.cards)
        line = "Formula: " + " ".join(map(str, self.formula))
        table.text(line, int(self.size * 0.03), int(self.size * 0.85), max(8, int(self.size * 0.065)))
        return table.image()


class EZPointsEnv(PointsEnv):
    """12 from two cards with + and *, at most 5 symbols."""

    game = EZPOINTS


class Points24Env(PointsEnv):
    """24 from four cards with + - * / and brackets, at most 20 symbols."""

    game = POINTS24


def action_words(game: Game, faces: str) -> tuple[str, ...]:
    """The actions as an agent writes them, in the order of the environment's action space."""
    return (*(str(number) for number in range(1, largest(faces) + 1)), *game.symbols)

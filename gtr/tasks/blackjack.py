"""Blackjack in words, with the best possible play by exact dynamic programming over the infinite deck."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, ClassVar

from gtr.config import TaskConfig
from gtr.tasks.blackjack_env import DECK, MOVES, BlackjackEnv, soft, total
from gtr.tasks.cards import rank_of
from gtr.tasks.defaults import Published, Tiny
from gtr.tasks.hands import stated_value
from gtr.tasks.looks import CardSettings, CardTask
from gtr.tasks.reply import announced
from gtr.tasks.task import CorrectorSpec
from gtr.types import Expert, Observation, Parsed, Truth

LONGEST = 8
"""Player cards that `BlackjackTask.visual_labels` has places for."""


def best_move(values: Sequence[int], shown: int) -> str:
    """``hit`` or ``stand``, whichever has the larger expected reward; stand on a tie.

    >>> best_move([10, 6], 10), best_move([10, 6], 6)
    ('hit', 'stand')
    """
    points, ace = sum(values), 1 in values
    return "hit" if _hit(points, ace, shown) > _stand(points, ace, shown) else "stand"


@lru_cache(maxsize=4096)
def _dealer(points: int, ace: bool) -> dict[int, float]:
    """Chance of each final count of the dealer (0 for bust); an ace counts 1 in `points`."""
    count = points + 10 if ace and points + 10 <= 21 else points
    if count >= 17:
        return {count if count <= 21 else 0: 1.0}
    chances: dict[int, float] = {}
    for card in DECK:
        for final, chance in _dealer(points + card, ace or card == 1).items():
            chances[final] = chances.get(final, 0.0) + chance / len(DECK)
    return chances


@lru_cache(maxsize=4096)
def _stand(points: int, ace: bool, shown: int) -> float:
    count = points + 10 if ace and points + 10 <= 21 else points
    finals = _dealer(shown, shown == 1).items()
    return sum(chance * ((count > final) - (count < final)) for final, chance in finals)


@lru_cache(maxsize=4096)
def _hit(points: int, ace: bool, shown: int) -> float:
    """Expected reward of one card and best play from there."""
    worth = 0.0
    for card in DECK:
        now, has = points + card, ace or card == 1
        worth += -1.0 if now > 21 else max(_stand(now, has, shown), _hit(now, has, shown))
    return worth / len(DECK)


@dataclass(frozen=True)
class BlackjackSettings(CardSettings):
    """Rules of the table."""

    natural_wins: bool = True
    """Whether an ace and a ten beat a dealer's 21 of more cards, as in gymnasium, or draw with it (code)."""


class BlackjackTask(CardTask):
    """Blackjack: hit or stand against the dealer's open card."""

    Settings: ClassVar[type[TaskConfig]] = BlackjackSettings
    config: BlackjackSettings
    published = Published(turns_per_update=512, updates=30, reference={"natural_wins": False})
    tiny = Tiny(sft_target=0.3)

    name = "blackjack"
    thought_keys: tuple[str, ...] = ("dealer", "player", "thoughts")
    reading_keys: tuple[str, ...] = ("dealer", "player")
    max_turns = 22
    words = MOVES

    def make_env(self) -> BlackjackEnv:
        """The environment with this task's settings."""
        config = self.config
        return BlackjackEnv(config.image_size, config.deck, config.natural_wins, variety=config.variety)

    def strict(self) -> TaskConfig:
        """By gymnasium's rules."""
        return replace(self.config, illegal="penalise", natural_wins=True)

    def prompt(self, observation: Observation) -> str:
        """Rules and reply format, or one word."""
        if self.config.prompt == "compact":
            return "play:"
        fields = {
            "dealer": "the number of the dealer's open card",
            "player": "[the number of each of your cards]",
            "thoughts": '"your total, and what it calls for; end with: the next action is ..."',
        }
        return (
            "You play blackjack. The picture shows the dealer's open card and your own cards. Come closer to 21 than "
            "the dealer, who draws up to 17, without going over. J, Q and K count 10; A counts 1 or 11 (write 1).\n"
            + self.ask(fields, '"stand" or "hit"')
        )

    def expert(self, truth: Truth, target: str | None = None) -> Expert | None:
        """The move of largest expected reward, from what the picture shows: the hidden card is not used."""
        shown, hand = _seen(truth)
        move = best_move(hand, shown)
        count = f"{'soft' if soft(hand) else 'hard'} {total(hand)}"
        said = f"{count} next {move}" if self.config.prompt == "compact" else self._sentence(count, shown, move)
        fields = {"dealer": shown, "player": hand, "thoughts": said}
        return Expert({key: fields[key] for key in self.thought_keys}, move)

    def _sentence(self, count: str, shown: int, move: str) -> str:
        return f"I hold a {count} against the dealer's {shown}, so the next action is {move}"

    def check(self, truth: Truth, parsed: Parsed, target: str | None) -> Mapping[str, bool]:
        """Whether the cards are read right and the announced move is the best one."""
        if not self.thought_keys:
            return {}
        shown, hand = _seen(truth)
        stated = parsed.fields.get("player")
        cards = [_stated(card) for card in stated] if isinstance(stated, list) else []
        return {
            "perception": _stated(parsed.fields.get("dealer")) == shown and sorted(cards) == sorted(hand),
            "step": self.stated_plan(truth, parsed) is not None,
        }

    def stated_plan(self, truth: Truth, parsed: Parsed) -> str | None:
        """The announced move, if it is the best one."""
        shown, hand = _seen(truth)
        move = announced(parsed.fields.get("thoughts"), MOVES)
        return move if move == best_move(hand, shown) else None

    def corrector_spec(self) -> CorrectorSpec:
        """The rules, the check questions, and the exact best move as a tool."""
        rules = (
            "The picture shows the dealer's open card and the player's own cards. The player wants to come closer to "
            "21 than the dealer, who draws up to 17, without going over. J, Q and K count 10; A counts 1 or 11 and is "
            "written 1. A right thought states the dealer's card and the player's cards and ends by announcing the "
            'move with the larger expected reward, in words that end with "next action is hit" or "next action is '
            'stand".'
        )
        questions = {
            "perception": "Are the dealer's open card and all of the player's cards stated as in the picture?",
            "step": "Is the announced move the one with the larger expected reward?",
        }
        types = {"dealer": int, "player": list[int], "thoughts": str}
        return CorrectorSpec(
            rules, questions, {key: types[key] for key in self.thought_keys}, "", (self.find_best_move,)
        )

    def find_best_move(self, dealer: int, player: list[int]) -> str:
        """The move with the larger expected reward, from the dealer's open card and the player's cards; an ace is 1."""
        if not player or not all(1 <= card <= 10 for card in (dealer, *player)):
            raise ValueError(f"every card must be a number from 1 to 10, not dealer {dealer}, player {player}")
        return best_move(player, dealer)

    def validate_correction(self, observation: Observation, thought: Mapping[str, Any]) -> str | None:
        """Whether the cards and the announced move fit one another."""
        dealer, player = _stated(thought.get("dealer")), [_stated(card) for card in thought.get("player", ())]
        if not player or not all(1 <= card <= 10 for card in (dealer, *player)):
            return f"the cards must be numbers from 1 to 10, not dealer {dealer}, player {player}"
        due = best_move(player, dealer)
        if announced(thought.get("thoughts"), MOVES) == due:
            return None
        return f'with {player} against {dealer} the thoughts must end with "next action is {due}"'

    def state_key(self, truth: Truth) -> str:
        """The dealer's open card and the player's values in ascending order."""
        shown, hand = _seen(truth)
        return f"{shown} {sorted(hand)}"

    def visual_labels(self, truth: Truth) -> tuple[int, ...] | None:
        """Ranks 1..13 of the dealer's open card and the player's cards, padded with 0 to 1 + `LONGEST` places.

        None for the rare longer hand.
        """
        cards = [truth.state["Dealer Card"][0], *truth.state["Player Card"]]
        if len(cards) > 1 + LONGEST:
            return None
        ranks = [rank_of(card.name) for card in cards]
        return (*ranks, *[0] * (1 + LONGEST - len(ranks)))


def _seen(truth: Truth) -> tuple[int, list[int]]:
    """The values in the picture: the dealer's open card and the player's cards."""
    return truth.state["Dealer Card"][0][0], [card[0] for card in truth.state["Player Card"]]


def _stated(card: object) -> int:
    """A stated card's value; an ace may be written 1, 11 or A."""
    value = stated_value(card, "ten")
    return 1 if value == 11 else value

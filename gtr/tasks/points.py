"""EZPoints and Points24 in words: what the agent is told, what it must state, and what a perfect player thinks.

The stated formula is a whole plan that begins as the current formula, written with a closing ``=``; ``=24`` or no
``=`` at all is read alike. The thoughts end by announcing the next symbol, as in "next (".
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from gtr.config import TaskConfig
from gtr.tasks.cards import rank_of
from gtr.tasks.completion import complete
from gtr.tasks.defaults import Published, Tiny
from gtr.tasks.formulas import BLANK, FormulaError, Symbol, evaluate, tokenise, written
from gtr.tasks.hands import EZPOINTS, POINTS24, Game, PointsSettings, largest, new_hands, stated_value
from gtr.tasks.looks import CardTask
from gtr.tasks.points_env import EZPointsEnv, Points24Env, PointsEnv, action_words
from gtr.tasks.reply import announced
from gtr.tasks.solver import solutions
from gtr.tasks.task import CorrectorSpec
from gtr.types import Expert, Image, Observation, Parsed, Truth

FACES = {"ten": "J, Q and K count as 10", "rank": "J, Q and K count as 11, 12 and 13"}
MANY = 40
"""Formulas that the corrector's tool lists at most."""


class PointsTask(CardTask):
    """A point game in words: state the cards, a whole formula, the next symbol, then write that symbol."""

    Settings: ClassVar[type[TaskConfig]] = PointsSettings
    splits = ("same", "new-hands", "new-look", "new-rules")
    published = Published(reference={"loopholes": True})
    config: PointsSettings
    thought_keys: tuple[str, ...] = ("cards", "formula", "thoughts")
    reading_keys: tuple[str, ...] = ("cards",)
    game: ClassVar[Game]
    env_class: ClassVar[type[PointsEnv]]

    def __init__(self, config: PointsSettings) -> None:
        self.name = self.game.name
        self.max_turns = self.game.limit + 2
        self.words = action_words(self.game, config.faces)
        super().__init__(config)

    def make_env(self) -> PointsEnv:
        """The environment with this task's settings."""
        config = self.config
        names = ("image_size", "deck", "faces", "hands", "first_hand", "loopholes", "variety")
        return self.env_class(**{name: getattr(config, name) for name in names}, shuffled=config.order == "shuffled")

    def for_split(self, split: str) -> TaskConfig:
        """``new-hands`` deals hands that were held back; ``new-rules`` counts face cards otherwise."""
        if split == "new-hands":
            return new_hands(self.game, self.config)
        if split == "new-rules":
            return replace(self.config, faces="rank" if self.config.faces != "rank" else "ten")
        return super().for_split(split)

    def observe(self, image: Image, info: Mapping[str, Any]) -> Observation:
        """The picture, and the formula so far as text."""
        return Observation(image, {"formula": written(info["Formula"])})

    def prompt(self, observation: Observation) -> str:
        """Rules, formula so far, symbols and reply format, or only the formula."""
        formula = observation.words["formula"]
        return f"formula: {formula}" if self.config.prompt == "compact" else self._rules(formula)

    def _rules(self, formula: str) -> str:
        game, faces = self.game, FACES[self.config.faces]
        fields = {
            "cards": "[the number of each card in the picture, from left to right]",
            "formula": f'"a whole formula worth {game.goal} that begins with the current one, closed by ="',
            "thoughts": '"which symbol follows the current formula in yours; end with: the next symbol is ..."',
        }
        return (
            f"The picture shows {game.cards} cards. Build a formula worth {game.goal} from them, one symbol a turn, "
            f"and use every card exactly once. A counts as 1; {faces}. Once the formula is complete, write =.\n"
            f"Current formula: {formula}\n"
            f"Symbols you may append: {' '.join(self.words)}\n" + self.ask(fields, '"the symbol to append"')
        )

    def expert(self, truth: Truth, target: str | None = None) -> Expert | None:
        """Follows `target` where it still can, else the best formula that begins as the current one."""
        plan = self._plan(truth, target)
        if plan is None:
            return None
        begun = _begun(truth)
        action = str((*plan, "=")[len(begun)])
        fields = {
            "cards": list(truth.state["Numbers"]),
            "formula": written(plan) + "=",
            "thoughts": self._thoughts(written(begun), action),
        }
        return Expert({key: fields[key] for key in self.thought_keys}, action, written(plan) + "=")

    def _thoughts(self, begun: str, action: str) -> str:
        if self.config.prompt == "compact":
            return f"next {action}"
        if action == "=":
            return f"The formula {begun} is complete, so the next symbol is ="
        state = f"The formula so far is {begun}" if begun else "Nothing is written yet"
        return f"{state}, so the next symbol is {action}"

    def _plan(self, truth: Truth, target: str | None) -> tuple[Symbol, ...] | None:
        """A formula that works from this state, by preference `target`, else the simplest canonical one."""
        begun = _begun(truth)
        numbers = truth.state["Numbers"]
        known = solutions(numbers, self.game.goal, self.game.operators)
        for text in known if target is None else (target, *known):
            plan = self._working(truth, text)
            if plan is not None:
                return plan
        return complete(numbers, self.game.goal, begun, self.game.operators, self._room(truth))

    def _room(self, truth: Truth) -> int:
        """Symbols that a formula may have once blanks are counted."""
        return self.game.limit - list(truth.state["Formula"]).count(BLANK)

    def _working(self, truth: Truth, text: object) -> tuple[Symbol, ...] | None:
        """The symbols of a written plan if it begins as the current formula, uses every card and makes the goal."""
        begun = _begun(truth)
        if not isinstance(text, str) or len(text) > 4 * self.game.limit:
            return None
        try:
            plan = tokenise(text)
            fits = plan[: len(begun)] == begun and len(plan) <= self._room(truth)
            used = sorted(symbol for symbol in plan if isinstance(symbol, int))
            legal = all(isinstance(symbol, int) or symbol in self.game.symbols for symbol in plan)
            works = fits and legal and used == sorted(truth.state["Numbers"]) and evaluate(plan) == self.game.goal
        except FormulaError:
            return None
        return plan if works else None

    def check(self, truth: Truth, parsed: Parsed, target: str | None) -> Mapping[str, bool]:
        """Whether cards, formula and announced symbol are right; any working formula is, not only `target`.

        Where the formula does not work, the announced symbol is right if some formula still works after it.
        """
        if not self.thought_keys:
            return {}
        plan = self._working(truth, parsed.fields.get("formula"))
        said = announced(parsed.fields.get("thoughts"), self.words)
        return {
            "perception": self._sees(truth, parsed.fields.get("cards")),
            "plan": plan is not None,
            "step": said is not None and self._good_step(truth, plan, said),
        }

    def _sees(self, truth: Truth, stated: object) -> bool:
        if not isinstance(stated, list) or len(stated) != self.game.cards:
            return False
        return sorted(stated_value(card, self.config.faces) for card in stated) == sorted(truth.state["Numbers"])

    def _good_step(self, truth: Truth, plan: tuple[Symbol, ...] | None, said: str) -> bool:
        begun = _begun(truth)
        if plan is not None:
            return said == str((*plan, "=")[len(begun)])
        if said == "=":
            return self._working(truth, written(begun)) is not None
        symbol: Symbol = int(said) if said.isdecimal() else said
        goal, operators = self.game.goal, self.game.operators
        return complete(truth.state["Numbers"], goal, (*begun, symbol), operators, self._room(truth)) is not None

    def stated_plan(self, truth: Truth, parsed: Parsed) -> str | None:
        """The stated formula, closed by ``=``, if it works from here."""
        plan = self._working(truth, parsed.fields.get("formula"))
        return None if plan is None else written(plan) + "="

    def plan_reachable(self, truth: Truth, target: str | None) -> bool:
        """Whether the formula so far can become `target`, or anything right where there is no target.

        An illegal number leaves the plan too: its blank spoils no formula, but no plan ever wanted it."""
        if BLANK in truth.state["Formula"]:
            return False
        if target is not None:
            return self._working(truth, target) is not None
        return self._plan(truth, None) is not None

    def strict(self) -> TaskConfig:
        """Without what the reference environment accepts by accident."""
        return replace(self.config, illegal="penalise", loopholes=False)

    def corrector_spec(self) -> CorrectorSpec:
        """The rules, the paper's check questions, and the solver as a tool."""
        game, faces = self.game, FACES[self.config.faces]
        rules = (
            f"The player builds a formula worth {game.goal} from the {game.cards} cards in the picture, one symbol a "
            f"turn, and must use every card exactly once. A counts as 1; {faces}. Symbols: {' '.join(self.words)}. "
            f"A complete formula is closed by =. Once a symbol is written it stays, so a formula must begin with what "
            f"is written already. A right thought states the {game.cards} numbers of the cards, a whole formula worth "
            f"{game.goal} that begins with the current one and ends with =, and ends by announcing the symbol that "
            f'follows the current formula in it, in words that end with "next symbol is X".'
        )
        questions = {
            "perception": "Do the stated cards match the cards in the picture?",
            "plan": f"Is the stated formula worth {game.goal}, made of exactly these cards, and does it begin with the "
            "current formula?",
            "step": "Is the announced symbol the one that follows the current formula in a correct formula?",
        }
        plan = f"a whole formula worth {game.goal} that begins with the current formula"
        types = {key: list[int] if key == "cards" else str for key in self.thought_keys}
        return CorrectorSpec(rules, questions, types, plan, (self.find_all_correct_formulas,))

    def find_all_correct_formulas(self, cards: list[int], current: str = "") -> list[str]:
        """All correct formulas for these card numbers that begin with the current formula (which may be empty).

        An empty list means that nothing correct can be reached any more.
        """
        highest = largest(self.config.faces)
        if len(cards) != self.game.cards or not all(1 <= card <= highest for card in cards):
            raise ValueError(f"cards must be {self.game.cards} numbers from 1 to {highest}, not {cards}")
        state = Truth({"Numbers": cards, "Formula": tokenise(current)})
        canonical = solutions(cards, self.game.goal, self.game.operators)
        known = [written(plan) for text in canonical if (plan := self._working(state, text))]
        plan = None if known else self._plan(state, None)
        return known[:MANY] or ([] if plan is None else [written(plan)])

    def fits(self, observation: Observation, target: str) -> bool:
        """Whether the formula so far is the beginning of the kept one."""
        try:
            begun, plan = tokenise(observation.words["formula"]), tokenise(target)
        except FormulaError:
            return False
        return plan[: len(begun)] == begun

    def validate_correction(self, observation: Observation, thought: Mapping[str, Any]) -> str | None:
        """Whether cards, formula and announced symbol fit one another."""
        formula = observation.words["formula"]
        cards = [stated_value(card, self.config.faces) for card in thought.get("cards", ())]
        state = Truth({"Numbers": cards, "Formula": tokenise(formula)})
        plan = self._working(state, thought.get("formula"))
        if plan is None:
            begins = f"begins with {formula!r}" if formula else "uses them all"
            stated = thought.get("formula")
            return f"the formula {stated!r} is not one over {cards} that makes {self.game.goal} and {begins}"
        due, said = str((*plan, "=")[len(_begun(state))]), announced(thought.get("thoughts"), self.words)
        return None if said == due else f'the thoughts must end with "next symbol is {due}", as the formula says'

    def state_key(self, truth: Truth) -> str:
        """The hand in ascending order and the formula so far."""
        return f"{sorted(truth.state['Numbers'])} {written(truth.state['Formula'])}"

    def visual_labels(self, truth: Truth) -> tuple[int, ...]:
        """The ranks 1..13 in the picture, from left to right."""
        return tuple(rank_of(card) for card in truth.state["Cards"])


# Both games start where the paper's agent does: thoughts can be read and mostly say what is seen, yet hardly an episode
# is won. Where success is common from the start, outcomes alone teach enough, and there is nothing to guide.
class EZPointsTask(PointsTask):
    """EZPoints: two cards, write a formula worth 12 with + and *, one symbol a turn."""

    game = EZPOINTS
    env_class = EZPointsEnv
    tiny = Tiny(sft_target=0.01, check_episodes=256, updates=12, lr=5e-4)


class Points24Task(PointsTask):
    """Points24: four cards, write a formula worth 24 with + - * / and brackets, one symbol a turn."""

    game = POINTS24
    env_class = Points24Env
    published = replace(PointsTask.published, stop_on=("unsolvable", "loss", "plan", "no_plan"))
    tiny = Tiny(sft_target=0.008, check_episodes=256, updates=24, lr=3e-4, settings={"hands": 32})


def _begun(truth: Truth) -> tuple[Symbol, ...]:
    """The formula so far without blanks."""
    return tuple(symbol for symbol in truth.state["Formula"] if symbol != BLANK)

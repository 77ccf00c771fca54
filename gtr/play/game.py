"""The game as the agent meets it, played by a person: the same table, parser and oracle as in training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from gtr import tasks
from gtr.config import Config
from gtr.envs import VecEnv, case_of, numbers
from gtr.guidance.oracle import OracleCorrector
from gtr.report.inside import Unreadable, parsed
from gtr.report.text import visible
from gtr.tasks.formats import ReplyFormat
from gtr.tasks.task import Task
from gtr.types import Ending, Expert, Judgement, Parsed, Prompt, Reply, ReplyStatus, Turn, Verdict

SHOWN = 12
"""Allowed actions that a refusal names."""

STATUS = {
    ReplyStatus.COMPLETE: "complete",
    ReplyStatus.EMPTY: "empty",
    ReplyStatus.CUT: "cut off",
    ReplyStatus.MALFORMED: "not readable as one {}",
    ReplyStatus.MISSING_KEY: "a key is missing",
    ReplyStatus.REPEATED_KEY: "a key is there twice",
}
JUDGEMENT = {
    Judgement.CORRECT: "right",
    Judgement.INCORRECT: "wrong",
    Judgement.UNSOLVABLE: "no thought can succeed from here; in training the corrector would end the episode",
}


@dataclass(frozen=True)
class Played:
    """One reply of the person, and what came of it."""

    turn: Turn
    verdict: Verdict | None
    """None where the task has no expert."""
    allowed: Sequence[str]
    """The actions that the game allowed."""
    form: ReplyFormat
    """Of the agent's replies."""
    of_action: str | None = None
    """What is to say of an action that was played without a thought, where there is none to judge."""

    def account(self) -> Mapping[str, str]:
        """What there is to say, by title, as texts that are safe to print."""
        turn = self.turn
        legal = "legal" if turn.legal else "not legal here"
        said = {
            "reply": STATUS[turn.parsed.status].format(self.form.name),
            "action": f"{'none' if turn.parsed.action is None else turn.parsed.action} ({legal})",
            **({} if turn.legal else {"allowed": choices(turn.parsed.action or "", self.allowed)}),
            **self._judged(),
            "reward": f"{turn.reward:g}",
            "episode": turn.ending + (", won" if turn.success else ""),
        }
        return {title: visible(text) for title, text in said.items()}

    def _judged(self) -> Mapping[str, str]:
        verdict = self.verdict
        if self.of_action is not None:
            return {"verdict": self.of_action}
        if verdict is None:
            return {"verdict": "none: this task has no expert"}
        said = {"verdict": JUDGEMENT.get(verdict.judgement, str(verdict.judgement))}
        if verdict.answers:
            said["checks"] = ", ".join(f"{name} {'right' if ok else 'WRONG'}" for name, ok in verdict.answers.items())
        if verdict.thought is not None:
            said["correction"] = self.form.write(verdict.thought, verdict.action or "")
        if verdict.target is not None:
            said["plan kept"] = verdict.target
        return said


class Game:
    """Episodes of one environment. `seed` deals the start states that environment 0 of a training run with it gets."""

    def __init__(self, config: Config, seed: int) -> None:
        self.task = tasks.load(config.task)
        self.seed = seed
        self.episode = -1
        self.turns: list[Played] = []
        """Of this episode."""
        self.total = 0.0
        """Return of this episode: the sum of its rewards."""
        self.returns: list[float] = []
        """Of the episodes that ended."""
        self.won = 0
        self._envs = VecEnv(self.task, 1, config)
        self._state = self._envs.states[0]
        self._oracle = OracleCorrector(self.task) if has_expert(self.task) else None
        self.deal()

    @property
    def prompt(self) -> Prompt:
        """What the agent would see now; after the end, the last state."""
        return self._state.prompt

    @property
    def over(self) -> bool:
        """Whether this episode has ended."""
        return bool(self.turns) and self.turns[-1].turn.ending is not Ending.RUNNING

    def deal(self) -> None:
        """Starts the next episode."""
        self.episode += 1
        self.turns, self.total = [], 0.0
        self._state.episode = self.episode
        start = self.task.reset_arguments(numbers(self.seed, 0, self._state.index, self._state.episode, 0))
        self._envs.begin(self._state, start, self.episode)

    def play(self, text: str) -> Played:
        """Judges a whole reply and plays it."""
        parsed = self.task.parse(text)
        case = case_of(self._state, text, parsed)
        return self._play(text, parsed, self._oracle.judge([case])[0].result() if self._oracle else None)

    def act(self, action: str) -> Played:
        """Plays an action without a thought: the action itself is held against the expert's."""
        text = self.written({}, action)
        before = self._expert()
        played = self._play(text, self.task.parse(text), None)
        if self._oracle is not None:
            played = replace(played, of_action=self._of_action(played.turn, before))
            self.turns[-1] = played
        return played

    def _of_action(self, turn: Turn, expert: Expert | None) -> str:
        """Whether an action was right, as far as the expert can tell."""
        if expert is None:
            return JUDGEMENT[Judgement.UNSOLVABLE]
        action, own = turn.parsed.action or "", f"the expert would play {expert.action!r}"
        if turn.success or self.task.same_action(action, expert.action):
            return "right"
        if not turn.legal:
            return f"wrong: it is not allowed; {own}"
        hopeless = self.over or self.task.expert(self._state.truth) is None
        return f"wrong: it loses the game; {own}" if hopeless else f"another action than the expert's; {own}"

    def _play(self, text: str, parsed: Parsed, verdict: Verdict | None) -> Played:
        state = self._state
        allowed = self.allowed()
        draws = numbers(self.seed, 0, state.index, state.episode, 1 + state.turn)
        turn = self._envs.play(state, Reply(text, (), (), True), parsed, draws)
        self.turns.append(played := Played(turn, verdict, allowed, self.task.reply_format))
        self.total += turn.reward
        if self.over:
            self.returns.append(self.total)
            self.won += bool(turn.success)
        return played

    def written(self, thought: Mapping[str, Any], action: str) -> str:
        """A reply in the agent's form, its thought's fields in order, empty where not given."""
        return self.task.write({key: thought.get(key, "") for key in self.task.thought_keys}, action)

    def expert(self) -> str | None:
        """The expert's reply here, following the plan kept so far; None where nothing helps, or there is no expert."""
        found = self._expert()
        return None if found is None else self.task.write(found.thought, found.action)

    def _expert(self) -> Expert | None:
        kept = [played.verdict.target for played in self.turns if played.verdict is not None]
        return self.task.expert(self._state.truth, kept[-1] if kept else None)

    def allowed(self) -> list[str]:
        """The actions that the game allows now."""
        return list(self.task.actions(self._state.observation))

    def close(self) -> None:
        """Closes the environment."""
        self._envs.close()


def choices(word: str, allowed: Sequence[str]) -> str:
    """The allowed actions, those nearest to a word first, as many as can be read at a glance.

    >>> choices("rihgt", ["left", "right"])
    "'right', 'left'"
    """
    near = get_close_matches(word, allowed, n=SHOWN, cutoff=0.4)
    listed = [*near, *(one for one in allowed if one not in near)]
    more = f", and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
    return ", ".join(map(repr, listed[:SHOWN])) + more


def has_expert(task: Task) -> bool:
    """Whether the oracle can judge and correct in this task."""
    return type(task).expert is not Task.expert


def value_of(text: str) -> Any:
    """What a person typed into a field: a list, number or object where it is written as one, else the text."""
    try:
        found = parsed(text.encode(errors="replace"))
    except Unreadable:
        return text
    return found if isinstance(found, list | dict | int) and not isinstance(found, bool) else text

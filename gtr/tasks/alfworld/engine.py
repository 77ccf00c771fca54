"""What plays games: ALFWorld's engine, with its errors and endings contained.

A bad problem makes its translation leave the process: that becomes an `EngineError`. A new environment per game leaks
megabytes: engines are kept and reused (`borrow`, `give_back`). They are not safe to use from several threads.
"""

import re
from dataclasses import dataclass
from typing import Any, Protocol

from gtr.errors import TaskError
from gtr.tasks.alfworld import package
from gtr.tasks.alfworld.facts import FactReader
from gtr.tasks.alfworld.games import Game
from gtr.tasks.alfworld.pddl_env import make_class
from gtr.tasks.alfworld.world import Room, State
from gtr.types import Image

_FILLER = "UNKNOWN GOAL"
_TASK = re.compile(r"(Your task is to: )([^\"]*?)(\.?\")")


class EngineError(TaskError):
    """The engine cannot play a game; the message names it."""


class WorkerError(TaskError):
    """A worker died or did not answer; its episode is lost, the run goes on."""


@dataclass(frozen=True)
class EngineState:
    """What the engine says after a command."""

    feedback: str
    commands: tuple[str, ...]
    """Admissible commands in the order of their letters."""
    won: bool
    state: State
    frame: Image | None = None
    """A photograph of the view, RGB, where the world gives one; None where the view is drawn from the facts."""
    rate: float | None = None
    """The share of the goal's conditions that hold as the world itself counts it; None where the facts tell."""


class Player(Protocol):
    """What plays one game after another: an `Engine`, a `Thor`, or either of them in a worker."""

    def load(self, game: Game) -> tuple[Room, EngineState]: ...
    def act(self, command: str) -> EngineState: ...
    def close(self) -> None: ...


class Engine:
    """Plays one game after another."""

    def __init__(self) -> None:
        self._env = _make_env()
        self._facts: FactReader | None = None
        self._label = ""

    def load(self, game: Game) -> tuple[Room, EngineState]:
        """Begins a game.

        Raises:
            EngineError: the game cannot be translated; its path or name is in the message.
        """
        self._label = game.label
        grammar, task = _without_task(game.grammar)
        data = {"pddl_domain": game.domain, "grammar": grammar, "pddl_problem": game.problem}
        try:
            self._env.load(data)
            self._facts = FactReader(self._env)
            state = self._env.reset()
        except (Exception, SystemExit) as error:
            # What the translation writes for a goal that no action can ever bring about.
            if isinstance(error, KeyError) and error.args in (("val0",), ("val1",)):
                raise EngineError(f"{game.label}: cannot be solved: no action leads to its goal") from error
            raise EngineError(f"{game.label}: the engine cannot read this game: {_why(error)}") from error
        state.feedback = state.feedback.replace(_FILLER, task)
        return self._facts.room(game), self._engine_state(state)

    def act(self, command: str) -> EngineState:
        """Plays one command; one that is not admissible changes nothing and says "Nothing happens."."""
        try:
            state, _, _ = self._env.step(command)
        except (Exception, SystemExit) as error:
            raise EngineError(f"{self._label}: the engine broke on {command!r}: {_why(error)}") from error
        return self._engine_state(state)

    def _engine_state(self, state: Any) -> EngineState:
        assert self._facts is not None
        commands = tuple(state["admissible_commands"])
        return EngineState(state.feedback, commands, bool(state["won"]), self._facts.state(self._env.facts()))

    def close(self) -> None:
        """Gives the engine back for the next user."""
        give_back(self)


_idle: list[Engine] = []


def borrow() -> Engine:
    """An engine that is not in use, made now if there is none."""
    return _idle.pop() if _idle else Engine()


def give_back(engine: Engine) -> None:
    """Keeps an engine for later."""
    if engine not in _idle:
        _idle.append(engine)


def _without_task(grammar: str) -> tuple[str, str]:
    """The grammar with its task's text taken out, so that all games share one; and that text."""
    found = _TASK.search(grammar)
    if found is None or any(sign in found[2] for sign in '#{}[]|\\"'):
        return grammar, _FILLER
    return grammar[: found.start(2)] + _FILLER + grammar[found.end(2) :], found[2]


def _why(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return "its problem is not valid PDDL for its domain"
    return f"{type(error).__name__}: {error}"


def _make_env() -> Any:
    try:
        return make_class()()
    except (ImportError, OSError) as error:
        raise EngineError(f"ALFWorld's engine cannot start: {error}; mend it with: {package.INSTALL}") from error

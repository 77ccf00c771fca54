"""ALFWorld's engine (TextWorld's PDDL games), with all that it does badly contained here.

- Its translation of PDDL overwrites ``sys.argv`` and leaves the process on a bad problem: both are undone here.
- It reads grammar strings anew, and copies their contexts deeply, for every admissible command of every step: reading
  is memoised, contexts are copied shallowly. It words a command anew on every step: commands are worded once.
- It translates a problem four times per game: once is enough without its planner, which is never called here.
- A new environment per game leaks megabytes: engines are kept and reused (`borrow`, `give_back`).

What it says and allows stays the same, letter by letter. It is not safe to use from several threads.
"""

import copy
import functools
import re
import sys
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gtr.errors import TaskError
from gtr.tasks.alfworld import package
from gtr.tasks.alfworld.games import Game
from gtr.tasks.alfworld.world import Receptacle, Room, State, natural, read_goal
from gtr.types import Image

TRANSLATIONS = 24
"""Translated problems kept per process."""
_FILLER = "UNKNOWN GOAL"
_TASK = re.compile(r"(Your task is to: )([^\"]*?)(\.?\")")


class EngineError(TaskError):
    """The engine cannot play a game; the message names it."""


class WorkerError(TaskError):
    """A worker died or did not answer; its episode is lost, the run goes on."""


@dataclass(frozen=True)
class Scene:
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

    def load(self, game: Game) -> tuple[Room, Scene]: ...
    def act(self, command: str) -> Scene: ...
    def close(self) -> None: ...


class Engine:
    """Plays one game after another."""

    def __init__(self) -> None:
        self._env = _make_env()
        self._cast: _Cast | None = None
        self._label = ""

    def load(self, game: Game) -> tuple[Room, Scene]:
        """Begins a game.

        Raises:
            EngineError: the game cannot be translated; its path or name is in the message.
        """
        self._label = game.label
        grammar, task = _without_task(game.grammar)
        data = {"pddl_domain": game.domain, "grammar": grammar, "pddl_problem": game.problem}
        try:
            self._env.load(data)
            self._cast = _Cast(self._env)
            state = self._env.reset()
        except (Exception, SystemExit) as error:
            # What the translation writes for a goal that no action can ever bring about.
            if isinstance(error, KeyError) and error.args in (("val0",), ("val1",)):
                raise EngineError(f"{game.label}: cannot be solved: no action leads to its goal") from error
            raise EngineError(f"{game.label}: the engine cannot read this game: {_why(error)}") from error
        state.feedback = state.feedback.replace(_FILLER, task)
        return self._cast.room(game), self._scene(state)

    def act(self, command: str) -> Scene:
        """Plays one command; one that is not admissible changes nothing and says "Nothing happens."."""
        try:
            state, _, _ = self._env.step(command)
        except (Exception, SystemExit) as error:
            raise EngineError(f"{self._label}: the engine broke on {command!r}: {_why(error)}") from error
        return self._scene(state)

    def _scene(self, state: Any) -> Scene:
        assert self._cast is not None
        commands = tuple(state["admissible_commands"])
        return Scene(state.feedback, commands, bool(state["won"]), self._cast.state(self._env.facts()))

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


# -- facts into records -------------------------------------------------------------------------------------------
class _Cast:
    """Names of a game's things, and its facts as records."""

    def __init__(self, env: Any) -> None:
        self._infos = env.entities()
        self.names = name_all(self._infos)
        for key, info in self._infos.items():
            info.name = self.names[key]
        self._facts = list(env.facts())

    def room(self, game: Game) -> Room:
        """The static half."""
        by: defaultdict[str, list[tuple[str, ...]]] = defaultdict(list)
        for name, args in self._facts:
            by[name].append(args)
        openable = {args[0] for args in by["openable"]}
        receptacles = [
            Receptacle(self.names[key], place, key in openable, coordinates(key))
            for key, place in by["receptacleatlocation"]
        ]
        accepts: defaultdict[str, set[str]] = defaultdict(set)
        for where, thing in by["cancontain"]:
            accepts[thing.removesuffix("type")].add(where.removesuffix("type"))
        places = {key for key, info in self._infos.items() if info.type == "location"}
        return Room(
            {found.name: found for found in sorted(receptacles, key=lambda one: natural(one.name))},
            {place: spot(place) for place in sorted(places)},
            {thing: frozenset(found) for thing, found in sorted(accepts.items())},
            read_goal(game.problem),
        )

    def state(self, facts: Iterable[tuple[str, tuple[str, ...]]]) -> State:
        """The changing half."""
        marks: dict[str, set[str]] = {key: set() for key in ("opened", "isclean", "ishot", "iscool", "istoggled")}
        inside: defaultdict[str, set[str]] = defaultdict(set)
        place, held = "", None
        for name, args in facts:
            if name in marks:
                marks[name].add(self.names[args[0]])
            elif name == "inreceptacle":
                inside[self.names[args[0]]].add(self.names[args[1]])
            elif name == "atlocation":
                place = args[1]
            elif name == "holds":
                held = self.names[args[1]]
        opened, clean, hot, cool, lit = (frozenset(found) for found in marks.values())
        lying = {thing: tuple(sorted(where, key=natural)) for thing, where in sorted(inside.items())}
        return State(place, lying, held, opened, clean, hot, cool, lit)


def name_all(ids: Iterable[str]) -> dict[str, str]:
    """ALFWorld's names of ids: the part before the first bar and a number, the last id in order being number 1."""
    found: dict[str, str] = {}
    count: Counter[str] = Counter()
    for key in sorted(ids, reverse=True):
        kind, bar, _ = key.partition("_bar_")
        kind += "basin" if bar and "basin" in key else ""
        count[kind] += bool(bar)
        found[key] = f"{kind} {count[kind]}" if bar else f"{key} "
    return found


def _numbers(key: str) -> list[float]:
    parts = key.replace("_minus_", "-").replace("_plus_", "+").replace("_dot_", ".").split("_bar_")[1:]
    return [float(part) for part in parts if re.fullmatch(r"[-+]?\d+(\.\d+)?", part)]


def coordinates(key: str) -> tuple[float, float, float]:
    """x, height and z in metres that a receptacle's id carries; zeros where it carries none."""
    numbers = _numbers(key)
    return (numbers[0], numbers[1], numbers[2]) if len(numbers) >= 3 else (0.0, 0.0, 0.0)


def spot(key: str) -> tuple[float, float]:
    """x and z in metres of a location's id, which counts in steps of 0.25 m."""
    numbers = _numbers(key)
    return (numbers[0] / 4, numbers[1] / 4) if len(numbers) >= 2 else (0.0, 0.0)


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


# -- the engine itself, mended ------------------------------------------------------------------------------------
@functools.cache
def _make_class() -> Any:
    """TextWorld's environment for PDDL games, worded once per command and without what nobody reads."""
    package.need()
    from textworld.envs.pddl.pddl import PddlEnv

    _mend()

    class Env(PddlEnv):  # type: ignore[misc, unused-ignore]
        def load(self, data: Mapping[str, Any]) -> None:
            super().load(data)
            self._commands: dict[tuple[str, ...], str] = {}
            self._changing = _changing(self._pddl_state.task.actions)

        def entities(self) -> dict[str, Any]:
            return dict(self._entity_infos)

        def facts(self) -> Iterable[tuple[str, tuple[str, ...]]]:
            return ((f.name, tuple(v.name for v in f.arguments)) for f in self._pddl_state.facts)

        def _gather_infos(self) -> None:
            self.state["won"] = self._pddl_state.check_goal()
            self.state["lost"] = False
            actions = list(self._pddl_state.all_applicable_actions())
            commands = [self._command(action) for action in actions]
            self.state["_valid_actions"], self.state["_valid_commands"] = actions, commands
            self.state["admissible_commands"] = sorted(set(commands))

        def _command(self, action: Any) -> str:
            key = (action.name, *(variable.name for variable in action.mapping.values()))
            known = self._commands.get(key)
            if known is not None:
                return known
            fixed = not self._changing.intersection(re.findall(r"(\w+)\(", action.command_template))
            context = {
                "state": self._pddl_state,
                "facts": [],
                "variables": {ph.name: self._entity_infos[var.name] for ph, var in action.mapping.items()},
                "mapping": action.mapping,
                "entity_infos": self._entity_infos,
            }
            action.command_template = self._logic.grammar.derive(action.command_template, context)
            text: str = action.format_command({name: info.name for name, info in self._entity_infos.items()})
            if fixed:
                self._commands[key] = text
            return text

    return Env


def _make_env() -> Any:
    try:
        return _make_class()()
    except (ImportError, OSError) as error:
        raise EngineError(f"ALFWorld's engine cannot start: {error}; mend it with: {package.INSTALL}") from error


def _changing(actions: Sequence[Any]) -> frozenset[str]:
    """Predicates that some action changes."""
    return frozenset(effect.literal.predicate for action in actions for effect in action.effects)


@functools.cache
def _mend() -> None:
    """Replaces the parts of TextWorld that are slow or unsafe, once per process."""
    import fast_downward
    from textworld.envs.pddl import logic, textgen

    textgen.deepcopy = _fresh
    textgen._parse_and_convert = _copies(functools.lru_cache(4096)(textgen._parse_and_convert))
    textgen.Rule.parse_conjunctive_query = functools.lru_cache(4096)(textgen.Rule.parse_conjunctive_query)
    logic._parse_and_convert = functools.lru_cache(16)(logic._parse_and_convert)
    fast_downward.pddl2sas = _Translator(fast_downward.pddl2sas)


def _fresh(value: Any) -> Any:
    """A copy that shares everything but the containers and symbols that the grammar writes into."""
    if isinstance(value, dict):
        return dict(value)
    if isinstance(value, list):
        return [_fresh(one) for one in value]
    made = copy.copy(value)
    for inner in ("symbol", "expression"):
        part = getattr(made, inner, None)
        if part is not None and not isinstance(part, str):
            setattr(made, inner, _fresh(part))
    return made


def _copies(function: Any) -> Any:
    @functools.wraps(function)
    def copied(*arguments: Any, **settings: Any) -> Any:
        return _fresh(function(*arguments, **settings))

    return copied


class _Translator:
    """``pddl2sas`` with a memory. The planner's own translation (`optimize`) is the plain one: nothing here plans."""

    def __init__(self, translate: Any) -> None:
        self._translate = translate
        self._known: OrderedDict[tuple[str, str], Any] = OrderedDict()

    def __call__(self, domain: str, problem: str, verbose: bool = False, optimize: bool = False) -> Any:
        key = (domain, problem)
        if key in self._known:
            self._known.move_to_end(key)
            return self._known[key]
        arguments, output = sys.argv, sys.stdout
        try:
            found = self._translate(domain, problem, verbose=verbose)
        finally:
            sys.argv, sys.stdout = arguments, output
        self._known[key] = found
        if len(self._known) > TRANSLATIONS:
            self._known.popitem(last=False)
        return found

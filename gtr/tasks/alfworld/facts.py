"""The engine's facts as records: `Room` and `State` with ALFWorld's own names for things."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from gtr.tasks.alfworld.games import Game
from gtr.tasks.alfworld.world import Receptacle, Room, State, natural, read_goal


class FactReader:
    """Names of a game's things, and its facts as records. `env` is a `pddl_env` with a game in it."""

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

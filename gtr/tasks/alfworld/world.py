"""A household room as plain records: what stands where (`Room`), what changes (`State`), what is asked (`Goal`)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from gtr.errors import TaskError


class Kind(StrEnum):
    """The six kinds of task, by ALFWorld's names."""

    PICK = "pick_and_place_simple"
    LOOK = "look_at_obj_in_light"
    CLEAN = "pick_clean_then_place_in_recep"
    HEAT = "pick_heat_then_place_in_recep"
    COOL = "pick_cool_then_place_in_recep"
    TWO = "pick_two_obj_and_place"


SHORT = {"pick": Kind.PICK, "look": Kind.LOOK, "clean": Kind.CLEAN, "heat": Kind.HEAT, "cool": Kind.COOL,
         "two": Kind.TWO}  # fmt: skip
"""Kinds by the short names that settings and tables use."""
SHORT_OF = {kind: short for short, kind in SHORT.items()}

TREATERS = {Kind.CLEAN: "sinkbasin", Kind.HEAT: "microwave", Kind.COOL: "fridge"}
"""Where a thing is treated."""


@dataclass(frozen=True)
class Goal:
    """What is asked. Example: ``Goal(Kind.HEAT, "mug", "desk")``; for `Kind.LOOK` the lamp's kind comes last."""

    kind: Kind
    thing: str
    where: str


@dataclass(frozen=True)
class Receptacle:
    """Something that things lie in or on."""

    name: str
    place: str
    """Id of the spot from which it is used; several receptacles may share one."""
    openable: bool
    at: tuple[float, float, float]
    """x, height and z in metres."""

    @property
    def kind(self) -> str:
        return kind_of(self.name)


@dataclass(frozen=True)
class Room:
    """What no action changes."""

    receptacles: Mapping[str, Receptacle]
    """By name, in the order of names."""
    places: Mapping[str, tuple[float, float]]
    """x and z in metres of the spots where the agent can stand."""
    accepts: Mapping[str, frozenset[str]]
    """By kind of thing: the kinds of receptacle that take it."""
    goal: Goal


@dataclass(frozen=True)
class State:
    """What actions change."""

    place: str
    inside: Mapping[str, tuple[str, ...]]
    """By thing: the receptacles it lies in or on. Several in a third of ALFWorld's own games: a pan on two burners."""
    held: str | None
    opened: frozenset[str]
    clean: frozenset[str]
    hot: frozenset[str]
    cool: frozenset[str]
    lit: frozenset[str]
    """Lamps that were switched on."""

    def contents(self, receptacle: str) -> tuple[str, ...]:
        """Things in a receptacle, in the order of names."""
        return tuple(sorted((t for t, places in self.inside.items() if receptacle in places), key=natural))

    def treated(self, kind: Kind) -> frozenset[str]:
        """Things that are as a kind of task wants them; all for kinds that treat nothing."""
        states = {Kind.CLEAN: self.clean, Kind.HEAT: self.hot, Kind.COOL: self.cool}
        return states.get(kind, frozenset((*self.inside, *([self.held] if self.held else []))))


def kind_of(name: str) -> str:
    """``"mug 2"`` -> ``"mug"``."""
    return name.split(" ", 1)[0]


def natural(name: str) -> tuple[str, int]:
    """Sorts ``drawer 2`` before ``drawer 10``."""
    kind, _, number = name.partition(" ")
    return kind, int(number) if number.isdecimal() else 0


def reachable(room: Room, state: State, receptacle: str) -> bool:
    """Whether the agent stands before a receptacle that is open or has no door."""
    found = room.receptacles[receptacle]
    return found.place == state.place and (not found.openable or receptacle in state.opened)


def conditions(room: Room, state: State) -> tuple[int, int]:
    """How many of the goal's conditions hold, of how many; all exactly when the goal is reached.

    As ALFRED counts them: one for placing; lamp lit before the agent and thing in hand for `LOOK`; placed, treated,
    and both at once for `CLEAN`, `HEAT`, `COOL`; one for each of two things in the same receptacle for `TWO`.
    """
    goal = room.goal
    wanted = [thing for thing in state.inside if kind_of(thing) == goal.thing]
    placed = [thing for thing in wanted if goal.where in map(kind_of, state.inside[thing])]
    if goal.kind is Kind.LOOK:
        lit = any(kind_of(lamp) == goal.where and _here(room, state, lamp) for lamp in state.lit)
        return lit + (state.held is not None and kind_of(state.held) == goal.thing), 2
    if goal.kind is Kind.TWO:
        counts = [sum(r in state.inside[t] for t in placed) for r in room.receptacles if kind_of(r) == goal.where]
        return min(2, max(counts, default=0)), 2
    if goal.kind is Kind.PICK:
        return int(bool(placed)), 1
    treated = state.treated(goal.kind)
    any_treated = any(kind_of(thing) == goal.thing for thing in treated)
    return bool(placed) + any_treated + any(thing in treated for thing in placed), 3


def _here(room: Room, state: State, thing: str) -> bool:
    return any(room.receptacles[where].place == state.place for where in state.inside.get(thing, ()))


def read_goal(problem: str) -> Goal:
    """The goal of a PDDL problem.

    Raises:
        TaskError: the goal is of none of the six kinds.
    """
    start = problem.find("(:goal")
    text = problem[start:].lower()
    things = re.findall(r"\(objecttype \?\w+ (\w+)type\)", text)
    receptacles = re.findall(r"\(receptacletype \?\w+ (\w+)type\)", text)
    if start < 0 or not things or "issliced" in text or "inreceptacleobject" in text:
        raise TaskError("its goal is none of ALFWorld's six kinds of task")
    if "istoggled" in text and len(things) == 2:
        held = re.findall(r"\(objecttype (\?\w+) (\w+)type\)", text)
        lamps = set(re.findall(r"\(istoggled (\?\w+)\)", text))
        lamp = next((kind for name, kind in held if name in lamps), None)
        thing = next((kind for name, kind in held if name not in lamps), None)
        if lamp and thing:
            return Goal(Kind.LOOK, thing, lamp)
    marks = {"isclean": Kind.CLEAN, "ishot": Kind.HEAT, "iscool": Kind.COOL}
    kinds = [kind for mark, kind in marks.items() if mark in text]
    if len(set(things)) != 1 or len(set(receptacles)) != 1 or len(kinds) > 1:
        raise TaskError("its goal is none of ALFWorld's six kinds of task")
    kind = kinds[0] if kinds else Kind.TWO if len(things) == 2 else Kind.PICK
    return Goal(kind, things[0], receptacles[0])

"""Room and state from the text that ALFWorld prints, for worlds that give no facts, such as AI2-THOR.

They hold what the text has mentioned so far: a thing not yet mentioned is missing from `State.inside`, and places have
no coordinates.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from gtr.errors import TaskError
from gtr.tasks.alfworld import package
from gtr.tasks.alfworld.commands import Command
from gtr.tasks.alfworld.world import Goal, Receptacle, Room, State, natural

NOTHING_HAPPENS = "Nothing happens."
START = "start"
_NAMES = re.compile(r"\b(?:an?|some) ([a-z-]+ \d+)")
_TASK = re.compile(r"Your task is to: (.+)")
_SURFACE = re.compile(r"On the (?P<name>[a-z-]+ \d+), you see (?P<things>[^.]*)")
_INSIDE = re.compile(r"The (?P<name>[a-z-]+ \d+) is open\. +In it, you see (?P<things>[^.]*)")
_DOOR = re.compile(r"The ([a-z-]+ \d+) is (open|closed)\b")


def task_of(intro: str) -> str:
    """The task in words, from the text of a reset; empty where it states none.

    >>> task_of("You see a desk 1.\\n\\nYour task is to: put a mug in desk.")
    'put a mug in desk'
    """
    found = _TASK.search(intro)
    return found[1].strip().rstrip(".").strip() if found else ""


def room_of(intro: str, goal: Goal) -> Room:
    """The room whose receptacles the text of a reset lists: "Looking quickly around you, you see a desk 1, and ...".

    Raises:
        TaskError: it lists no receptacle.
    """
    names = sorted(_NAMES.findall(intro.partition("Your task is to:")[0]), key=natural)
    if not names:
        raise TaskError(f"no receptacle is named at the beginning: {intro[:200]!r}")
    constants = package.constants()
    openable = {kind.lower() for kind in constants["OPENABLE_CLASS_SET"]}
    receptacles = {n: Receptacle(n, _place(n), n.split(" ")[0] in openable, (0.0, 0.0, 0.0)) for n in names}
    places = {r.place: (0.0, 0.0) for r in receptacles.values()} | {START: (0.0, 0.0)}
    return Room(receptacles, places, _accepts(constants["VAL_RECEPTACLE_OBJECTS"]), goal)


def _accepts(known: Mapping[str, Sequence[str]]) -> dict[str, frozenset[str]]:
    """Which kinds of receptacle take a kind of thing, from the lists the other way round."""
    things = sorted({thing for found in known.values() for thing in found})
    return {
        thing.lower(): frozenset(where.lower() for where, found in known.items() if thing in found) for thing in things
    }


def _place(name: str) -> str:
    return f"at {name}"


def initial() -> State:
    """The state before the first command: in the middle of the room, with an empty hand and nothing seen."""
    none: frozenset[str] = frozenset()
    return State(START, {}, None, none, none, none, none, none)


def after(state: State, command: Command, feedback: str) -> State:
    """The state after a command and its feedback; unchanged by "Nothing happens."."""
    if feedback.strip().startswith(NOTHING_HAPPENS):
        return state
    return _updated(_done(state, command), feedback)


def _done(state: State, command: Command) -> State:
    """The effect that the command itself implies, once it worked."""
    thing, where = command.thing, command.where
    if command.verb == "go":
        return replace(state, place=_place(where))
    if command.verb == "open":
        return replace(state, opened=state.opened | {where})
    if command.verb == "close":
        return replace(state, opened=state.opened - {where})
    if command.verb == "take":
        return replace(state, held=thing, inside={t: r for t, r in state.inside.items() if t != thing})
    if command.verb == "put":
        return replace(state, held=None, inside={**state.inside, thing: (where,)})
    if command.verb == "clean":
        return replace(state, clean=state.clean | {thing})
    if command.verb == "heat":
        return replace(state, hot=state.hot | {thing}, cool=state.cool - {thing})
    if command.verb == "cool":
        return replace(state, cool=state.cool | {thing}, hot=state.hot - {thing})
    if command.verb == "use":
        return replace(state, lit=state.lit | {thing})
    return state


def _updated(state: State, feedback: str) -> State:
    """With the doors and contents that the feedback mentions."""
    opened, inside = set(state.opened), dict(state.inside)
    for name, door in _DOOR.findall(feedback):
        (opened.add if door == "open" else opened.discard)(name)
    for match in [*_SURFACE.finditer(feedback), *_INSIDE.finditer(feedback)]:
        inside = {thing: where for thing, where in inside.items() if match["name"] not in where}
        inside |= dict.fromkeys(_NAMES.findall(match["things"]), (match["name"],))
    return replace(state, opened=frozenset(opened), inside=dict(sorted(inside.items())))

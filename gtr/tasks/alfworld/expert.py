"""A perfect player of household tasks, from facts alone: right from any state, and no planner.

It knows what the agent has seen, or with `everything` seen also what is hidden. It returns all moves that are equally
right, so that an agent that searches another cupboard first is not called wrong.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gtr.tasks.alfworld.commands import Command
from gtr.tasks.alfworld.world import TREATERS, Kind, Room, State, kind_of, natural

Seen = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Advice:
    """What to do now."""

    goal: str
    """The sub-goal in words, as ``find a mug`` or ``heat mug 1``."""
    moves: tuple[Command, ...]
    """Moves that are equally right, the preferred one first."""
    others: tuple[str, ...] = ()
    """Sub-goals that are as good, such as to take another thing of the same kind."""


def advise(room: Room, state: State, seen: Seen) -> Advice | None:
    """The next sub-goal and the moves towards it; None where nothing can help any more, or all is done."""
    goal, held = room.goal, state.held
    if held is not None and kind_of(held) != goal.thing:
        return _rid(room, state, held)
    if held is None:
        return _fetch(room, state, seen)
    if goal.kind is Kind.LOOK:
        return _light(room, state, seen)
    if goal.kind in TREATERS and held not in state.treated(goal.kind):
        return _treat(room, state, held)
    return _place(room, state, seen, held)


def _fetch(room: Room, state: State, seen: Seen) -> Advice | None:
    """Takes a thing of the wanted kind that is not yet where it should be, or looks for one."""
    goal = room.goal
    kept = _target(room, seen) if goal.kind is Kind.TWO else None
    known = [(thing, where) for where, things in seen.items() for thing in things if kind_of(thing) == goal.thing]
    # A thing that is there may lie elsewhere too (`State.inside`): it must not be fetched twice.
    there = seen.get(kept, ()) if kept is not None else ()
    open_to = [(thing, where) for thing, where in known if thing not in there]
    if not open_to:
        return _search(room, state, seen, goal.thing)
    treated = state.treated(goal.kind)
    ranked = sorted(open_to, key=lambda one: (one[0] not in treated, _far(room, state, one[1]), natural(one[0])))
    if goal.kind in TREATERS:
        ranked = [one for one in ranked if (one[0] in treated) == (ranked[0][0] in treated)]
    moves = [_reach(room, state, where, Command("take", thing, where)) for thing, where in ranked]
    return Advice(f"take {ranked[0][0]}", _unique(moves), tuple(f"take {thing}" for thing, _ in ranked[1:]))


def _treat(room: Room, state: State, held: str) -> Advice | None:
    kind = room.goal.kind
    verb = {Kind.CLEAN: "clean", Kind.HEAT: "heat", Kind.COOL: "cool"}[kind]
    places = _sorted(room, state, [name for name in room.receptacles if kind_of(name) == TREATERS[kind]])
    moves = [_go(room, state, where) or Command(verb, held, where) for where in places]
    return Advice(f"{verb} {held}", _unique(moves)) if moves else None


def _place(room: Room, state: State, seen: Seen, held: str) -> Advice | None:
    goal = room.goal
    targets = [name for name in room.receptacles if kind_of(name) == goal.where]
    fixed = _target(room, seen) if goal.kind is Kind.TWO else None
    if fixed is not None:
        targets = [fixed]
    moves = [_reach(room, state, name, Command("put", held, name)) for name in _sorted(room, state, targets)]
    return Advice(f"put {held} in {goal.where}", _unique(moves)) if moves else None


def _target(room: Room, seen: Seen) -> str | None:
    """The receptacle that already holds most of two things; None while none does."""
    goal = room.goal
    counts = {
        name: sum(kind_of(thing) == goal.thing for thing in seen.get(name, ()))
        for name in room.receptacles
        if kind_of(name) == goal.where
    }
    best = max(counts, key=lambda name: counts[name], default=None)
    return best if best is not None and counts[best] else None


def _light(room: Room, state: State, seen: Seen) -> Advice | None:
    """Switches on a lamp while the thing is in hand."""
    lamp = room.goal.where
    lamps = [(thing, where) for where, things in seen.items() for thing in things if kind_of(thing) == lamp]
    if not lamps:
        return _search(room, state, seen, lamp)
    ranked = sorted(lamps, key=lambda one: (_far(room, state, one[1]), natural(one[0])))
    moves = [_go(room, state, where) or Command("use", thing) for thing, where in ranked]
    return Advice(f"use {ranked[0][0]}", _unique(moves), tuple(f"use {lamp}" for lamp, _ in ranked[1:]))


def _rid(room: Room, state: State, held: str) -> Advice | None:
    """Puts down what is not wanted, wherever it may lie, here if possible."""
    takers = [name for name in room.receptacles if kind_of(name) in room.accepts.get(kind_of(held), ())]
    ranked = sorted(takers, key=lambda name: (_closed(room, state, name), _far(room, state, name), natural(name)))
    moves = [_reach(room, state, name, Command("put", held, name)) for name in ranked]
    return Advice(f"put down {held}", _unique(moves)) if moves else None


def _search(room: Room, state: State, seen: Seen, kind: str) -> Advice | None:
    """Looks where the agent has not looked yet: first where such a thing may lie, and without opening doors."""
    unseen = [name for name in room.receptacles if name not in seen]
    takers = room.accepts.get(kind, frozenset())
    likely = [name for name in unseen if kind_of(name) in takers] or unseen
    if not likely:
        return None
    ranked = sorted(
        likely,
        key=lambda name: (
            room.receptacles[name].place != state.place,
            room.receptacles[name].openable,
            _far(room, state, name),
            natural(name),
        ),
    )
    moves = [_go(room, state, name) or Command("open", where=name) for name in ranked]
    article = "an" if kind[0] in "aeiou" else "a"
    return Advice(f"find {article} {kind}", _unique(moves))


# -- steps on the way ---------------------------------------------------------------------------------------------
def _go(room: Room, state: State, where: str) -> Command | None:
    """The walk to a receptacle, or None for one that is here."""
    return None if room.receptacles[where].place == state.place else Command("go", where=where)


def _reach(room: Room, state: State, where: str, then: Command) -> Command:
    """The walk, the opening, or what is to be done there."""
    door = Command("open", where=where) if _closed(room, state, where) else then
    return _go(room, state, where) or door


def _closed(room: Room, state: State, where: str) -> bool:
    return room.receptacles[where].openable and where not in state.opened


def _far(room: Room, state: State, where: str) -> float:
    """Metres as the crow flies between the agent and the spot before a receptacle."""
    (x, z), (u, w) = room.places[state.place], room.places[room.receptacles[where].place]
    return float(round(((x - u) ** 2 + (z - w) ** 2) ** 0.5, 3))


def _sorted(room: Room, state: State, names: Iterable[str]) -> list[str]:
    """Near ones first; those that are here need no walk."""
    return sorted(names, key=lambda name: (_far(room, state, name), natural(name)))


def _unique(moves: Sequence[Command]) -> tuple[Command, ...]:
    return tuple(dict.fromkeys(moves))

"""Drafts of games: a kind of task, a room of the split that can hold it, and things placed in that room."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gtr.tasks.alfworld import package
from gtr.tasks.alfworld.world import SHORT, TREATERS, Kind

SPLITS = {"train": 0, "seen": 1, "unseen": 2}
"""The splits and what each adds to the seed."""
LAMP = "DeskLamp"
LAMP_STANDS = ("SideTable", "Desk", "Dresser", "Shelf", "CoffeeTable")
STATIC = frozenset({"HandTowelHolder", "TowelHolder", "ToiletPaperHanger"})
"""Receptacles that are never a task's aim: too few things fit them."""


@dataclass(frozen=True)
class GameSpec:
    """What games are wanted."""

    split: str = "train"
    kinds: tuple[Kind, ...] = tuple(SHORT.values())
    rooms: int | None = None
    """Rooms of each type to use; None uses all of the split."""
    receptacles: int | None = None
    """Most receptacles a room may have: fewer make shorter searches; None leaves rooms as they are."""
    clutter: int = 12
    """Things that are not asked for."""
    seed: int = 0


@dataclass(frozen=True)
class Draft:
    """A game before it is written as PDDL. Ids look like ``Mug|+01.00|+00.90|-00.50``."""

    name: str
    kind: Kind
    thing: str
    where: str
    start: str
    receptacles: dict[str, str]
    """By id: the location from which it is used."""
    inside: dict[str, str]
    """By thing: its receptacle."""
    text: str


def scenes(spec: GameSpec, kind: Kind) -> list[int]:
    """Numbers of the rooms that a split uses for a kind of task and that have what it needs."""
    constants = package.constants()
    numbers = constants["TEST_SCENE_NUMBERS" if spec.split == "unseen" else "TRAIN_SCENE_NUMBERS"]
    found: list[int] = []
    for room_type in sorted(constants["GOALS_VALID"][kind.value]):
        fit = [n for n in sorted(numbers) if n in constants["SCENE_TYPE"][room_type] and _fits(n, kind)]
        found += fit[: spec.rooms]
    return found


@functools.cache
def _fits(scene: int, kind: Kind) -> bool:
    """Whether a room has the sink, microwave or fridge, or a place for the lamp."""
    kinds = {type_of(key) for key in package.floor_plan(scene).receptacles}
    if kind is Kind.LOOK:
        return LAMP in package.floor_plan(scene).kinds and bool(kinds.intersection(LAMP_STANDS))
    needed = TREATERS.get(kind)
    return needed is None or needed in {name.lower() for name in kinds}


def type_of(key: str) -> str:
    """The type that an id carries: its last part for basins, else its first."""
    return key.split("|")[-1] if key.endswith("Basin") else key.split("|")[0]


def draft_of(spec: GameSpec, kind: Kind, scene: int, number: int, rng: np.random.Generator) -> Draft | None:
    """Places things in a room, or None where the room has no pair of thing and place for the task."""
    plan = package.floor_plan(scene)
    known = package.constants()["VAL_RECEPTACLE_OBJECTS"]
    usable = [k for k in plan.receptacles if type_of(k) in known and _whole(k)]
    pair = _pair(kind, usable, plan.kinds, rng)
    if pair is None:
        return None
    thing, where = pair
    usable = _chosen(spec, kind, usable, thing, where, rng)
    placer = _Placer(rng)
    sources = [k for k in usable if thing in known[type_of(k)] and type_of(k) != where]
    copies = int(rng.integers(2, 4)) if kind is Kind.TWO else int(rng.integers(1, 3))
    if not sources or (kind is Kind.TWO and copies < 2):
        return None
    for _ in range(copies):
        placer.put(thing, str(rng.choice(sources)))
    if kind is Kind.LOOK:
        stands = [k for k in usable if type_of(k) in LAMP_STANDS]
        placer.put(LAMP, str(rng.choice(stands)))
    others = [k for k in plan.kinds if k not in (thing, LAMP) and any(k in known[type_of(r)] for r in usable)]
    for _ in range(spec.clutter if others else 0):
        other = str(rng.choice(others))
        placer.put(other, str(rng.choice([r for r in usable if other in known[type_of(r)]])))
    places = {key: _location(plan.receptacles[key]) for key in usable}
    texts = package.goals()[kind.value]["templates"]
    aim = where.lower()
    text = str(texts[int(rng.integers(len(texts)))]).format(obj=thing.lower(), recep=aim, toggle=aim)
    lamp = kind is Kind.LOOK
    folder = f"{kind.value}-{thing}-None-{where}-{scene}/trial_G{spec.seed}_{spec.split}_{number:05d}"
    start = _start(plan, set(places.values()), rng)
    return Draft(folder, kind, thing, LAMP if lamp else where, start, places, placer.inside, text)


def _whole(key: str) -> bool:
    """Whether the engine's naming of an id agrees with its type."""
    first = key.split("|")[0]
    return type_of(key) == (first + "Basin" if key.endswith("Basin") else first)


def _pair(kind: Kind, usable: Sequence[str], kinds: Sequence[str], rng: np.random.Generator) -> tuple[str, str] | None:
    """A thing of the room and a kind of receptacle of the room that may hold it."""
    constants = package.constants()
    known, actions = constants["VAL_RECEPTACLE_OBJECTS"], constants["VAL_ACTION_OBJECTS"]
    group = {Kind.CLEAN: "Cleanable", Kind.HEAT: "Heatable", Kind.COOL: "Coolable"}.get(kind)
    treater = TREATERS.get(kind)
    present = sorted({type_of(key) for key in usable})
    pairs = []
    for thing in kinds:
        homes = [name for name in present if thing in known[name]]
        if group and thing not in actions[group]:
            continue
        if kind is Kind.LOOK and homes:
            pairs.append((thing, LAMP))
            continue
        aims = [name for name in homes if name not in STATIC and name.lower() != treater and len(homes) > 1]
        pairs += [(thing, name) for name in aims]
    things = sorted({thing for thing, _ in pairs})
    if not things:
        return None
    thing = str(rng.choice(things))
    aims = [name for one, name in pairs if one == thing]
    return thing, str(rng.choice(aims))


def _chosen(
    spec: GameSpec, kind: Kind, usable: Sequence[str], thing: str, where: str, rng: np.random.Generator
) -> list[str]:
    """At most `spec.receptacles` of a room's receptacles, those that the task needs among them."""
    if spec.receptacles is None or len(usable) <= spec.receptacles:
        return list(usable)
    known = package.constants()["VAL_RECEPTACLE_OBJECTS"]
    order = [str(key) for key in rng.permutation(list(usable))]
    wants = [lambda k: type_of(k) == where, lambda k: thing in known[type_of(k)] and type_of(k) != where]
    if kind in TREATERS:
        wants.append(lambda k: type_of(k).lower() == TREATERS[kind])
    if kind is Kind.LOOK:
        wants = [wants[1], lambda k: type_of(k) in LAMP_STANDS]
    kept = list(dict.fromkeys(found for want in wants if (found := next(filter(want, order), None)) is not None))
    kept += [key for key in order if key not in kept]
    return sorted(kept[: max(spec.receptacles, len(wants))])


class _Placer:
    """Puts things down with ids of their own."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.inside: dict[str, str] = {}
        self._rng = rng

    def put(self, kind: str, receptacle: str) -> None:
        """A new thing near a receptacle's centre."""
        x, y, z = (float(part) for part in receptacle.split("|")[1:4])
        while True:
            dx, dz = self._rng.uniform(-0.3, 0.3, 2)
            key = f"{kind}|{x + dx:+06.2f}|{y + 0.05:+06.2f}|{z + dz:+06.2f}"
            if key not in self.inside:
                self.inside[key] = receptacle
                return


def _location(pose: tuple[float, float, float, float]) -> str:
    x, z, rotation, tilt = pose
    return f"loc|{round(x * 4)}|{round(z * 4)}|{round(rotation / 90) % 4}|{round(tilt)}"


def _start(plan: package.FloorPlan, used: set[str], rng: np.random.Generator) -> str:
    """A free point of the floor that is before no receptacle."""
    while True:
        x, z = plan.floor[int(rng.integers(len(plan.floor)))]
        found = _location((float(x), float(z), 90.0 * int(rng.integers(4)), 30))
        if found not in used:
            return found

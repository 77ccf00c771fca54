"""Games without a download: made from the package's own floor plans, rules and words, and proved by winning them.

    python -m gtr.tasks.alfworld.generate FOLDER --split train --per-kind 20

writes games that ALFWorld itself loads (set ``ALFWORLD_DATA`` to the folder). Train and seen games share rooms, with
other things in other places; unseen games have rooms of their own, as in ALFRED.
"""

import argparse
import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gtr.errors import TaskError
from gtr.tasks.alfworld import package
from gtr.tasks.alfworld.commands import index
from gtr.tasks.alfworld.engine import Engine, EngineError, Player, WorkerError
from gtr.tasks.alfworld.expert import advise
from gtr.tasks.alfworld.games import FOLDERS, GAME_FILE, Game
from gtr.tasks.alfworld.memory import everything
from gtr.tasks.alfworld.world import SHORT, TREATERS, Kind

SPLITS = {"train": 0, "seen": 1, "unseen": 2}
"""The splits and what each adds to the seed."""
LONGEST = 60
"""Commands after which a game counts as unsolvable."""
ATTEMPTS = 5
"""Games drawn for one number until one can be won."""
LAMP = "DeskLamp"
LAMP_STANDS = ("SideTable", "Desk", "Dresser", "Shelf", "CoffeeTable")
STATIC = frozenset({"HandTowelHolder", "TowelHolder", "ToiletPaperHanger"})
"""Receptacles that are never a task's aim: too few things fit them."""


@dataclass(frozen=True)
class Wish:
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


def make(wish: Wish, number: int, attempt: int = 0) -> Game:
    """The game of this number: kinds take turns, everything else is drawn from seed, split and number.

    `attempt` draws another one for the same number, in place of one that cannot be won.

    Raises:
        TaskError: no room of the split can hold such a task.
    """
    rng = np.random.default_rng([wish.seed, SPLITS[wish.split], number, *([attempt] if attempt else [])])
    kind = wish.kinds[number % len(wish.kinds)]
    rooms = scenes(wish, kind)
    for scene in rng.permutation(rooms):
        draft = _draft(wish, kind, int(scene), number, rng)
        if draft is not None:
            return _written(draft)
    raise TaskError(f"no room of split {wish.split!r} can hold a task of kind {kind.value}: allow more receptacles")


def prove(game: Game, engine: Player) -> Game:
    """The game with the walkthrough by which the expert won it in the engine.

    Raises:
        EngineError: it was not won.
    """
    room, scene = engine.load(game)
    walked: list[str] = []
    while not scene.won and len(walked) < LONGEST:
        advice = advise(room, scene.state, everything(room, scene.state))
        known = index(scene.commands)
        command = None if advice is None else next((known[move] for move in advice.moves if move in known), None)
        if command is None:
            raise EngineError(f"{game.label}: cannot be solved: stuck after {walked}")
        scene = engine.act(command)
        walked.append(command)
    if not scene.won:
        raise EngineError(f"{game.label}: cannot be solved within {LONGEST} commands")
    return replace(game, walkthrough=tuple(walked))


def make_proved(wish: Wish, number: int, engine: Player) -> Game:
    """The first game of this number that the expert wins, with its walkthrough.

    Raises:
        EngineError: `ATTEMPTS` of them cannot be won.
        WorkerError: `ATTEMPTS` workers died of them.
    """
    unfit, lost = 0, 0
    while True:
        try:
            return prove(make(wish, number, unfit), engine)
        except EngineError:
            unfit += 1
            if unfit == ATTEMPTS:
                raise
        except WorkerError:
            # Its death says nothing about the game: the same one again, in a new process.
            lost += 1
            if lost == ATTEMPTS:
                raise


# -- rooms --------------------------------------------------------------------------------------------------------
def scenes(wish: Wish, kind: Kind) -> list[int]:
    """Numbers of the rooms that a split uses for a kind of task and that have what it needs."""
    constants = package.constants()
    numbers = constants["TEST_SCENE_NUMBERS" if wish.split == "unseen" else "TRAIN_SCENE_NUMBERS"]
    found: list[int] = []
    for room_type in sorted(constants["GOALS_VALID"][kind.value]):
        fit = [n for n in sorted(numbers) if n in constants["SCENE_TYPE"][room_type] and _fits(n, kind)]
        found += fit[: wish.rooms]
    return found


@functools.cache
def _fits(scene: int, kind: Kind) -> bool:
    """Whether a room has the sink, microwave or fridge, or a place for the lamp."""
    kinds = {_kind(key) for key in package.floor_plan(scene).receptacles}
    if kind is Kind.LOOK:
        return LAMP in package.floor_plan(scene).kinds and bool(kinds.intersection(LAMP_STANDS))
    needed = TREATERS.get(kind)
    return needed is None or needed in {name.lower() for name in kinds}


def _kind(key: str) -> str:
    """The type that an id carries: its last part for basins, else its first."""
    return key.split("|")[-1] if key.endswith("Basin") else key.split("|")[0]


def _draft(wish: Wish, kind: Kind, scene: int, number: int, rng: np.random.Generator) -> Draft | None:
    """Places things in a room, or None where the room has no pair of thing and place for the task."""
    plan = package.floor_plan(scene)
    known = package.constants()["VAL_RECEPTACLE_OBJECTS"]
    usable = [k for k in plan.receptacles if _kind(k) in known and _whole(k)]
    pair = _pair(kind, usable, plan.kinds, rng)
    if pair is None:
        return None
    thing, where = pair
    usable = _chosen(wish, kind, usable, thing, where, rng)
    maker = _Maker(usable, rng)
    sources = [k for k in usable if thing in known[_kind(k)] and _kind(k) != where]
    copies = int(rng.integers(2, 4)) if kind is Kind.TWO else int(rng.integers(1, 3))
    if not sources or (kind is Kind.TWO and copies < 2):
        return None
    for _ in range(copies):
        maker.put(thing, str(rng.choice(sources)))
    if kind is Kind.LOOK:
        stands = [k for k in usable if _kind(k) in LAMP_STANDS]
        maker.put(LAMP, str(rng.choice(stands)))
    others = [k for k in plan.kinds if k not in (thing, LAMP) and any(k in known[_kind(r)] for r in usable)]
    for _ in range(wish.clutter if others else 0):
        other = str(rng.choice(others))
        maker.put(other, str(rng.choice([r for r in usable if other in known[_kind(r)]])))
    places = {key: _location(plan.receptacles[key]) for key in usable}
    texts = package.goals()[kind.value]["templates"]
    aim = where.lower()
    text = str(texts[int(rng.integers(len(texts)))]).format(obj=thing.lower(), recep=aim, toggle=aim)
    lamp = kind is Kind.LOOK
    folder = f"{kind.value}-{thing}-None-{where}-{scene}/trial_G{wish.seed}_{wish.split}_{number:05d}"
    start = _start(plan, set(places.values()), rng)
    return Draft(folder, kind, thing, LAMP if lamp else where, start, places, maker.inside, text)


def _whole(key: str) -> bool:
    """Whether the engine's naming of an id agrees with its type."""
    first = key.split("|")[0]
    return _kind(key) == (first + "Basin" if key.endswith("Basin") else first)


def _pair(kind: Kind, usable: Sequence[str], kinds: Sequence[str], rng: np.random.Generator) -> tuple[str, str] | None:
    """A thing of the room and a kind of receptacle of the room that may hold it."""
    constants = package.constants()
    known, actions = constants["VAL_RECEPTACLE_OBJECTS"], constants["VAL_ACTION_OBJECTS"]
    group = {Kind.CLEAN: "Cleanable", Kind.HEAT: "Heatable", Kind.COOL: "Coolable"}.get(kind)
    treater = TREATERS.get(kind)
    present = sorted({_kind(key) for key in usable})
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
    wish: Wish, kind: Kind, usable: Sequence[str], thing: str, where: str, rng: np.random.Generator
) -> list[str]:
    """At most `wish.receptacles` of a room's receptacles, those that the task needs among them."""
    if wish.receptacles is None or len(usable) <= wish.receptacles:
        return list(usable)
    known = package.constants()["VAL_RECEPTACLE_OBJECTS"]
    order = [str(key) for key in rng.permutation(list(usable))]
    wants = [lambda k: _kind(k) == where, lambda k: thing in known[_kind(k)] and _kind(k) != where]
    if kind in TREATERS:
        wants.append(lambda k: _kind(k).lower() == TREATERS[kind])
    if kind is Kind.LOOK:
        wants = [wants[1], lambda k: _kind(k) in LAMP_STANDS]
    kept = list(dict.fromkeys(found for want in wants if (found := next(filter(want, order), None)) is not None))
    kept += [key for key in order if key not in kept]
    return sorted(kept[: max(wish.receptacles, len(wants))])


class _Maker:
    """Puts things down with ids of their own."""

    def __init__(self, receptacles: Sequence[str], rng: np.random.Generator) -> None:
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


# -- PDDL ---------------------------------------------------------------------------------------------------------
def _safe(key: str) -> str:
    """An id as PDDL may name it, in ALFWorld's way."""
    signs = {"|": "_bar_", "-": "_minus_", "+": "_plus_", ".": "_dot_", ",": "_comma_"}
    return "".join(signs.get(sign, sign) for sign in key)


def _written(draft: Draft) -> Game:
    logic = package.logic()
    grammar = logic.grammar.replace("UNKNOWN GOAL", draft.text)
    return Game(draft.name, draft.kind, logic.domain, grammar, _problem(draft), None)


def _problem(draft: Draft) -> str:
    constants = package.constants()
    known, actions = constants["VAL_RECEPTACLE_OBJECTS"], constants["VAL_ACTION_OBJECTS"]
    kind_of = {thing: thing.split("|")[0] for thing in draft.inside}
    things = sorted(set(kind_of.values()) | ({draft.thing, draft.where} if draft.kind is Kind.LOOK else {draft.thing}))
    places = sorted({_kind(key) for key in draft.receptacles})
    spots = sorted(set(draft.receptacles.values()))
    declared = [
        "agent1 - agent",
        *(f"{name}Type - otype" for name in things),
        *(f"{name}Type - rtype" for name in sorted({*places, "Sink", "SinkBasin", "Microwave", "Fridge"})),
        *(f"{name}Type - otype" for name in ("Knife", "ButterKnife") if name not in things),
        *(f"{_safe(key)} - object" for key in sorted(draft.inside)),
        *(f"{_safe(key)} - receptacle" for key in sorted(draft.receptacles)),
        *(f"{_safe(spot)} - location" for spot in [*spots, draft.start]),
    ]
    facts = [f"atLocation agent1 {_safe(draft.start)}"]
    for key, spot in sorted(draft.receptacles.items()):
        facts.append(f"receptacleType {_safe(key)} {_kind(key)}Type")
        facts.append(f"receptacleAtLocation {_safe(key)} {_safe(spot)}")
        if _kind(key) in constants["OPENABLE_CLASS_SET"]:
            facts.append(f"openable {_safe(key)}")
    properties = {"Cleanable": "cleanable", "Heatable": "heatable", "Coolable": "coolable", "Toggleable": "toggleable"}
    for key, receptacle in sorted(draft.inside.items()):
        name, kind = _safe(key), kind_of[key]
        facts.append(f"objectType {name} {kind}Type")
        facts.append(f"inReceptacle {name} {_safe(receptacle)}")
        facts.append(f"objectAtLocation {name} {_safe(draft.receptacles[receptacle])}")
        facts += [f"{word} {name}" for group, word in properties.items() if kind in actions[group]]
        if kind != LAMP:
            facts.append(f"pickupable {name}")
    facts += [f"canContain {place}Type {kind}Type" for place in places for kind in things if kind in known[place]]
    goal = str(package.goals()[draft.kind.value]["pddl"])
    goal = goal.format(obj=draft.thing, recep=draft.where, toggle=draft.where).replace("#", "-")
    init = "\n  ".join(f"({fact})" for fact in facts)
    name = draft.name.replace("/", "_")
    objects = "\n  ".join(declared)
    return f"(define (problem {name})\n(:domain alfred)\n(:objects\n  {objects}\n)\n(:init\n  {init}\n)\n{goal}\n"


# -- files --------------------------------------------------------------------------------------------------------
def write(game: Game, folder: Path, split: str) -> Path:
    """Writes a proved game as ALFWorld lays its games out; returns its file."""
    place = folder / "json_2.1.1" / FOLDERS[split] / game.name
    place.mkdir(parents=True, exist_ok=True)
    (place / GAME_FILE).write_text(json.dumps(game.as_json()))
    kind, thing, _, where, scene = game.name.split("/")[0].split("-")
    look = kind == Kind.LOOK.value
    about = {
        "task_type": kind,
        "task_id": place.name,
        "pddl_params": {
            "object_target": thing,
            "parent_target": "" if look else where,
            "toggle_target": where if look else "",
            "mrecep_target": "",
            "object_sliced": False,
        },
        "scene": {"scene_num": int(scene), "floor_plan": f"FloorPlan{scene}"},
        "turk_annotations": {"anns": [{"task_desc": game.task}]},
    }
    (place / "traj_data.json").write_text(json.dumps(about))
    (place / "initial_state.pddl").write_text(game.problem)
    return place / GAME_FILE


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m gtr.tasks.alfworld.generate", description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--split", choices=list(SPLITS), default="train")
    parser.add_argument("--kinds", default=",".join(SHORT), help="comma-separated: " + ", ".join(SHORT))
    parser.add_argument("--per-kind", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    kinds = tuple(SHORT[name] for name in given.kinds.split(","))
    wish = Wish(given.split, kinds, seed=given.seed)
    engine = Engine()
    for number in range(given.per_kind * len(kinds)):
        print(write(make_proved(wish, number, engine), given.folder, given.split))


if __name__ == "__main__":
    main()

"""Games without a download: made from the package's own floor plans, rules and words, and proved by winning them.

    python -m gtr.tasks.alfworld.generate FOLDER --split train --per-kind 20

writes games that ALFWorld itself loads (set ``ALFWORLD_DATA`` to the folder). Train and seen games share rooms, with
other things in other places; unseen games have rooms of their own, as in ALFRED.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from gtr.errors import TaskError
from gtr.tasks.alfworld.commands import index
from gtr.tasks.alfworld.draft import SPLITS, GameSpec, draft_of, scenes
from gtr.tasks.alfworld.engine import Engine, EngineError, Player, WorkerError
from gtr.tasks.alfworld.expert import advise
from gtr.tasks.alfworld.games import FOLDERS, GAME_FILE, Game
from gtr.tasks.alfworld.memory import everything
from gtr.tasks.alfworld.pddl import game_of
from gtr.tasks.alfworld.world import SHORT, Kind

LONGEST = 60
"""Commands after which a game counts as unsolvable."""
ATTEMPTS = 5
"""Games drawn for one number until one can be won."""


def make(spec: GameSpec, number: int, attempt: int = 0) -> Game:
    """The game of this number: kinds take turns, everything else is drawn from seed, split and number.

    `attempt` draws another one for the same number, in place of one that cannot be won.

    Raises:
        TaskError: no room of the split can hold such a task.
    """
    rng = np.random.default_rng([spec.seed, SPLITS[spec.split], number, *([attempt] if attempt else [])])
    kind = spec.kinds[number % len(spec.kinds)]
    rooms = scenes(spec, kind)
    for scene in rng.permutation(rooms):
        draft = draft_of(spec, kind, int(scene), number, rng)
        if draft is not None:
            return game_of(draft)
    raise TaskError(f"no room of split {spec.split!r} can hold a task of kind {kind.value}: allow more receptacles")


def prove(game: Game, engine: Player) -> Game:
    """The game with the walkthrough by which the expert won it in the engine.

    Raises:
        EngineError: it was not won.
    """
    room, now = engine.load(game)
    walked: list[str] = []
    while not now.won and len(walked) < LONGEST:
        advice = advise(room, now.state, everything(room, now.state))
        known = index(now.commands)
        command = None if advice is None else next((known[move] for move in advice.moves if move in known), None)
        if command is None:
            raise EngineError(f"{game.label}: cannot be solved: stuck after {walked}")
        now = engine.act(command)
        walked.append(command)
    if not now.won:
        raise EngineError(f"{game.label}: cannot be solved within {LONGEST} commands")
    return replace(game, walkthrough=tuple(walked))


def make_proved(spec: GameSpec, number: int, engine: Player) -> Game:
    """The first game of this number that the expert wins, with its walkthrough.

    Raises:
        EngineError: `ATTEMPTS` of them cannot be won.
        WorkerError: `ATTEMPTS` workers died of them.
    """
    unfit, lost = 0, 0
    while True:
        try:
            return prove(make(spec, number, unfit), engine)
        except EngineError:
            unfit += 1
            if unfit == ATTEMPTS:
                raise
        except WorkerError:
            # Its death says nothing about the game: the same one again, in a new process.
            lost += 1
            if lost == ATTEMPTS:
                raise


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
    spec = GameSpec(given.split, kinds, seed=given.seed)
    engine = Engine()
    for number in range(given.per_kind * len(kinds)):
        print(write(make_proved(spec, number, engine), given.folder, given.split))


if __name__ == "__main__":
    main()

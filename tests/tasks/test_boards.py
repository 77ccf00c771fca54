"""FrozenLake against gymnasium's own, Sokoban against boards worked by hand; both through every check of a task."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from gymnasium.envs.toy_text.frozen_lake import FrozenLakeEnv as Own

from gtr import preset, tasks
from gtr.errors import TaskError
from gtr.tasks.boards import MOVES
from gtr.tasks.frozenlake import FrozenLakeEnv, distances
from gtr.tasks.reply import parse, write
from gtr.tasks.sokoban import SokobanEnv, moves_left, pushed
from gtr.types import Truth


def truth(name: str, options: Mapping[str, Any]) -> Truth:
    task = tasks.load(tasks.settings(name))
    return task.truth(task.make_env().reset(options=dict(options))[1])


# -- frozen lake --------------------------------------------------------------------------------------------------
def test_the_lake_is_gymnasiums() -> None:
    """The same places, rewards and ends under the same moves, on its published 4 x 4 map."""
    lake = ["SFFF", "FHFH", "FFFH", "HFFG"]
    own, env, rng = Own(desc=lake, is_slippery=False), FrozenLakeEnv(48), np.random.default_rng(0)
    for _ in range(30):
        place, _ = own.reset(seed=1)
        _, info = env.reset(seed=1, options={"map": lake})
        ended = False
        for action in rng.integers(4, size=20):
            assert info["At"] == list(divmod(int(place), 4))
            if ended:
                break
            place, reward, ended, _, _ = own.step(int(action))
            _, mine, done, _, info = env.step(int(action))
            assert (mine, done) == (float(reward), ended)


def test_a_way_around_the_holes() -> None:
    """S F F / H H F / G F F: six moves, the first of them right; from a hole there is no way."""
    lake = ("SFF", "HHF", "GFF")
    assert distances(lake)[0, 0] == 6
    assert (1, 0) not in distances(lake)
    task = tasks.load(tasks.settings("frozenlake"))
    found = task.expert(truth("frozenlake", {"map": lake}))
    assert found is not None
    assert (found.action, dict(found.thought)["holes"], dict(found.thought)["goal"]) == ("right", [4, 5], 7)


def test_a_hole_is_hopeless() -> None:
    task, env = tasks.load(tasks.settings("frozenlake")), FrozenLakeEnv(48)
    env.reset(options={"map": ["SH", "FG"]})
    _, reward, ended, _, info = env.step(list(MOVES).index("right"))
    assert (reward, ended, info["success"]) == (0.0, True, False)
    assert task.expert(task.truth(info)) is None


# -- sokoban ------------------------------------------------------------------------------------------------------
def test_pushes() -> None:
    room = ("    ", " #  ")
    assert pushed(room, (0, 0), frozenset({(0, 1)}), "right") == ((0, 1), frozenset({(0, 2)}))
    assert pushed(room, (0, 0), frozenset({(0, 1), (0, 2)}), "right") == ((0, 0), frozenset({(0, 1), (0, 2)}))
    assert pushed(room, (1, 0), frozenset(), "right") == ((1, 0), frozenset()), "a wall"
    assert pushed(room, (0, 2), frozenset({(0, 3)}), "right") == ((0, 2), frozenset({(0, 3)})), "the edge"
    assert pushed(room, (1, 3), frozenset({(0, 3)}), "up") == ((1, 3), frozenset({(0, 3)}))


def test_shortest_solutions() -> None:
    """Around the box to push it back: up, left, left, down to stand left of it, then one push."""
    room = ("    ", "   .")
    assert moves_left(room, (1, 3), frozenset({(1, 2)})) == 5
    assert moves_left(room, (0, 0), frozenset({(0, 3)})) is None, "a box in a corner stays there"
    assert moves_left(room, (0, 0), frozenset({(1, 3)})) == 0


def test_rewards_and_the_end() -> None:
    env = SokobanEnv(48)
    env.reset(options={"room": ["    .", "    ."], "player": [0, 1], "boxes": [[0, 2], [1, 3]]})
    total = [env.step(list(MOVES).index(move))[1:3] for move in ("right", "right", "down", "left", "left", "down")]
    assert total[:2] == [(-0.1, False), (pytest.approx(0.9), False)]
    env.reset(options={"room": ["  ."], "player": [0, 0], "boxes": [[0, 1]]})
    _, reward, ended, _, info = env.step(list(MOVES).index("right"))
    assert (reward, ended, info["success"]) == (pytest.approx(10.9), True, True)


def test_a_wrong_push_is_seen_by_the_oracle() -> None:
    corner = truth("sokoban", {"room": ["   ", "  ."], "player": [0, 1], "boxes": [[0, 0]]})
    task = tasks.load(tasks.settings("sokoban"))
    assert task.expert(corner) is None
    assert not task.solvable(corner)


def test_rooms_that_cannot_be(tmp_path: object) -> None:
    with pytest.raises(TaskError, match="no place for all"):
        SokobanEnv(48, side=3, boxes=2, walls=8)


# -- both ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["frozenlake", "sokoban"])
def test_any_shortest_way_is_right_and_cells_may_stand_in_any_order(name: str) -> None:
    task, env = tasks.load(tasks.settings(name)), tasks.load(tasks.settings(name)).make_env()
    several = 0
    for seed in range(40):
        state = task.truth(env.reset(seed=seed)[1])
        shown, good = task.shown(state), task.good_moves(state)  # type: ignore[attr-defined]
        several += len(good) > 1
        for move in MOVES:
            thought = {key: value[::-1] if isinstance(value, list) else value for key, value in shown.items()}
            said = parse(write({**thought, "thoughts": f"next move is {move}"}, move), True, task.thought_keys)
            assert task.check(state, said, None) == {"perception": True, "step": move in good}
    assert several > 3


@pytest.mark.parametrize("name", ["frozenlake", "sokoban"])
def test_looks_differ_and_the_state_is_in_the_picture(name: str) -> None:
    task = tasks.load(preset("gtr", name).task)
    other = tasks.load(task.for_split("new-look"))
    seen: dict[bytes, str] = {}
    for seed in range(60):
        image, info = task.make_env().reset(seed=seed)
        assert not np.array_equal(image, other.make_env().reset(seed=seed)[0])
        key = task.state_key(task.truth(info))
        assert seen.setdefault(image.tobytes(), key) == key, "two states look alike"
    assert len(seen) > 10

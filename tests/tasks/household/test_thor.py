"""AI2-THOR's frames through the adapter: a stand-in that honours the contract, and what the adapter makes of it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import thor_double
from thor_double import AlfredThorDouble

from gtr.errors import ConfigError
from gtr.tasks import load, settings
from gtr.tasks.alfworld import text_state
from gtr.tasks.alfworld.commands import Command
from gtr.tasks.alfworld.draft import GameSpec
from gtr.tasks.alfworld.engine import Engine, EngineError, WorkerError
from gtr.tasks.alfworld.env import ALFWorldEnv
from gtr.tasks.alfworld.games import read_game
from gtr.tasks.alfworld.generate import make, prove, write
from gtr.tasks.alfworld.task import ALFWorldTask
from gtr.tasks.alfworld.thor import Thor
from gtr.tasks.alfworld.workers import Worker
from gtr.tasks.alfworld.world import Goal, Kind


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One game of each kind, with a trajectory that says where things lie."""
    folder, engine = tmp_path_factory.mktemp("thor"), Engine()
    for number in range(6):
        file = write(prove(make(GameSpec(receptacles=6, clutter=4, seed=5), number), engine), folder, "train")
        about = json.loads(file.with_name("traj_data.json").read_text())
        about["scene"]["object_poses"] = [{"objectName": "Mug_1"}]
        file.with_name("traj_data.json").write_text(json.dumps(about))
    return folder


@pytest.fixture
def tasks(data: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[ALFWorldTask, ALFWorldTask]:
    """The same games photographed and drawn."""
    monkeypatch.setenv("ALFWORLD_DATA", str(data))
    made = []
    for frames in ("thor", "drawn"):
        options = {"data": "files", "frames": frames, "workers": False, "limit": 100, "repeats": 100}
        task = load(settings("alfworld", **options))
        assert isinstance(task, ALFWorldTask)
        made.append(task)
    assert made[0].player is Thor
    made[0].player = thor_double.play
    return made[0], made[1]


def envs_of(tasks: tuple[ALFWorldTask, ALFWorldTask]) -> tuple[ALFWorldEnv, ALFWorldEnv]:
    return tasks[0].make_env(), tasks[1].make_env()


def test_prompts_rewards_and_frames_are_those_of_the_same_task(tasks: tuple[ALFWorldTask, ALFWorldTask]) -> None:
    rng = np.random.default_rng(0)
    photographed, drawn = envs_of(tasks)
    for number in range(6):
        starts = [env.reset(options={"game": number}) for env in (photographed, drawn)]
        (image, seen), (_, known) = starts
        for _ in range(25):
            prompts = [task.prompt(task.observe(image, info)) for task, info in zip(tasks, (seen, known), strict=True)]
            assert prompts[0] == prompts[1]
            double = photographed._player._env  # type: ignore[union-attr]
            assert isinstance(double, AlfredThorDouble)
            assert np.array_equal(image, double.rgb())
            _agree(seen, known)
            command = str(rng.choice(known["commands"]))
            image, *outcome, seen = photographed.step(command)
            _, *expected, known = drawn.step(command)
            assert outcome == expected
            if known["won"]:
                break
    drawn.close()


def _agree(seen: dict, known: dict) -> None:  # type: ignore[type-arg]
    """What was told is true; it may lack what stands open beside the receptacle in front."""
    for key in ("held", "clean", "hot", "cool"):
        assert getattr(seen["state"], key) == getattr(known["state"], key)
    assert seen["state"].lit == known["state"].lit
    assert seen["state"].opened <= known["state"].opened
    assert seen["memory"].facing == known["memory"].facing
    for receptacle, contents in seen["memory"].seen.items():
        assert known["memory"].seen[receptacle] == contents, receptacle
    assert seen["conditions"] == known["conditions"]
    assert seen["room"].goal == known["room"].goal
    assert list(seen["room"].receptacles) == list(known["room"].receptacles)


def test_the_expert_wins_every_kind_by_what_it_was_told(tasks: tuple[ALFWorldTask, ALFWorldTask]) -> None:
    task, env = tasks[0], tasks[0].make_env()
    kinds = set()
    for number in range(6):
        _, info = env.reset(options={"game": number})
        kinds.add(info["kind"])
        ended = False
        while not ended:
            expert = task.expert(task.truth(info))
            assert expert is not None
            _, reward, ended, cut, info = env.step(expert.action)
            assert not cut
        assert reward == 51
    assert len(kinds) == 6
    env.close()


def test_a_game_is_the_same_each_time_and_frames_fit_the_model(data: Path) -> None:
    files = sorted(data.rglob("game.tw-pddl"))
    env = ALFWorldEnv(image_size=96, player=thor_double.play)
    first, info = env.reset(options={"game": str(files[2])})
    env.reset(options={"game": str(files[1])})
    again, same = env.reset(options={"game": str(files[2])})
    assert first.shape == (96, 96, 3)
    assert np.array_equal(first, again)
    assert (info["task"], info["commands"]) == (same["task"], same["commands"])
    env.close()


def test_a_frame_that_breaks_the_contract_is_named(data: Path) -> None:
    class Small(AlfredThorDouble):
        def get_frames(self) -> np.ndarray:
            return super().get_frames()[:, ::2]

    game = read_game(next(data.rglob("game.tw-pddl")))
    with pytest.raises(EngineError, match=r"frames \(1, 150, 300, 3\) uint8"):
        Thor(Small).load(game)


def test_a_simulator_that_breaks_is_named(data: Path) -> None:
    class Broken(AlfredThorDouble):
        def step(self, actions: list[str]) -> tuple[list[str], None, list[bool], dict[str, list[object]]]:
            raise RuntimeError("no display")

    game = read_game(next(data.rglob("game.tw-pddl")))
    thor = Thor(Broken)
    _, now = thor.load(game)
    with pytest.raises(EngineError, match=r"AI2-THOR broke on 'go to .*no display") as caught:
        thor.act(next(command for command in now.commands if command.startswith("go to")))
    assert str(game.path) in str(caught.value)


def test_what_it_needs_is_said(data: Path, tmp_path: Path) -> None:
    game = read_game(next(data.rglob("game.tw-pddl")))
    with pytest.raises(ConfigError, match=r"set task\.data files"):
        load(settings("alfworld", frames="thor"))
    with pytest.raises(EngineError, match=r"set task\.data files"):
        thor_double.play().load(replace(game, path=None))
    with pytest.raises(EngineError, match=r"traj_data\.json: is missing"):
        thor_double.play().load(replace(game, path=str(tmp_path / "game.tw-pddl")))
    whole = {"pddl_params": {}, "task_type": "pick_and_place_simple", "scene": {"object_poses": [1]}}
    for text in ("{", "[" * 100_000, "[]", "3", json.dumps(whole), json.dumps({**whole, "scene": 3})):
        (tmp_path / "traj_data.json").write_text(text)
        with pytest.raises(EngineError, match=r"traj_data\.json: "):
            thor_double.play().load(replace(game, path=str(tmp_path / "game.tw-pddl")))


def test_without_ai2_thor_the_remedy_is_named(data: Path) -> None:
    pytest.importorskip("alfworld")
    try:
        import ai2thor  # noqa: F401
    except ImportError:
        with pytest.raises(Exception, match=r"pip install 'alfworld\[vis\]'"):
            Thor().load(read_game(next(data.rglob("game.tw-pddl"))))
    else:
        pytest.skip("AI2-THOR is installed")


def test_it_plays_in_a_worker_as_here(data: Path) -> None:
    game = read_game(next(data.rglob("game.tw-pddl")))
    worker, here = Worker(make=thor_double.play), thor_double.play()
    room, now = worker.load(game)
    other, expected = here.load(game)
    assert room == other
    for command in (None, next(c for c in expected.commands if c.startswith("go to"))):
        if command is not None:
            now, expected = worker.act(command), here.act(command)
        assert now.frame is not None
        assert np.array_equal(now.frame, expected.frame)
        assert replace(now, frame=None) == replace(expected, frame=None)
    worker.close()
    text = Worker()
    assert text.load(game)[1].frame is None
    text.close()


def test_a_hung_simulator_dies_with_its_worker(data: Path) -> None:
    worker = Worker(step_seconds=1.0, make=thor_double.hang)
    _, now = worker.load(read_game(next(data.rglob("game.tw-pddl"))))
    simulator = int(now.commands[0].split()[-1])
    assert Path(f"/proc/{simulator}").exists()
    with pytest.raises(WorkerError, match="within 1 seconds"):
        worker.act("look")
    status = Path(f"/proc/{simulator}/stat")
    assert not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z"


def test_words_of_both_worlds() -> None:
    intro = "You see a desk 1, a drawer 10, and an armchair 2.\n\nYour task is to: put a mug in desk"
    room = text_state.room_of(intro, Goal(Kind.PICK, "mug", "desk"))
    assert list(room.receptacles) == ["armchair 2", "desk 1", "drawer 10"]
    assert text_state.task_of(intro) == text_state.task_of(intro + ".") == "put a mug in desk"
    seen = "You arrive at loc 3. On the desk 1, you see a mug 2, a pen 1, and an alarmclock 3."
    state = text_state.after(text_state.initial(), Command("go", where="desk 1"), seen)
    assert state.contents("desk 1") == ("alarmclock 3", "mug 2", "pen 1")
    state = text_state.after(state, Command("go", where="drawer 10"), "You arrive at loc 4. The drawer 10 is closed. ")
    assert state.opened == frozenset()
    opened = "You open the drawer 10. The drawer 10 is open. In it, you see nothing."
    state = text_state.after(state, Command("open", where="drawer 10"), opened)
    assert (state.opened, state.contents("drawer 10")) == (frozenset({"drawer 10"}), ())
    assert text_state.after(state, Command("take", "pen 1", "desk 1"), "Nothing happens.") == state

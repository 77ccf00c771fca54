"""Game files that are damaged, missing or unsolvable, and what is said of them."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import util
from pathlib import Path
from typing import Any

import pytest
from foreign import sparse

from gtr.cli.eval import parse_eval
from gtr.cli.train import parse_train
from gtr.config.presets import build
from gtr.errors import ConfigError, TaskError
from gtr.tasks import load, settings
from gtr.tasks.alfworld import generate, machine, package
from gtr.tasks.alfworld.draft import GameSpec, scenes
from gtr.tasks.alfworld.engine import Engine, EngineError
from gtr.tasks.alfworld.env import ALFWorldEnv
from gtr.tasks.alfworld.facts import name_all
from gtr.tasks.alfworld.game_set import Generated
from gtr.tasks.alfworld.games import Game, game_files, read_game, report
from gtr.tasks.alfworld.generate import make, prove, write
from gtr.tasks.alfworld.package import floor_plan
from gtr.tasks.alfworld.task import ALFWorldTask
from gtr.tasks.alfworld.world import SHORT, Goal, Kind, read_goal


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine()


@pytest.fixture(scope="module")
def game(engine: Engine) -> Game:
    return prove(make(GameSpec(receptacles=4, clutter=2), 0), engine)


def test_a_game_on_disk_is_the_same_game(game: Game, tmp_path: Path) -> None:
    again = read_game(write(game, tmp_path, "train"))
    assert (again.problem, again.walkthrough, again.task) == (game.problem, game.walkthrough, game.task)
    assert again.words == "move"


def test_games_depend_on_seed_and_number_alone() -> None:
    first = [make(GameSpec(seed=3), n).problem for n in range(6)]
    assert first == [make(GameSpec(seed=3), n).problem for n in range(6)]
    assert first != [make(GameSpec(seed=4), n).problem for n in range(6)]
    assert len({make(GameSpec(split=split), 0).problem for split in ("train", "seen", "unseen")}) == 3


def test_a_game_that_cannot_be_won_is_drawn_anew(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    spec, tried = GameSpec(receptacles=4, clutter=1, seed=7), []

    def spoilt(spec: GameSpec, number: int, attempt: int = 0) -> Game:
        tried.append(attempt)
        made = make(spec, number, attempt)
        lines = made.problem.split("\n")
        fit = [line for line in lines if "(pickupable" not in line]
        return replace(made, problem="\n".join(fit)) if attempt < 2 else made

    monkeypatch.setattr(generate, "make", spoilt)
    won = generate.make_proved(spec, 0, engine)
    assert tried == [0, 1, 2]
    assert won.walkthrough
    assert won.problem == make(spec, 0, 2).problem != make(spec, 0).problem


def test_every_game_that_an_environment_plays_was_won_before() -> None:
    games = Generated(GameSpec(receptacles=4, clutter=1, seed=8), 2)
    env = ALFWorldEnv(games, image_size=48)
    assert games.game(1).walkthrough is None
    env.reset(options={"game": 1})
    for command in games.game(1).walkthrough or ():
        _, _, won, _, _ = env.step(command)
    assert won
    env.close()


def test_unseen_games_have_rooms_of_their_own() -> None:
    for kind in SHORT.values():
        assert not set(scenes(GameSpec("train"), kind)) & set(scenes(GameSpec("unseen"), kind))
        assert scenes(GameSpec("train"), kind) == scenes(GameSpec("seen"), kind)


def test_rooms_can_be_made_small() -> None:
    for number in range(12):
        problem = make(GameSpec(receptacles=4, clutter=0), number).problem
        assert problem.split("(:goal")[0].count("(receptacleAtLocation") <= 4


Damage = Callable[[Path], object]
DAMAGES: dict[str, tuple[Damage, str]] = {
    "cut short": (lambda file: file.write_text(file.read_text()[:5000]), "is not JSON"),
    "empty": (lambda file: file.write_text(""), "is not JSON"),
    "endless lists": (lambda file: file.write_text("[" * 100_000), "nested too deep"),
    "half an emoji": (lambda file: file.write_text('{"pddl_domain": "\\ud83d ("}'), "has no grammar|brackets"),
    "no text": (lambda file: file.write_bytes(b"\xff\xfe"), "is not UTF-8"),
    "sparse gigabytes": (sparse, "more than the 134 MB"),
    "a folder": (lambda file: (file.unlink(), file.mkdir()), "not a regular file"),
    "a list": (lambda file: file.write_text("[]"), "is not a game"),
    "without a problem": (lambda file: _edit(file, "pddl_problem", None), "has no pddl_problem"),
    "with half a problem": (lambda file: _edit(file, "pddl_problem", "(define (problem x)"), "cut short: brackets"),
    "unsolvable": (lambda file: _edit(file, "solvable", False), "marked unsolvable"),
    "another goal": (lambda file: _edit(file, "pddl_problem", "(define (:goal (and)))"), "none of ALFWorld's six"),
    "gone": (lambda file: file.unlink(), "is missing"),
}


def _edit(file: Path, key: str, value: object) -> None:
    data = json.loads(file.read_text())
    data[key] = value
    file.write_text(json.dumps(data))


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_named(damage: str, game: Game, tmp_path: Path) -> None:
    file = write(game, tmp_path, "train")
    break_it, message = DAMAGES[damage]
    break_it(file)
    with pytest.raises(TaskError, match=message) as caught:
        read_game(file)
    assert str(file) in str(caught.value)


def test_a_split_lists_every_file_and_every_fault(game: Game, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALFWORLD_DATA", str(tmp_path))
    good = write(game, tmp_path, "train")
    bad = write(game, tmp_path / "b", "train")
    bad.write_text("{")
    moved = good.parents[1].with_name("pick_and_place_simple-Cut-None-Shelf-1") / "trial_1"
    moved.parent.mkdir()
    bad.parent.rename(moved)
    games, faults = report("train", tuple(SHORT.values()))
    assert [one.problem for one in games] == [game.problem]
    assert len(faults) == 1
    assert str(moved) in faults[0]
    (moved / "game.tw-pddl").unlink()
    with pytest.raises(TaskError, match=r"has no game\.tw-pddl"):
        game_files("train", tuple(SHORT.values()))
    with pytest.raises(TaskError, match="valid_unseen does not exist"):
        game_files("unseen", tuple(SHORT.values()))
    monkeypatch.delenv("ALFWORLD_DATA")
    with pytest.raises(TaskError, match="ALFWORLD_DATA is not set"):
        game_files("train", tuple(SHORT.values()))


def test_numbers_of_files_never_change(game: Game, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALFWORLD_DATA", str(tmp_path))
    names = ["look_at_obj_in_light-Cd-None-DeskLamp-3", "pick_and_place_simple-Cd-None-Desk-11",
             "pick_and_place_simple-Cd-None-Desk-2"]  # fmt: skip
    for name in reversed(names):
        for trial in ("trial_2", "trial_1"):
            write(replace(game, name=f"{name}/{trial}"), tmp_path, "seen")
    found = [path.parent.relative_to(tmp_path).as_posix() for path in game_files("seen", tuple(SHORT.values()))]
    assert found == [f"json_2.1.1/valid_seen/{name}/{trial}" for name in names for trial in ("trial_1", "trial_2")]
    assert len(game_files("seen", (Kind.LOOK,))) == 2


def test_a_problem_that_ends_the_process_is_a_message(game: Game, engine: Engine, tmp_path: Path) -> None:
    file = write(game, tmp_path, "train")
    data = json.loads(file.read_text())
    data["pddl_problem"] = data["pddl_problem"].replace("agent1 - agent", "agent1 - agent agent1 - agent")
    file.write_text(json.dumps(data))
    with pytest.raises(EngineError, match="cannot read this game") as caught:
        engine.load(read_game(file))
    assert str(file) in str(caught.value)
    assert engine.load(game)[1].commands


def test_a_game_that_cannot_be_won_is_said_to_be(game: Game, engine: Engine) -> None:
    thing = read_goal(game.problem).thing
    lines = game.problem.split("\n")
    kept = [line for line in lines if not line.strip().lower().startswith(f"(pickupable {thing}_bar")]
    assert len(kept) < len(lines)
    with pytest.raises(EngineError, match="cannot be solved"):
        prove(replace(game, problem="\n".join(kept), walkthrough=None), engine)


def test_command_line_arguments_survive_the_engine(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["mine", "--flag"])
    engine.load(make(GameSpec(receptacles=4, clutter=1, seed=9), 0))
    assert sys.argv == ["mine", "--flag"]


def test_names_count_down_as_alfworld_counts() -> None:
    ids = ["drawer_bar__minus_01", "drawer_bar__plus_02", "sink_bar_01_bar_sinkbasin", "agent1"]
    assert name_all(ids) == {ids[0]: "drawer 2", ids[1]: "drawer 1", ids[2]: "sinkbasin 1", "agent1": "agent1 "}


@pytest.mark.no_engine
def test_goals_are_read_from_pddl() -> None:
    two = """(:goal (and (exists (?r - receptacle) (exists (?o1 - object) (and (objectType ?o1 CDType)
        (receptacleType ?r SafeType) (inReceptacle ?o1 ?r) (exists (?o2 - object) (and (not (= ?o1 ?o2))
        (objectType ?o2 CDType) (receptacleType ?r SafeType) (inReceptacle ?o2 ?r))))))))"""
    assert read_goal(two) == Goal(Kind.TWO, "cd", "safe")
    with pytest.raises(TaskError):
        read_goal("(:goal (and (isSliced ?o) (objectType ?o AppleType) (receptacleType ?r FridgeType)))")


@pytest.mark.no_engine
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"split": "test"}, "train, unseen"),
        ({"kinds": ("pick", "hot")}, "Known: clean, cool, heat, look, pick, two"),
        ({"kinds": ()}, "task.kinds .* a list of one or more"),
        ({"history": -1}, "from 0 to 10000"),
        ({"cut_reward": "low"}, "a number from .* or None"),
        ({"frames": "thor"}, "set task.data files"),
        ({"labls": True}, "did you mean 'labels'"),
    ],
)
def test_settings_that_cannot_work(values: dict[str, Any], message: str) -> None:
    with pytest.raises((ConfigError, TaskError), match=message):
        load(settings("alfworld", **values))


def test_floor_plans_cover_the_120_rooms() -> None:
    numbers = [n + 100 * hundred for hundred in (0, 2, 3, 4) for n in range(1, 31)]
    assert all(floor_plan(number).receptacles for number in numbers)


def test_doctor_says_what_is_there(game: Game, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ALFWORLD_DATA", raising=False)
    fine = list(machine.findings())
    assert [one.fine for one in fine] == [True, True]
    assert "alfworld 0.4.2" in fine[0].text
    monkeypatch.setenv("ALFWORLD_DATA", str(tmp_path))
    assert machine.games().remedy.startswith("alfworld-download")
    write(game, tmp_path, "seen")
    assert "0 train, 1 seen, 0 unseen" in machine.games().text


@pytest.mark.no_engine
def test_doctor_says_what_is_missing_and_what_mends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real, engine = util.find_spec, ("alfworld", "textworld", "fast_downward", "tatsu")

    def without(*names: str) -> None:
        """As on a machine with all of the engine but these; this one may have none of it."""
        found = {name: None if name in names else real("json") for name in engine}
        monkeypatch.setattr(util, "find_spec", lambda name: found[name] if name in found else real(name))

    without(*engine)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    absent, compiler = machine.findings()
    assert absent.fine
    assert absent.remedy.startswith(f"{sys.executable} -m pip install 'alfworld==0.4.2'")
    assert "'fast-downward-textworld==20.6.4'" in absent.remedy
    assert "openai" not in absent.remedy
    assert "C++" in compiler.text
    without("fast_downward")
    (half,) = machine.findings()
    assert (half.fine, "fast_downward missing" in half.text) == (False, True)
    with pytest.raises(TaskError, match="needs fast_downward, which is not installed: pip install"):
        load(settings("alfworld")).make_env()


@pytest.mark.no_engine
def test_settings_are_flags_of_their_own_types() -> None:
    words = "gtr --task alfworld --task.data files --task.kinds heat two --task.labels True --task.cut_reward None"
    tiny = build("gtr", "alfworld").task
    want = replace(tiny, data="files", kinds=("heat", "two"), labels=True, cut_reward=None)  # type: ignore[call-arg]
    assert parse_train(words.split()).config.task == want


@pytest.mark.no_engine
def test_an_evaluation_needs_the_games_of_its_split_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny scale shapes generated games; that says nothing about files, which can be asked for all the same."""
    _, (config,) = parse_eval(["expert", "--task", "alfworld", "--task.data", "files", "--split", "seen"])
    monkeypatch.setenv("ALFWORLD_DATA", str(tmp_path))
    unseen = tmp_path / "json_2.1.1" / "valid_unseen" / "pick_and_place_simple-Mug-None-Desk-301" / "trial_1"
    unseen.mkdir(parents=True)
    (unseen / "game.tw-pddl").touch()
    monkeypatch.setattr(package, "missing", lambda: ())
    task = load(config.task)
    other = load(task.for_split("unseen"))
    assert isinstance(other, ALFWorldTask)
    assert len(other.games) == 1
    with pytest.raises(TaskError, match="train does not exist"):
        task.ready()


@pytest.mark.no_engine
def test_settings_need_no_engine() -> None:
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('alfworld', 'textworld', 'fast_downward', 'tatsu')))\n"
        "from gtr import tasks; print(tasks.load(tasks.settings('alfworld', kinds=('heat',))).config.kinds)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "('heat',)\n"

"""Every generated game is won by the expert, and goes the same way in ALFWorld's own text environment."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from gtr import tasks
from gtr.tasks.alfworld.draft import GameSpec
from gtr.tasks.alfworld.engine import Engine
from gtr.tasks.alfworld.env import ALFWorldEnv
from gtr.tasks.alfworld.games import FOLDERS, read_game
from gtr.tasks.alfworld.generate import make, prove, write
from gtr.tasks.alfworld.task import ALFWorldTask
from gtr.tasks.alfworld.world import SHORT

STOCK = Path(__file__).with_name("stock.py")
REAL = os.environ.get("GTR_TEST_ALFWORLD_DATA")


def expert_episode(task: ALFWorldTask, env: ALFWorldEnv, game: str) -> tuple[list[str], list[tuple[object, ...]], bool]:
    """Commands of the expert, what was said after each, and whether it won."""
    image, info = env.reset(options={"game": game})
    commands: list[str] = []
    seen: list[tuple[object, ...]] = [(info["feedback"], list(info["commands"]), 0, info["won"])]
    ended = False
    while not ended:
        expert = task.expert(task.truth(info))
        assert expert is not None, (game, commands)
        action = task.to_env(expert.action, task.observe(image, info))
        image, reward, terminated, truncated, info = env.step(action)
        commands.append(expert.action)
        assert (reward == 51) == info["won"] == (info["conditions"] == 1) == terminated
        seen.append((info["feedback"], list(info["commands"]), int(info["won"]), info["won"]))
        ended = terminated or truncated
    return commands, seen, info["won"]


def without_workers(hidden: bool = False) -> tuple[ALFWorldTask, ALFWorldEnv]:
    options = {"workers": False, "hidden": hidden, "limit": 150, "games": 1}
    task = tasks.load(tasks.settings("alfworld", image_size=48, **options))
    assert isinstance(task, ALFWorldTask)
    return task, task.make_env()


def compared_with_stock(files: Sequence[Path], data: Path, tmp_path: Path, hidden: bool) -> None:
    task, env = without_workers(hidden)
    played, ours = {}, {}
    for file in files:
        played[str(file)], ours[str(file)], won = expert_episode(task, env, str(file))
        assert won, file
    env.close()
    commands, answers = tmp_path / "commands.json", tmp_path / "answers.json"
    commands.write_text(json.dumps(played))
    done = subprocess.run([sys.executable, STOCK, data, commands, answers], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    theirs = json.loads(answers.read_text())
    for game, said in ours.items():
        assert [list(entry) for entry in said] == theirs[game], game


@pytest.fixture(scope="module", params=["train", "unseen"])
def split(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def panel(split: str, per_kind: int, folder: Path) -> list[Path]:
    """Generated and proved games, laid out as ALFWorld's."""
    engine = Engine()
    spec = GameSpec(split)
    files = [write(prove(make(spec, n), engine), folder, split) for n in range(per_kind * len(SHORT))]
    place = folder / "json_2.1.1"
    if split != "train":
        # The other program reads its games from this folder.
        (place / "train").symlink_to(place / FOLDERS[split])
    return files


def test_generated_games_are_won_and_go_as_in_alfworld_itself(split: str, tmp_path: Path) -> None:
    files = panel(split, 1, tmp_path)
    assert len({read_game(file).kind for file in files}) == 6
    compared_with_stock(files, tmp_path, tmp_path, False)


def test_games_of_the_older_grammar_go_as_in_alfworld_itself(tmp_path: Path) -> None:
    """Before ALFWorld 0.4 things were put in/on something; such files still play, and say which they are."""
    files = panel("train", 1, tmp_path)[:2]
    for file in files:
        data = json.loads(file.read_text())
        data["grammar"] = data["grammar"].replace("move {o} to {r}", "put {o} in/on {r}")
        data["grammar"] = data["grammar"].replace("You move the {o.name} to the", "You put the {o.name} in/on the")
        file.write_text(json.dumps(data))
        assert read_game(file).words == "put"
    compared_with_stock(files, tmp_path, tmp_path, False)


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("GTR_TEST_SLOW"), reason="120 games in the slow engine: set GTR_TEST_SLOW=1")
def test_120_generated_games(tmp_path: Path) -> None:
    files = panel("train", 20, tmp_path)
    assert len(files) == 120
    compared_with_stock(files, tmp_path, tmp_path, False)


real = pytest.mark.skipif(not REAL, reason="real games: set GTR_TEST_ALFWORLD_DATA to a folder like $ALFWORLD_DATA")
SPLITS = ("train", "valid_train", "valid_seen", "valid_unseen")


def games_of(split: str) -> list[Path]:
    """All files of a split, or a skip."""
    return sorted(Path(str(REAL)).glob(f"json_2.1.1/{split}/*/*/game.tw-pddl")) or pytest.skip(f"no {split} there")


@real
@pytest.mark.parametrize("split", SPLITS)
def test_real_games(split: str, tmp_path: Path) -> None:
    """So many of each kind as GTR_TEST_ALFWORLD_GAMES says, spread over the split."""
    every = games_of(split)
    wanted = int(os.environ.get("GTR_TEST_ALFWORLD_GAMES", "3"))
    files = []
    for kind in SHORT.values():
        found = [file for file in every if kind.value in str(file)]
        files += found[:: max(1, len(found) // wanted)][:wanted]
    assert files
    compared_with_stock(files, Path(str(REAL)), tmp_path, False)


@real
@pytest.mark.skipif(not os.environ.get("GTR_TEST_SLOW"), reason="every real game, half an hour: set GTR_TEST_SLOW=1")
@pytest.mark.parametrize("split", SPLITS)
def test_the_expert_wins_every_real_game(split: str) -> None:
    task, env = without_workers()
    lost = [str(file) for file in games_of(split) if not expert_episode(task, env, str(file))[2]]
    env.close()
    assert lost == []

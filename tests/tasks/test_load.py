"""Finding tasks by name: the built-in ones, a user's own, and what is said of wrong names."""

import subprocess
import sys
from pathlib import Path

import gymnasium
import pytest
from gymnasium.utils.env_checker import check_env

from gtr.config import TaskConfig
from gtr.errors import ConfigError, TaskError
from gtr.tasks import TASKS, load, settings
from gtr.tasks.reply import parse, write
from gtr.tasks.task import Task

EXAMPLE = str(Path(__file__).parents[2] / "examples" / "dots.py")


def test_no_torch_is_imported():
    code = (
        "import sys, gymnasium, gtr.tasks\nfrom gtr.config import TaskConfig\n"
        "for name in gtr.tasks.TASKS: gtr.tasks.load(TaskConfig(name=name))\n"
        "for row in gtr.tasks.TASKS.values(): row.extra or gymnasium.make(row.id).reset(seed=0)\n"
        "sys.exit(bool({'torch', 'transformers'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", TASKS)
def test_built_in_tasks_load(name):
    task = load(TaskConfig(name=name))
    assert task.name == name
    assert isinstance(task, Task)


@pytest.mark.parametrize("name", [row.id for row in TASKS.values() if not row.extra])
def test_ids_are_registered(name):
    assert gymnasium.make(name).observation_space.shape == (300, 300, 3)


def test_an_example_of_ones_own_works():
    assert len(Path(EXAMPLE).read_text().splitlines()) < 80
    task = load(TaskConfig(name=f"{EXAMPLE}:DotsTask", image_size=96))
    env = task.make_env()
    check_env(env, skip_render_check=True)
    for seed in range(20):
        image, info = env.reset(seed=seed)
        truth, observation = task.truth(info), task.observe(image, info)
        expert = task.expert(truth)
        parsed = parse(write(expert.thought, expert.action), True, task.thought_keys)
        assert all(task.check(truth, parsed, None).values())
        reward, ending = env.step(task.to_env(expert.action, observation))[1:3]
        assert (reward, ending) == (1.0, True)


def test_a_task_in_a_module_of_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "my_dots_task.py").write_text(Path(EXAMPLE).read_text())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert load(TaskConfig(name="my_dots_task:DotsTask")).name == "dots"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("point24", ["did you mean 'points24'?", "package.module:Class"]),
        ("nowhere.py:Thing", ["'nowhere.py' does not exist"]),
        ("no_such_package_x:Thing", ["'no_such_package_x' cannot be imported", "ModuleNotFoundError"]),
        (f"{EXAMPLE}:DotTask", ["did you mean 'DotsTask'?"]),
        (f"{EXAMPLE}:DotsEnv", ["is no Task", "gtr.tasks.task.Task"]),
        (f"{EXAMPLE}:ANSWERS", ["is no Task"]),
        ("gtr.tasks.task:Task", ["is no whole Task", "define actions, make_env"]),
        (":", ["unknown task"]),
    ],
)
def test_wrong_names_are_explained(name, words):
    with pytest.raises(TaskError) as error:
        load(TaskConfig(name=name))
    assert all(word in str(error.value) for word in words), str(error.value)


def test_a_task_file_that_fails_is_explained_and_can_be_mended(tmp_path):
    path = tmp_path / "broken.py"
    path.write_text("1 / 0")
    with pytest.raises(TaskError, match="fails when imported: ZeroDivisionError"):
        load(TaskConfig(name=f"{path}:Thing"))
    path.write_text(Path(EXAMPLE).read_text())
    assert load(TaskConfig(name=f"{path}:DotsTask")).name == "dots"


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"name": "points24", "hands": 567}, ["task.hands=567", "1 to 566"]),
        ({"name": "points24", "hands": 0}, ["task.hands is 0", "1 to 1362"]),
        ({"name": "ezpoints", "hands": 8}, ["1 to 7"]),
        ({"name": "numberline", "hands": 3}, ["unknown setting task.hands"]),
        ({"name": "points24", "ordr": "x"}, ["task.ordr", "did you mean 'order'?"]),
        ({"name": "points24", "order": "sort"}, ["task.order is 'sort'", "did you mean 'sorted'?"]),
        ({"name": "blackjack", "x": "y"}, ["unknown setting task.x"]),
        ({"name": "numberline", "max_position": "many"}, ["task.max_position is 'many'", "1 to 99"]),
        ({"name": "points24", "image_size": 40}, ["image_size=40", "48"]),
        ({"name": "blackjack", "deck": "classik"}, ["did you mean 'classic'?"]),
        ({"name": "points24", "faces": "ranks"}, ["did you mean 'rank'?"]),
    ],
)
def test_settings_that_cannot_work_are_explained(config, words):
    with pytest.raises((TaskError, ConfigError)) as error:
        load(settings(**config))
    assert all(word in str(error.value) for word in words), str(error.value)


def test_what_every_game_has_is_enough_to_load_one():
    assert load(TaskConfig(name="ezpoints", image_size=64)).config == settings("ezpoints", image_size=64)

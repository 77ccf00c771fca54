"""Settings read from plain values: exactly, by their ranges, and with one plain sentence for what is wrong."""

import json
import math
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated, Any, get_args, get_origin

import pytest
from annotated_types import Ge, Le, Lt
from hypothesis import given
from hypothesis import strategies as st

from gtr import algo, tasks
from gtr.algo.ppo import PPOSettings
from gtr.algo.rl4vlm import RL4VLM
from gtr.cli.train import parse_train
from gtr.config import Config
from gtr.config.checks import validate
from gtr.config.io import changed, changed_keys, config_from_dict, config_to_dict, settings_of
from gtr.config.presets import build
from gtr.config.reading import keys, leaves, read
from gtr.config.section import Kept
from gtr.errors import ConfigError

Where = tuple[str, str]
"""A preset and a game."""


def numbers(annotation: Any) -> Iterator[tuple[type, list[Any]]]:
    """Every number in an annotation: its type and the marks that stand at it."""
    if get_origin(annotation) is Annotated and get_args(annotation)[0] in (int, float):
        yield get_args(annotation)[0], list(get_args(annotation)[1:])
    elif annotation in (int, float):
        yield annotation, []
    else:
        for inner in get_args(annotation):
            yield from numbers(inner) if not isinstance(inner, str) else ()


def numeric() -> list[tuple[Where, str, Any, type, list[Any]]]:
    """Every numeric setting of every game and algorithm: preset and game, dotted key, annotation, type, marks."""
    found = {}
    games = [(("gtr", name), "task", tasks.find(name).Settings) for name in tasks.TASKS]
    methods = [((name, "numberline"), "algo", algo.find(name).Settings) for name in algo.ALGORITHMS]
    for where, section, kind in (*games, *methods):
        for prefix, one in (((), Config), ((section,), kind)):
            for path, annotation in leaves(one):
                key = ".".join((*prefix, *path))
                for number, marks in numbers(annotation):
                    found.setdefault(key, (where, key, annotation, number, marks))
    return list(found.values())


NUMERIC = numeric()


def test_every_number_has_two_ends_at_its_field() -> None:
    assert len(NUMERIC) > 90
    for _, key, _, _, marks in NUMERIC:
        assert sum(isinstance(one, Ge) for one in marks) == 1, key
        assert sum(isinstance(one, Le | Lt) for one in marks) == 1, key


def bad_values(number: type, marks: list[Any]) -> list[Any]:
    low = next(one.ge for one in marks if isinstance(one, Ge))
    high = next(one.le if isinstance(one, Le) else one.lt for one in marks if isinstance(one, Le | Lt))
    just_above = high + 1 if number is int else math.nextafter(high, math.inf)
    below = low - 1 if number is int else math.nextafter(low, -math.inf)
    return [below, just_above, 10**21, 1e300, math.nan, math.inf, -math.inf, "many", True, [1], {}]


def put(value: Any, annotation: Any) -> Any:
    """A value in the place of a number: by itself, or in a list where the setting is one."""
    inner = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    if get_origin(inner) is not tuple:
        return value
    return (value,) if Ellipsis in get_args(inner) else (value, 0.5)


@pytest.mark.parametrize(("where", "key", "annotation", "number", "marks"), NUMERIC, ids=[one[1] for one in NUMERIC])
def test_numbers_that_cannot_be_are_named(
    where: Where, key: str, annotation: Any, number: type, marks: list[Any]
) -> None:
    for bad in bad_values(number, marks):
        with pytest.raises(ConfigError) as error:
            validate(changed(build(*where), {key: put(bad, annotation)}))
        assert str(error.value).startswith(f"{key} "), (bad, str(error.value))
        assert "give" in str(error.value)
        assert "\n" not in str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize(("where", "key", "annotation", "number", "marks"), NUMERIC, ids=[one[1] for one in NUMERIC])
def test_numbers_that_cannot_be_are_named_on_the_command_line(
    where: Where, key: str, annotation: Any, number: type, marks: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    for bad in [*bad_values(number, marks)[:7], "many", "9" * 5000]:
        value = " ".join(map(str, put(bad, annotation))) if isinstance(put(bad, annotation), tuple) else str(bad)
        with pytest.raises((ConfigError, SystemExit)) as stopped:
            parse_train([where[0], "--task", where[1], f"--{key}", *value.split()])
        said = capsys.readouterr().err if isinstance(stopped.value, SystemExit) else str(stopped.value)
        assert key in said, (bad, said)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"sead": 1}, ["sead", "'seed'"]),
        ({"train": {"minibach": 1}}, ["unknown setting train.minibach", "'minibatch'"]),
        ({"train": {"minibatch": "many"}}, ["train.minibatch is 'many'", "whole number from 1 to"]),
        ({"train": {"minibatch": True}}, ["train.minibatch is True", "whole number"]),
        ({"train": {"minibatch": 2.0}}, ["train.minibatch is 2.0", "whole number"]),
        ({"train": {"lr": "1e-4"}}, ["train.lr is '1e-4'", "a number from"]),
        ({"train": {"adam_betas": [0.9]}}, ["train.adam_betas", "a list of 2 values"]),
        ({"train": {"adam_betas": [0.9, 0.9, 0.9]}}, ["train.adam_betas", "a list of 2 values"]),
        ({"train": {"adam_betas": [0.9, 1.0]}}, ["train.adam_betas is 1.0", "from 0 to below 1"]),
        ({"train": 3}, ["train", "table"]),
        ({"train": None}, ["train", "table"]),
        ({"task": 3}, ["task", "table"]),
        ({"task": {"name": 3}}, ["task.name is 3"]),
        ({"task": {"name": " "}}, ["task.name is empty"]),
        ({"task": {"name": "ezpoints", "deck": "marble"}}, ["task.deck is 'marble'", "Known: classic, dark, sketch"]),
        ({"task": {"name": "ezpoints", "hand": 3}}, ["unknown setting task.hand", "'hands'"]),
        ({"task": {"name": "own.py:Game", "import": 3}}, ["'import'"]),
        ({"task": {"name": "own.py:Game", "__class__": 3}}, ["'__class__'"]),
        ({"task": {"name": "own.py:Game", "na\U0001d7da": 3}}, ["names of settings are Python's"]),
        ({"task": {"name": "own.py:Game", "\ufb01ne": 3}}, ["names of settings are Python's"]),
        ({"ppo": {"ratio": "tokens"}}, ["algo.ratio is 'tokens'", "'token'"]),
        ({"policy": {"value_hidden": 5}}, ["policy.value_hidden is 5", "list"]),
        ({"policy": {"value_hidden": [5] * 17}}, ["policy.value_hidden", "list"]),
        ({"policy": {"model": ""}}, ["policy.model is empty"]),
        ({"runs": ""}, ["runs is empty"]),
        ({"name": " "}, ["name is empty"]),
        ({"name": "\ud800"}, ["Unicode"]),
        ({"seed": None}, ["seed is None", "whole number"]),
        ({"policy": {"freeze_vision": 1}}, ["policy.freeze_vision is 1", "True or False"]),
        ({"report": {"trackers": ["wandb", "tensorbord"]}}, ["report.trackers is 'tensorbord'", "'tensorboard'"]),
        ({"guidance": {"corrector": "oracel"}}, ["guidance.corrector is 'oracel'", "'oracle'", "file.py:Class"]),
        ({"guidance": {"corrector": ":"}}, ["guidance.corrector is ':'"]),
        ({"train": {"lr": object()}}, ["no plain value"]),
        ([1], ["the config must be a table"]),
    ],
)
def test_what_is_wrong_is_named(values: Any, words: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        config_from_dict(values)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_long_values_are_shortened() -> None:
    with pytest.raises(ConfigError) as error:
        config_from_dict({"train": {"lr": "9" * 100_000}})
    assert len(str(error.value)) < 300


def test_names_that_are_no_folders_are_refused() -> None:
    for name in ("a/b", "/dev/null", "..", ".", "a\0b", "a\nb", "n" * 201):
        with pytest.raises(ConfigError, match="name is"):
            validate(changed(build("gtr"), {"name": name}))


def test_keys_left_out_take_defaults_and_whole_numbers_serve_as_floats() -> None:
    config = config_from_dict({"algo": {"name": "gtr", "clip": 1}})
    assert config.algo == PPOSettings(name="gtr", clip=1.0)
    assert isinstance(config.algo.clip, float)
    assert config_from_dict({"preset": "rl4vlm", "ppo": {"clip": 1}}).algo == RL4VLM.Settings(name="rl4vlm", clip=1.0)


def test_keys_are_complete() -> None:
    known = keys(Config)
    assert len(known) == len(set(known))
    assert {"preset", "seed", "task.name", "algo.name", "report.stop_on_alarm"} <= set(known)
    assert "task" not in known
    assert list(settings_of(build("gtr"))) == [
        *known[: known.index("task.name")],
        *(f"task.{key}" for key in keys(tasks.find("points24").Settings)),
        *known[known.index("policy.model") : known.index("algo.name")],
        *(f"algo.{key}" for key in keys(algo.find("gtr").Settings)),
        *known[known.index("train.updates") :],
    ]


@given(
    clip=st.floats(1e-6, 10),
    hands=st.none() | st.integers(1, 715),
    widths=st.lists(st.integers(1, 4096), max_size=4),
    name=st.text(min_size=1).filter(str.strip),
)
def test_round_trip_is_exact(clip: float, hands: int | None, widths: list[int], name: str) -> None:
    settings = {"algo.clip": clip, "task.hands": hands, "policy.value_hidden": tuple(widths), "name": name}
    config = changed(build("gtr"), settings)
    assert config_from_dict(json.loads(json.dumps(config_to_dict(config)))) == config


def test_a_game_of_somebodys_own_is_read_without_running_its_code(tmp_path: Any) -> None:
    file = tmp_path / "game.py"
    file.write_text("raise SystemExit('the code was run')\n")
    task = {"name": f"{file}:Game", "image_size": 64, "length": 9, "kinds": ["a"]}
    values = {"task": task, "algo": {"name": "ppo"}}
    config = config_from_dict(values)
    assert isinstance(config.task, Kept)
    assert (config.task.image_size, asdict(config.task)["length"]) == (64, 9)
    assert settings_of(config)["task.kinds"] == ["a"]
    assert config_from_dict(json.loads(json.dumps(config_to_dict(config)))) == config
    assert changed_keys(config, config_from_dict({**values, "task": {**task, "length": 8}})) == ["task.length"]
    with pytest.raises(tasks.TaskError, match=r"run only where you name it: --task .*game\.py:Game"):
        tasks.load(config.task)
    with pytest.raises(SystemExit):
        config_from_dict(values, [f"{file}:Game"])


def test_settings_of_ones_own_game_have_its_types(tmp_path: Any) -> None:
    file = tmp_path / "corridor.py"
    file.write_text(CORRIDOR)
    name = f"{file}:Corridor"
    values = {"task": {"name": name, "length": 9}}
    typed, kept = config_from_dict(values, [name]), config_from_dict(values)
    assert (asdict(typed.task), type(typed.task).__name__) == (asdict(kept.task) | {"doors": (2, 3)}, "Settings")
    assert tasks.load(kept.task, [name]).config == typed.task
    assert parse_train(["gtr", "--task", name, "--task.length", "12"]).config.task.length == 12  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match=r"task\.length is 100: give a whole number from 1 to 99"):
        parse_train(["gtr", "--task", name, "--task.length", "100"])
    with pytest.raises(ConfigError, match=r"unknown setting task\.lenght: did you mean 'length'"):
        read(type(typed.task), {"lenght": 1}, "task.")


CORRIDOR = '''
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Le

from gtr.config import TaskConfig
from gtr.tasks.task import Task


@dataclass(frozen=True)
class Settings(TaskConfig):
    """A corridor."""

    length: Annotated[int, Ge(1), Le(99)] = 5
    """Steps from end to end."""
    doors: tuple[int, ...] = (2, 3)
    """Where one can leave."""


class Corridor(Task):
    Settings = Settings
    name = "corridor"

    def make_env(self):
        raise NotImplementedError

    observe = prompt = actions = to_env = make_env
'''

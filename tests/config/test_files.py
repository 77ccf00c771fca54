"""Settings in files: three formats alike, partial or whole, and one plain message for what is wrong with them."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from gtr.config.files import LARGEST, read_file
from gtr.config.io import changed, config_to_dict
from gtr.config.presets import build, preset
from gtr.errors import ConfigError

TABLES = {
    "preset": "rl4vlm",
    "task": {"name": "ezpoints", "hands": 5, "thought": True},
    "train": {"lr": 1e-4, "adam_betas": [0.8, 0.9], "updates": 4},
    "report": {"trackers": []},
}
TOML = """
preset = "rl4vlm"
task = { name = "ezpoints", hands = 5, thought = true }
report.trackers = []
[train]
lr = 1e-4
adam_betas = [0.8, 0.9]
updates = 4
"""
YAML = """
preset: rl4vlm
task: {name: ezpoints, hands: 5, thought: true}
train:
  lr: 1e-4
  adam_betas: [.8, 9e-1]
  updates: 4
report:
  trackers: []
"""


@pytest.mark.parametrize(
    ("name", "text"), [("a.toml", TOML), ("a.yaml", YAML), ("a.yml", YAML), ("a.json", json.dumps(TABLES))]
)
def test_all_formats_say_the_same(name: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_text(text)
    assert read_file(file) == TABLES
    own = {"task.hands": 5, "train.lr": 1e-4, "train.adam_betas": (0.8, 0.9), "report.trackers": ()}
    assert preset(file=file) == changed(build("rl4vlm", "ezpoints", updates=4), own)
    assert preset("sft_only", file=file, seed=3).seed == 3


@pytest.mark.parametrize("name", ["numberline", "alfworld"])
def test_a_whole_config_is_taken_as_it_is(name: str, tmp_path: Path) -> None:
    config = changed(build("annealed_cloning", name, "7b"), {"seed": 2**62, "corrector.budget_usd": 0.1 + 0.2})
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config_to_dict(config)))
    assert preset(file=file) == config


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.toml", "[train]\nminibach = 3", ["a.toml: unknown setting train.minibach", "did you mean 'minibatch'"]),
        ("a.yaml", "train: {updates: 0}", ["a.yaml: train.updates is 0"]),
        ("a.yaml", "train: {lr: fast}", ["a.yaml: train.lr is 'fast'"]),
        ("a.yaml", "train: {lr: 2020-01-01}", ["a.yaml", "no plain value"]),
        ("a.toml", "seed = 1.5", ["seed is 1.5: give a whole number"]),
        ("a.json", '{"train": {"lr": NaN}}', ["train.lr is nan"]),
        ("a.json", '{"train": [1]}', ["train is [1]: give a table"]),
        ("a.toml", "task = 3", ["task", "table"]),
        ("a.toml", '[task]\nname = "point24"', ["'point24'", "did you mean 'points24'"]),
        ("a.toml", '[task]\nname = "ezpoints"\nlimit = 3', ["a.toml: unknown setting task.limit"]),
        ("a.toml", 'preset = "gtrr"', ["'gtrr'", "did you mean 'gtr'"]),
        ("a.toml", "seed = = 1", ["a.toml: cannot be read"]),
        ("a.yaml", "a: [", ["a.yaml: cannot be read"]),
        ("a.yaml", "a: &x [1]\nb: [*x, *x]", ["aliases"]),
        ("a.yaml", "!!python/object/apply:os.system ['true']", ["a.yaml: cannot be read"]),
        ("a.json", "[" * 1000, ["a.json: cannot be read"]),
        *((f"a.{ending}", "[" * 90_000, ["more brackets than"]) for ending in ("json", "yaml", "toml")),
        ("a.yaml", "- " * 40_000, ["a.yaml: cannot be read"]),
        ("a.yaml", "? " * 40_000, ["a.yaml: cannot be read"]),
        *(("a.yaml", text, ["stands there twice"]) for text in ("seed: 1\nseed: 2", "train: {lr: 1e-4, lr: 2e-4}")),
        *(("a.json", text, ["stands there twice"]) for text in ('{"seed": 1, "seed": 2}', '{"a": [{"b": 1, "b": 1}]}')),
        ("a.toml", "seed = 1\nseed = 2", ["a.toml: cannot be read"]),
        *((f"a.{ending}", "a" + ".a" * 20_000 + " = 1", ["dots"]) for ending in ("toml", "yaml", "json")),
        ("a.json", "3", ["holds no table"]),
        ("a.yaml", "", ["holds no table"]),
        ("a.txt", "", ["the ending says how it is read"]),
        ("a.json", " " * (LARGEST + 1), ["too large"]),
    ],
)
def test_what_is_wrong_with_a_file_is_told(name: str, text: str, words: list[str], tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError) as error:
        preset(file=tmp_path / name)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_what_is_no_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "loop.json").symlink_to("loop.json")
    (tmp_path / "latin.toml").write_bytes(b'name = "\xe9"')
    os.mkfifo(tmp_path / "fifo.yaml")
    for name in ("folder.json", "loop.json", "fifo.yaml", "latin.toml", "none.toml", "x" * 5000 + ".json", "a\0.json"):
        with pytest.raises(ConfigError, match="--config"):
            read_file(tmp_path / name)


OLD: dict[str, Any] = {
    "prompt": "compact", "thought": True, "image_size": 96, "deck": "dark", "faces": "ten", "hands": None,
    "max_turns": None, "loopholes": False, "illegal": "penalise", "illegal_reward": -1.0,
}  # fmt: skip
"""The task's settings as version 0.1 wrote them, beside ``name`` and ``options``."""


@pytest.mark.parametrize(
    ("name", "options", "kept", "own"),
    [
        ("points24", {}, {"faces": "rank", "hands": 32, "loopholes": True}, {"faces": "rank", "hands": 32}),
        ("points24", {"order": "sorted"}, {}, {"order": "sorted"}),
        ("numberline", {"max_position": "9"}, {"loopholes": True}, {"max_position": 9}),
        ("blackjack", {}, {}, {}),
        (
            "alfworld",
            {"kinds": "heat, pick", "games": "24", "rooms": "all", "labels": "off", "cut_reward": "none", "text": "on"},
            {},
            {"kinds": ("heat", "pick"), "games": 24, "rooms": None, "labels": False, "cut_reward": None, "text": True},
        ),
        ("alfworld", {"data": "files", "games": "all", "cut_reward": "-2.5"}, {}, {"games": None, "cut_reward": -2.5}),
    ],
)
def test_settings_of_older_versions_are_read(
    name: str, options: dict[str, str], kept: dict[str, Any], own: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"task": {**OLD, "name": name, "options": options, **kept}}))
    task = preset(file=file).task
    want = {**vars(build("gtr", name).task), "deck": "dark"} if name != "alfworld" else vars(task)
    for key, value in {"prompt": "compact", "image_size": 96, "deck": "dark", **own}.items():
        assert vars(task)[key] == value
    assert vars(task).keys() == want.keys()


def test_older_settings_of_somebodys_own_game_are_kept() -> None:
    from gtr.config.io import config_from_dict, settings_of

    values = {"task": {**OLD, "name": "own.py:Game", "options": {"length": "9"}}}
    found = settings_of(config_from_dict(values))
    assert (found["task.length"], found["task.deck"], "task.faces" in found) == ("9", "dark", False)
    with pytest.raises(ConfigError, match=r"task\.kinds is 'hot'"):
        config_from_dict({"task": {**OLD, "name": "alfworld", "options": {"kinds": "hot"}}})

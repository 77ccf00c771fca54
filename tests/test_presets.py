"""Presets, the round trip of settings through JSON, and the words for settings that cannot work."""

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtr.checks import validate
from gtr.config import Config
from gtr.config_io import changed_keys, config_from_dict, config_keys, config_to_dict
from gtr.errors import ConfigError
from gtr.presets import METHODS, SCALES, TASKS, build


def changed(config: Config, key: str, value: Any) -> Config:
    """The config with one dotted key set, whatever the value."""
    room, _, name = key.rpartition(".")
    if not room:
        return replace(config, **{name: value})
    return replace(config, **{room: replace(getattr(config, room), **{name: value})})


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("method", METHODS)
def test_every_preset_is_valid_and_survives_json(method: str, task: str, scale: str) -> None:
    config = build(method, task, scale)
    assert config.preset == method
    assert config.task.name == task
    assert config_from_dict(json.loads(json.dumps(config_to_dict(config)))) == config


def test_paper_scale_has_the_published_amounts() -> None:
    points, blackjack = build("gtr", "points24", "7b"), build("gtr", "blackjack", "7b")
    assert points.train.envs * points.train.turns == 1024
    assert blackjack.train.envs * blackjack.train.turns == 512
    assert points.train.updates * 1024 == blackjack.train.updates * 512 == 15_360
    assert points.train.minibatch * points.train.accumulation == 128
    assert (points.policy.lora_rank, points.policy.lora_alpha) == (128, 256)
    assert (points.train.lr, points.ppo.gamma, points.ppo.gae_lambda, points.ppo.clip) == (1e-5, 0.9, 0.95, 0.1)


def test_methods_differ_from_gtr_only_in_what_they_name() -> None:
    paper = build("gtr")
    expected = {
        "gtr": [],
        "rl4vlm": ["guidance.corrector", "ppo.thought_weight", "ppo.action_tokens"],
        "sft_only": ["ppo.policy_weight", "ppo.value_weight"],
        "no_dagger": ["guidance.memory"],
        "clone_actions": ["guidance.clone"],
        "annealed_cloning": ["guidance.anneal_updates"],
        "judge_reward": [
            "guidance.judge",
            "guidance.stop_early",
            "ppo.thought_weight",
            "ppo.action_tokens",
        ],
        "no_thought": ["task.thought", "guidance.corrector"],
        "reference": [
            "task.loopholes",
            "task.illegal",
            "policy.repetition_penalty",
            "guidance.correct_malformed",
            "guidance.forget_target",
            "ppo.thought_weight",
            "ppo.action_tokens",
            "ppo.value_gradient",
            "ppo.format_reward",
            "ppo.format_reward_in",
        ],
    }
    assert expected.keys() == METHODS.keys()
    for method, keys in expected.items():
        assert changed_keys(paper, replace(build(method), preset="gtr")) == keys, method


def test_a_users_own_task_is_taken_by_import_path() -> None:
    assert build("gtr", "games.py:Maze").task.name == "games.py:Maze"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("gtrr",), ["'gtrr'", "did you mean 'gtr'"]),
        (("gtr", "point24"), ["'point24'", "did you mean 'points24'", "file.py:Class"]),
        (("gtr", "points24", "7B"), ["'7B'", "7b, tiny"]),
    ],
)
def test_unknown_names_name_the_nearest(arguments: tuple[str, ...], words: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        build(*arguments)
    assert all(word in str(error.value) for word in words)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("train.minibatch", 0),
        ("train.minibatch", 385),
        ("train.updates", 0),
        ("train.lr", 0.0),
        ("train.lr", -1.0),
        ("train.lr", float("nan")),
        ("train.lr_final", 1.0),
        ("train.adam_betas", (0.9, 1.0)),
        ("train.grad_norm", 0.0),
        ("train.value_lr", 0.0),
        ("policy.temperature", 0.0),
        ("policy.temperature", float("inf")),
        ("policy.lora_dropout", 1.0),
        ("policy.value_hidden", (0,)),
        ("policy.model", " "),
        ("ppo.gamma", 1.01),
        ("ppo.gae_lambda", -0.1),
        ("ppo.clip", 0.0),
        ("ppo.ratio", "word"),
        ("sft.target", 1.5),
        ("sft.check_every", 0),
        ("task.hands", 0),
        ("task.image_size", 8),
        ("task.max_turns", 0),
        ("task.name", ""),
        ("task.deck", "marble"),
        ("guidance.weight", -1.0),
        ("report.keep_checkpoints", 0),
        ("seed", -1),
    ],
)
def test_impossible_values_are_named(key: str, value: Any) -> None:
    with pytest.raises(ConfigError) as error:
        validate(changed(build("gtr"), key, value))
    assert key in str(error.value)
    assert str(value).strip() in str(error.value)


def test_settings_that_are_wrong_together() -> None:
    with pytest.raises(ConfigError, match=r"nothing would be learnt.*set ppo\.policy_weight 1"):
        validate(changed(build("sft_only"), "guidance.corrector", "none"))
    with pytest.raises(ConfigError, match=r"set guidance\.corrector none"):
        validate(changed(build("gtr"), "task.thought", False))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"sead": 1}, ["sead", "'seed'"]),
        ({"train": {"minibach": 1}}, ["train.minibach", "'minibatch'"]),
        ({"train": {"minibatch": "many"}}, ["train.minibatch", "int", "'many'"]),
        ({"train": {"minibatch": True}}, ["train.minibatch", "int"]),
        ({"train": {"adam_betas": [0.9]}}, ["train.adam_betas", "2 values"]),
        ({"train": 3}, ["train", "table"]),
        ({"task": {"options": {"a": 1}}}, ["task.options", "table of texts"]),
        ({"ppo": {"ratio": "tokens"}}, ["ppo.ratio", "'token'"]),
        ({"policy": {"value_hidden": 5}}, ["policy.value_hidden", "list"]),
    ],
)
def test_bad_files_are_named(values: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        config_from_dict(values)
    assert all(word in str(error.value) for word in words)


def test_keys_left_out_take_defaults_and_whole_numbers_serve_as_floats() -> None:
    config = config_from_dict({"ppo": {"clip": 1}})
    assert config == changed(Config(), "ppo.clip", 1.0)
    assert isinstance(config.ppo.clip, float)


def test_keys_are_complete() -> None:
    keys = config_keys()
    assert len(keys) == len(set(keys))
    assert {"preset", "seed", "task.name", "ppo.clip", "report.stop_on_alarm"} <= set(keys)
    assert "task" not in keys


@given(
    clip=st.floats(1e-6, 10),
    hands=st.none() | st.integers(1, 715),
    widths=st.lists(st.integers(1, 4096), max_size=4),
    options=st.dictionaries(st.text(), st.text(), max_size=3),
)
def test_round_trip_is_exact(clip: float, hands: int | None, widths: list[int], options: dict[str, str]) -> None:
    config = changed(changed(Config(), "ppo.clip", clip), "task.hands", hands)
    config = changed(changed(config, "policy.value_hidden", tuple(widths)), "task.options", options)
    assert config_from_dict(json.loads(json.dumps(config_to_dict(config)))) == config


def test_presets_are_light() -> None:
    code = "import sys, gtr.presets; print([m for m in ('torch', 'transformers', 'numpy') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"

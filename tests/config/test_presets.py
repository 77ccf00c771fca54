"""Presets: what each method and each game brings, and the names that are not there."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from gtr.config.checks import validate
from gtr.config.io import changed, changed_keys, config_from_dict, config_to_dict
from gtr.config.presets import METHODS, SCALES, build, preset
from gtr.errors import ConfigError, TaskError
from gtr.tasks import TASKS

EXAMPLE = Path(__file__).parents[2] / "examples" / "dots.py"


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
            "task.illegal",
            "task.loopholes",
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
    name = f"{EXAMPLE}:DotsTask"
    assert build("gtr", name).task.name == name
    assert build("gtr", name, "7b").train.updates == 15
    with pytest.raises(TaskError, match=r"'games\.py' does not exist"):
        build("gtr", "games.py:Maze")


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


def test_settings_that_are_wrong_together() -> None:
    with pytest.raises(ConfigError, match=r"nothing would be learnt.*set ppo\.policy_weight 1"):
        validate(changed(build("sft_only"), {"guidance.corrector": "none"}))
    with pytest.raises(ConfigError, match=r"set guidance\.corrector none"):
        validate(changed(build("gtr"), {"task.thought": False}))
    with pytest.raises(ConfigError, match=r"guidance\.judge is score.*own\.py:Mine"):
        validate(changed(build("judge_reward"), {"guidance.corrector": "own.py:Mine"}))
    with pytest.raises(ConfigError, match=r"train\.minibatch is 385.*384 or less"):
        validate(changed(build("gtr"), {"train.minibatch": 385}))
    with pytest.raises(ConfigError, match=r"train\.lr_final is 1\.0, above train\.lr"):
        validate(changed(build("gtr"), {"train.lr_final": 1.0}))


def test_the_games_say_what_is_special_about_them() -> None:
    """Figures by hand, from the tables that the presets were published with."""
    tiny = {name: build("gtr", name) for name in TASKS}
    assert {name: (one.train.updates, one.sft.target, one.train.lr) for name, one in tiny.items()} == {
        "numberline": (30, 0.3, 2e-4),
        "ezpoints": (12, 0.01, 5e-4),
        "points24": (24, 0.008, 3e-4),
        "blackjack": (30, 0.3, 2e-4),
        "alfworld": (16, 0.25, 2e-4),
    }
    paper = {name: build("rl4vlm", name, "7b") for name in TASKS}
    assert {name: one.ppo.thought_weight for name, one in paper.items() if one.ppo.thought_weight != 0.5} == {
        "alfworld": 0.2
    }
    assert [name for name, one in paper.items() if not one.guidance.stop_early] == ["alfworld"]
    assert changed_keys(build("gtr", "alfworld"), build("reference", "alfworld"))[1] == "task.illegal"
    assert build("reference", "alfworld").task == replace(tiny["alfworld"].task, illegal="random", match="substring")


def test_a_preset_takes_settings_by_their_keys() -> None:
    made = preset("annealed_cloning", "ezpoints", **{"train.updates": 40, "policy.value_hidden": [16], "seed": 7})
    base = build("annealed_cloning", "ezpoints", updates=40)
    assert made == changed(base, {"policy.value_hidden": (16,), "seed": 7})
    assert made.guidance.anneal_updates == 20
    for settings, words in [
        ({"train.updtes": 3}, "did you mean 'updates'"),
        ({"tran.updates": 3}, "did you mean 'train'"),
        ({"train.lr": "fast"}, "train.lr is 'fast'"),
        ({"train": 3}, "train is 3: give a table"),
        ({"train.envs": 0}, "train.envs is 0"),
    ]:
        with pytest.raises(ConfigError, match=words):
            preset("gtr", "ezpoints", **settings)


def test_presets_are_light() -> None:
    code = "import sys, gtr.config.presets; print([m for m in ('torch', 'transformers') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"

"""Presets: what each method and each game brings, and the names that are not there."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from gtr.algo import ALGORITHMS
from gtr.config.checks import validate
from gtr.config.io import changed, changed_keys, config_from_dict, config_to_dict
from gtr.config.presets import METHODS, build, preset
from gtr.config.scales import SCALES
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
    assert (points.train.lr, points.algo.gamma, points.algo.gae_lambda, points.algo.clip) == (1e-5, 0.9, 0.95, 0.1)


def test_the_reference_plays_whole_rollouts_of_the_published_steps() -> None:
    """15,000 steps in rollouts of 1,024 or 512, 5,000 on ALFWorld: 14, 29 and 4 updates."""
    found = {name: build("reference", name, "7b").train for name in TASKS}
    assert {name: train.updates for name, train in found.items()} == {
        "numberline": 29,
        "ezpoints": 14,
        "points24": 14,
        "blackjack": 29,
        **dict.fromkeys(("frozenlake", "sokoban"), 14),
        "alfworld": 4,
    }
    assert {train.lr_updates for train in found.values()} == {25}
    assert build("reference", "points24", "7b", updates=3).train.updates == 3
    assert build("reference", "numberline").train.updates == build("gtr", "numberline").train.updates
    assert preset("reference", "points24", "7b", **{"train.updates": 15}).train.updates == 15


def test_presets_differ_from_their_algorithm_only_in_what_they_name() -> None:
    expected = {
        "rl4vlm": [],
        "sft_only": ["algo.policy_weight", "algo.value_weight"],
        "no_dagger": ["guidance.memory"],
        "clone_actions": ["guidance.clone"],
        "announced_actions": ["guidance.clone"],
        "annealed_cloning": ["guidance.anneal_updates"],
        "stops_only": ["guidance.weight"],
        "judge_reward": ["guidance.corrector", "guidance.judge", "guidance.stop_early"],
        "length_reward": ["algo.length_reward"],
        "no_thought": ["task.thought"],
        "iterate": [],
        "rejection_sft": ["algo.rl_updates"],
        "turbo_kl": [],
        "turbo_kl_unclipped": ["algo.divergence"],
        "turbo_kl_per_token": ["algo.divergence", "algo.per_token", "algo.ratio", "algo.thought_weight", "algo.tokens"],
        "turbo_kl_base": ["algo.teacher"],
        "turbo_hybrid": ["corrector.ask_share", "guidance.corrector"],
        "reference": [
            "task.illegal",
            "task.loopholes",
            "policy.repetition_penalty",
            "guidance.correct_malformed",
            "guidance.forget_target",
            "algo.thought_weight",
            "algo.action_tokens",
            "algo.format_reward",
            "algo.format_reward_in",
            "guidance.draw",
            "policy.penalised",
            "policy.tiles",
            "guidance.stop_on",
            "algo.truncated_is",
            "algo.ratio_cap",
            "algo.value_weight",
            "algo.value_gradient",
            "train.lr_updates",
            "train.clip_together",
        ],
    }
    assert {*expected, *ALGORITHMS} == set(METHODS)
    for method, keys in expected.items():
        algorithm = build(METHODS[method].algo)
        assert sorted(changed_keys(algorithm, replace(build(method), preset=algorithm.preset))) == sorted(keys), method


def test_algorithms_learn_from_outcomes_alone_unless_guided() -> None:
    assert build("gtr").guidance.corrector == "oracle"
    for name in ALGORITHMS:
        assert name == "gtr" or build(name).guidance.corrector == "none"
        beside = build(f"{name}+gtr")
        assert beside.guidance == build("gtr").guidance
        assert (beside.algo, beside.preset) == (build(name).algo, f"{name}+gtr")


def test_the_published_defaults_of_an_algorithm_stand_above_the_scale() -> None:
    """VL-DAC says nothing of the clip range, which the tiny scale widens; GRPO says .2, at any scale."""
    for scale, clip in (("tiny", 0.2), ("7b", 0.1)):
        assert [build(name, scale=scale).algo.clip for name in ("gtr", "vl_dac", "grpo")] == [clip, clip, 0.2]
        assert build("vl_dac", scale=scale).algo.value_gradient == "stop"
    assert build("gtr", scale="7b").algo.value_gradient == "flow"


def test_another_algorithm_takes_the_presets_place() -> None:
    swapped = preset("sft_only", "ezpoints", algo="vl_dac")
    assert (swapped.preset, swapped.algo.name, swapped.algo.policy_weight) == ("sft_only", "vl_dac", 0.0)
    with pytest.raises(ConfigError, match=r"the preset sets algo\.value_weight, which grpo does not have"):
        preset("sft_only", "ezpoints", algo="grpo")
    with pytest.raises(ConfigError, match=r"unknown algorithm 'grppo': did you mean 'grpo'"):
        preset("gtr", algo="grppo")


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
    with pytest.raises(ConfigError, match=r"nothing would be learnt.*set algo\.policy_weight 1"):
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
        "frozenlake": (12, 0.35, 5e-4),
        "sokoban": (12, None, 5e-4),
        "alfworld": (16, 0.25, 2e-4),
    }
    paper = {name: build("rl4vlm", name, "7b") for name in TASKS}
    assert {name: one.algo.thought_weight for name, one in paper.items() if one.algo.thought_weight != 0.5} == {
        "alfworld": 0.2
    }
    assert [name for name, one in paper.items() if not one.guidance.stop_early] == ["alfworld"]
    code = {name: build("reference", name) for name in TASKS}
    assert {name: one.guidance.stop_on for name, one in code.items() if one.guidance.stop_early} == {
        **dict.fromkeys(("numberline", "blackjack", "ezpoints", "frozenlake", "sokoban"), ("unsolvable", "loss")),
        "points24": ("unsolvable", "loss", "plan", "no_plan"),
    }
    assert not code["blackjack"].task.natural_wins
    assert code["numberline"].task.starts == "shifted"
    assert [name for name, one in code.items() if one.algo.truncated_is == "truncation"] == ["alfworld"]
    assert build("reference", "alfworld").task == replace(tiny["alfworld"].task, illegal="lenient", match="substring")
    whole = build("reference", "alfworld", "7b").task
    assert (whole.limit, whole.history, whole.repeats, whole.cut_reward) == (41, 10_000, 5, -3.0)


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


def test_the_table_of_departures_names_every_setting_of_the_reference() -> None:
    written = (EXAMPLE.parents[1] / "docs" / "REFERENCE.md").read_text()
    for task in TASKS:
        for scale in SCALES:
            keys = changed_keys(build("gtr", task, scale), build("reference", task, scale))
            assert len(keys) > 15
            assert [key for key in keys if key != "preset" and f"`{key}`" not in written] == []
    assert not any(build(method, scale="7b").sft.enabled for method in METHODS), "a decision that is written there"


def test_presets_are_light() -> None:
    code = "import sys, gtr.config.presets; print([m for m in ('torch', 'transformers') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"

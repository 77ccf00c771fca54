"""What algorithms do with rollouts, beside their numbers: what is left out, played on for, and kept over a rest."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from small import changed, cut, plain_turn, spoken
from toys import CountTask, Scripted, count_of, say

from gtr import algo
from gtr.algo.bilevel_gae import BilevelGAE
from gtr.algo.dapo import DAPO
from gtr.algo.grpo import GRPO
from gtr.algo.iterate import Iterate
from gtr.algo.ppo import PPO
from gtr.algo.vl_dac import VLDAC
from gtr.config import Config
from gtr.learner import learn, make_optimizer
from gtr.policy.policy import Policy
from gtr.policy.reference import ReferencePolicy
from gtr.rollout import Collector
from gtr.train import train
from gtr.types import Ending, Prompt, Rollout, Trajectory

Settings = Callable[..., Config]
MakePolicy = Callable[..., Policy]
HERE = Path(__file__).parents[1]


class Silent:
    """A policy whose tokens hold no text."""

    def offsets(self, tokens: Any) -> list[tuple[int, int]]:
        return [(0, 0)] * len(tokens)


def played(*rewards: float, group: int = 0, ending: str = "terminated") -> Trajectory:
    turns = [plain_turn(reward, 0.0) for reward in rewards]
    return Trajectory([*turns[:-1], replace(turns[-1], ending=Ending(ending))], group)


# -- what broke ---------------------------------------------------------------------------------------------------
def test_a_turn_in_which_the_environment_broke_is_left_out(settings: Settings) -> None:
    rollout = cut([[plain_turn(1.0, 0.5), plain_turn(0.0, 9.0, "aborted", 9.0), plain_turn(2.0, 0.0, "terminated")]])
    samples = PPO(settings("ppo"), None, Silent()).samples(rollout, 0)
    assert [sample.value for sample in samples] == [0.5, 0.0]
    mean = np.mean([sample.advantage for sample in samples])
    assert mean == pytest.approx(0.0, abs=1e-6), "nor does it shift the others"


def test_an_episode_that_broke_is_compared_with_none(settings: Settings) -> None:
    rollout = Rollout([played(1.0), played(3.0), played(-50.0, ending="aborted")])
    samples = GRPO(settings("grpo", **{"algo.scale": "none"}), None, Silent()).samples(rollout, 0)
    assert [sample.advantage for sample in samples] == [-1.0, 1.0]


def test_where_nothing_is_left_a_row_of_no_weight_keeps_step(settings: Settings, make_policy: MakePolicy) -> None:
    policy, config = make_policy(), settings("dapo", **{"train.minibatch": 4})
    turn = spoken(policy, say("+"))
    rollout = Rollout([Trajectory([replace(turn, ending=Ending.TERMINATED)], 0)] * 2)
    algorithm = DAPO(config, None, policy)
    (idle,) = algorithm.samples(rollout, 0)
    assert (idle.weights, idle.target) == ({}, None)
    before = {name: value.clone() for name, value in policy.network.state_dict().items()}
    optimizer = make_optimizer(policy, config.train)
    learn([idle], algorithm, policy, optimizer, config.train, Accelerator(), np.random.default_rng(0))
    after = policy.network.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items()), "no step is taken at all"


# -- dynamic sampling ---------------------------------------------------------------------------------------------
def test_dapo_plays_on_until_enough_groups_differ(settings: Settings) -> None:
    """Of every second start state, the episodes of a group end differently."""
    config = settings("dapo", **{"train.envs": 4, "train.turns": 4, "algo.group": 2})
    calls = {"n": 0}

    def answer(prompt: Prompt, call: int) -> str:
        calls["n"] += 1
        mixed = int(prompt.text.split()[0]) % 2
        return say("win" if count_of(prompt) >= 1 + mixed * (calls["n"] % 2) else "go")

    algorithm = DAPO(config, CountTask(), Silent())
    collector = Collector(CountTask(), Scripted(answer), None, config, spec=algorithm.rollout)
    rollout = collector.collect()
    kept = algorithm.chosen(rollout)
    assert 16 <= sum(len(one.turns) for one in kept.trajectories) < len(rollout.flat())
    returns = algorithm.returns(kept.trajectories)
    assert all(len(set(rows)) > 1 for rows in returns.values())


def test_dapo_stops_playing_on_where_no_group_differs(settings: Settings) -> None:
    config = settings("dapo", **{"train.envs": 4, "train.turns": 2, "algo.group": 2, "algo.most_rollouts": 3})
    algorithm = DAPO(config, CountTask(), Silent())
    answer = Scripted(lambda prompt, call: say("win"))
    rollout = Collector(CountTask(), answer, None, config, spec=algorithm.rollout).collect()
    assert len(rollout.flat()) == 3 * 8


def test_long_replies_cost(settings: Settings) -> None:
    """The last fifth of 10 tokens: 8 cost nothing, 9 half, 10 all."""
    algorithm = DAPO(settings("dapo", **{"policy.max_new_tokens": 10}), None, Silent())
    turn = plain_turn(1.0, 0.0)
    turns = [replace(turn, reply=replace(turn.reply, tokens=(1,) * n)) for n in (8, 9, 10)]
    assert algorithm.rewards(Trajectory(turns)).tolist() == [1.0, 0.5, 0.0]


# -- the critic, the reference ------------------------------------------------------------------------------------
def test_the_critic_is_trained_alone_at_first(settings: Settings) -> None:
    algorithm = VLDAC(settings("vl_dac"), None, Silent())
    weights = []
    for algorithm.update in range(3):
        weights.append([algorithm.losses()[name].weight for name in ("policy", "value", "kl")])
    assert weights == [[0, 0.5, 0], [0, 0.5, 0], [1, 0.5, 0.04]]


def test_tokens_have_advantages_and_targets_of_their_own(settings: Settings, make_policy: MakePolicy) -> None:
    policy, config = make_policy(), settings("bilevel_gae", **{"train.minibatch": 4, "algo.normalise_floor": 1e-5})
    texts = [say("+", "go up"), say("-"), say("+", "a little more")]
    turns = [replace(spoken(policy, text), reward=float(i)) for i, text in enumerate(texts)]
    turns[-1] = replace(turns[-1], ending=Ending.TERMINATED)
    algorithm = BilevelGAE(config, None, policy)
    samples = algorithm.samples(Rollout([Trajectory(turns)]), 0)
    values = policy.token_values([turn.prompt for turn in turns], [turn.reply.tokens for turn in turns])
    for sample, turn, known in zip(samples, turns, values, strict=True):
        assert len(sample.advantage) == len(sample.target) == len(sample.value) == len(turn.reply.tokens)
        assert known[0] == pytest.approx(policy.values([turn.prompt])[0], abs=1e-5), "first that of the prompt"
    spread = np.concatenate([sample.advantage for sample in samples])
    assert (spread.mean(), spread.std()) == (pytest.approx(0, abs=1e-6), pytest.approx(1, abs=1e-5))
    optimizer = make_optimizer(policy, config.train)
    learnt = learn(samples, algorithm, policy, optimizer, config.train, Accelerator(), np.random.default_rng(0))
    assert learnt.metrics["loss/value"] > 0


def test_the_divergence_from_the_start_is_nothing_at_the_start(settings: Settings, make_policy: MakePolicy) -> None:
    policy = make_policy()
    config = settings("ppo", **{"algo.kl_weight": 1.0, "train.minibatch": 4, "train.lr": 1e-2, "train.epochs": 1})
    turns = [replace(spoken(policy, say("+", "go up")), ending=Ending.TERMINATED, reward=float(i)) for i in range(4)]
    algorithm = PPO(config, None, policy, reference=ReferencePolicy(policy))
    losses = []
    optimizer = make_optimizer(policy, config.train)
    for update in range(2):
        samples = algorithm.samples(cut([turns]), update)
        assert len(samples[0].reference) == len(turns[0].reply.tokens)
        learnt = learn(samples, algorithm, policy, optimizer, config.train, Accelerator(), np.random.default_rng(0))
        losses.append(learnt.metrics["loss/kl"])
    assert losses[0] == pytest.approx(0, abs=1e-6)
    assert losses[1] > 1e-6


# -- rounds -------------------------------------------------------------------------------------------------------
def test_rounds_clone_what_was_won_and_then_go_on_by_rl(settings: Settings, make_policy: MakePolicy) -> None:
    policy = make_policy()
    config = settings("iterate", **{"algo.rl_updates": 1, "train.minibatch": 4})
    algorithm = Iterate(config, CountTask(), policy)
    said = [replace(spoken(policy, say("+", f"go {words}")), reward=float(len(words))) for words in ("up", "on", "")]
    won = [said[0], replace(said[1], ending=Ending.TERMINATED, success=True)]
    lost = [replace(said[2], env=1, ending=Ending.TERMINATED)]
    rollout = cut([won, lost])
    algorithm.samples(rollout, 0)
    lessons = algorithm.cloning.latest
    assert [policy.decode(one.tokens) for one in lessons] == [say("+", "go up"), say("+", "go on")]
    assert all(set(one.weights["cloning"]) == {1.0} for one in lessons), "the action too"
    assert list(algorithm.losses()) == ["cloning"]
    assert len(algorithm.beside(3, np.random.default_rng(0))) == 3
    algorithm.samples(rollout, 1)
    assert list(algorithm.losses()) == ["policy", "value", "entropy"]
    assert algorithm.beside(3, np.random.default_rng(0)) == []


def test_where_nothing_was_won_no_step_is_taken(settings: Settings, make_policy: MakePolicy) -> None:
    policy, config = make_policy(), settings("rejection_sft", **{"train.minibatch": 4})
    algorithm, optimizer = Iterate(config, CountTask(), policy), make_optimizer(policy, config.train)
    before = {name: value.clone() for name, value in policy.network.state_dict().items()}
    samples = algorithm.samples(cut([[replace(spoken(policy, say("+")), ending=Ending.TERMINATED)]]), 5)
    learn(samples, algorithm, policy, optimizer, config.train, Accelerator(), np.random.default_rng(0))
    after = policy.network.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


# -- whole runs ---------------------------------------------------------------------------------------------------
def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "checkpoints/update_00002/model/model.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize("name", [*algo.ALGORITHMS, "grpo+gtr"])
def test_every_algorithm_goes_on_exactly(name: str, settings: Settings, tmp_path: Path) -> None:
    small = {"train.envs": 8, "train.minibatch": 8, "policy.temperature": 1.0, "task.illegal": "random"}
    if "dapo" in name:
        small["algo.most_rollouts"] = 2
    run = train(settings(name, **small))
    straight = weights(run)
    shutil.rmtree(run / "checkpoints/update_00002")
    train(settings(name, **small), run)
    again = weights(run)
    assert all(torch.equal(again[key], value) for key, value in straight.items())
    twice = weights(train(settings(name, **small, name="twice")))
    assert all(torch.equal(twice[key], value) for key, value in straight.items()), "and run twice"


@pytest.mark.slow
def test_processes_keep_step_though_they_gather_unequally(tmp_path: Path) -> None:
    """Whole episodes in two processes: more turns here than there, one agent all the same."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, str(HERE / "two_processes.py"), "episodes", str(tmp_path)],
        env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    ours, theirs = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert ours["samples"] != theirs["samples"]
    one, other = (load_file(tmp_path / f"{rank}.safetensors") for rank in (0, 1))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_settings_may_be_changed(settings: Settings) -> None:
    assert changed(settings("grpo"), **{"algo.group": 4}).algo.group == 4

"""Numbers of every algorithm against worked vectors: plain Python on one rollout (data/algorithm_vectors.json)."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small import plain_turn
from torch import Tensor

from gtr.algo.credit import bilevel_gae, gae, grouped, normalise, returns_to_go, whiten
from gtr.algo.divergence import divergence
from gtr.algo.edits import edit_weights
from gtr.algo.filters import deviations, informative, most_signal, most_uncertain
from gtr.algo.gigpo import GiGPO
from gtr.algo.grpo import GRPO
from gtr.algo.hgpo import HGPO
from gtr.algo.policy_gradient import PolicyGradient
from gtr.algo.reinforce_pp import ReinforcePP
from gtr.algo.rloo import RLOO
from gtr.algo.teacher import place_of
from gtr.algo.turbo_kl import TurboKL, TurboKLSettings
from gtr.config import Config, EngineConfig
from gtr.engine.correction import importance_weights, mismatch
from gtr.losses.kl import k3
from gtr.losses.ppo import policy_normaliser, ppo_loss, value_loss
from gtr.types import Ending, Prompt, Reply, Rollout, Trajectory

VECTORS = json.loads((Path(__file__).parents[1] / "data" / "algorithm_vectors.json").read_text())
CLOSE: dict[str, Any] = {"abs": 2e-6, "rel": 2e-6}
TRAJECTORIES = VECTORS["rollout"]


def trajectory(states: list[str], rewards: list[float], tokens: list[int]) -> Trajectory:
    turns = []
    for state, reward, count in zip(states, rewards, tokens, strict=True):
        prompt = Prompt(np.full((2, 2, 3), int(state[1:]), np.uint8), "same words")
        reply = Reply("x" * count, (1,) * count, (-0.5,) * count, True, 0.0)
        turns.append(replace(plain_turn(reward, 0.0), prompt=prompt, reply=reply))
    turns[-1] = replace(turns[-1], ending=Ending.TERMINATED)
    return Trajectory(turns, group=0)


ROLLOUT = Rollout([trajectory(**one) for one in TRAJECTORIES.values()])


def advantages(kind: type[PolicyGradient], **settings: Any) -> dict[str, float]:
    """By trajectory and turn, ``a0`` to ``c2``."""
    algorithm = kind(Config(algo=kind.Settings(**settings)), None, None)
    found = algorithm.advantages(ROLLOUT)
    return {f"{n}{t}": float(x) for n, row in zip(TRAJECTORIES, found, strict=True) for t, x in enumerate(row)}


def by_trajectory(wanted: dict[str, float]) -> dict[str, float]:
    return {f"{name}{t}": wanted[name] for name, one in TRAJECTORIES.items() for t in range(len(one["states"]))}


EPISODES: dict[str, tuple[type[PolicyGradient], dict[str, Any]]] = {
    "grpo_per_trajectory": (GRPO, {}),
    "grpo_trl_eps1e-4": (GRPO, {"eps": 1e-4}),
    "dr_grpo": (GRPO, {"scale": "none"}),
    "rloo": (RLOO, {}),
    "grpo_passk": (GRPO, {"baseline": "second_best"}),
    "opo_length_weighted_baseline": (GRPO, {"baseline": "length", "scale": "none"}),
    "grpo_cross_step(verl-agent default)": (GRPO, {"moments": "turns"}),
    "grpo_cross_step_no_std": (GRPO, {"moments": "turns", "scale": "none"}),
    "reinforce_pp (verl: token whiten, Bessel)": (ReinforcePP, {}),
    "reinforce_pp_baseline (verl)": (ReinforcePP, {"group": 3}),
}


@pytest.mark.parametrize("name", EPISODES)
def test_advantages_of_episodes(name: str) -> None:
    kind, settings = EPISODES[name]
    assert advantages(kind, **settings) == pytest.approx(by_trajectory(VECTORS[name]), **CLOSE)


TURNS: dict[str, tuple[type[PolicyGradient], dict[str, Any]]] = {
    "gigpo_mean_norm (w=1, cross-step episode mean)": (GiGPO, {"moments": "turns"}),
    "gigpo_mean_std_norm (w=1, cross-step episode mean,std)": (GiGPO, {"moments": "turns", "scale": "std"}),
    "gigpo_mean_norm (w=1, per-trajectory episode mean)": (GiGPO, {}),
    "hgpo_mean_norm_H2": (HGPO, {}),
    "hgpo_mean_std_norm_H2 (std ddof 0)": (HGPO, {"scale": "std"}),
}


@pytest.mark.parametrize("name", TURNS)
def test_advantages_of_turns(name: str) -> None:
    kind, settings = TURNS[name]
    assert advantages(kind, **settings) == pytest.approx(VECTORS[name], **CLOSE)


def test_what_a_turn_earned_later() -> None:
    found = {
        f"{name}{t}": value
        for name, one in TRAJECTORIES.items()
        for t, value in enumerate(returns_to_go(np.array(one["rewards"]), 0.95).tolist())
    }
    assert found == pytest.approx(VECTORS["gigpo_return_to_go_gamma.95"], **CLOSE)


def test_a_group_of_one_says_nothing() -> None:
    for scale in ("std", "none", "mean"):
        assert grouped(np.array([10.0]), [0], "mean", scale).tolist() == [VECTORS["group_of_one_R=10"]["trl"]]
    assert grouped(np.array([10.0]), [0], "leave_one_out", "none").tolist() == [0.0]


def test_max_rl() -> None:
    wanted = VECTORS["maxrl_example_rewards_1_0_0_1"]
    assert grouped(np.array([1.0, 0, 0, 1]), [0] * 4, "mean", "mean").tolist() == wanted
    assert grouped(np.array([0.0, 0]), [0] * 2, "mean", "mean").tolist() == [0, 0], "nothing to divide by"


def test_population_variance_is_that_of_plain_normalisation() -> None:
    wanted = VECTORS["reinforce_baseline (OpenRLHF: population var)"]
    returns = np.array([10.0, -1.0, -1.0]) - 8 / 3
    tokens = np.repeat(returns, [12, 8, 9])
    assert normalise(returns, tokens.tolist()).tolist() == pytest.approx([wanted[n] for n in "abc"], **CLOSE)
    sampled = VECTORS["reinforce_pp_baseline (verl)"]
    assert whiten(returns, tokens.tolist(), [1.0] * 29).tolist() == pytest.approx([sampled[n] for n in "abc"], **CLOSE)


def test_turn_gae() -> None:
    wanted = VECTORS["turn_gae (VL-DAC / Turn-PPO / VAGEN no_concat / gtr)"]
    values = np.array(wanted["values"])
    found = gae(np.array([0.0, 0, 10]), values, 0.0, 0.9, 0.95)
    assert found.tolist() == pytest.approx(wanted["advantages"], **CLOSE)
    assert (found + values).tolist() == pytest.approx(wanted["returns"], **CLOSE)


def test_bilevel_gae() -> None:
    values = np.arange(1, 11) / 10
    halves = [values[:5], values[5:]]
    wanted = VECTORS["bilevel_gae (RAGEN unit-test input, gamma=lam=1, gamma_high .95)"]
    found = np.concatenate(bilevel_gae(np.array([1.0, 1.0]), halves, 0.95, 1.0, 1.0))
    assert found.tolist() == pytest.approx(wanted["advantages_raw"], **CLOSE)
    assert (found + values).tolist() == pytest.approx(wanted["returns"], **CLOSE)
    white = whiten(found, found.tolist(), [1.0] * 10)
    assert white.tolist() == pytest.approx(wanted["advantages_whitened"], **CLOSE)


def test_a_turn_of_reward_zero_is_a_turn() -> None:
    values = np.arange(1, 11) / 10
    wanted = VECTORS["bilevel_gae first turn reward 0, lam .9"]["explicit_turn_ends"]
    found = np.concatenate(bilevel_gae(np.array([0.0, 1.0]), [values[:5], values[5:]], 0.95, 1.0, 0.9))
    assert found.tolist() == pytest.approx(wanted, **CLOSE)


# -- losses -------------------------------------------------------------------------------------------------------
F = torch.float64


def each(log_ratio: list[float], advantage: list[float], **options: Any) -> list[float]:
    """The policy loss of each token as if it were alone."""
    pairs = zip(log_ratio, advantage, strict=True)
    return [loss_of([[x]], [a], ratio="token", **options) for x, a in pairs]


def loss_of(log_ratios: list[list[float]], advantage: list[float], ratio: Any, **options: Any) -> float:
    new = torch.tensor(log_ratios, dtype=F)
    weights = torch.ones_like(new)
    normaliser = policy_normaliser(weights, ratio)
    given = {"clip": 0.2, **options}
    told: Callable[[Any], Tensor] = lambda values: torch.tensor(values, dtype=F)  # noqa: E731
    loss = ppo_loss(new, torch.zeros_like(new), weights, told(advantage), ratio=ratio, normaliser=normaliser, **given)
    return float(loss.loss)


def test_clipped_token_losses() -> None:
    wanted = VECTORS["ppo_token_loss"]
    told = wanted["log_ratio"], wanted["adv"]
    assert each(*told, dual_clip=3.0) == pytest.approx(wanted["clip_0p2"], **CLOSE)
    assert each(*told, dual_clip=3.0, clip_high=0.28) == pytest.approx(wanted["dapo_0p2_0p28"], **CLOSE)
    assert each(*told) == pytest.approx(wanted["no_dual_clip"], **CLOSE)


def test_granularity_of_the_ratio() -> None:
    wanted = VECTORS["ratio_granularity A=+1 clip .2"]
    rows = [wanted["log_ratio"]]
    assert loss_of(rows, [1.0], "token") == pytest.approx(wanted["token_mean"], **CLOSE)
    assert loss_of(rows, [1.0], "turn") == pytest.approx(wanted["turn_product"], **CLOSE)
    assert loss_of(rows, [1.0], "turn_mean") == pytest.approx(wanted["turn_geometric_mean"], **CLOSE)


def test_advantages_of_tokens_are_averaged_where_a_turn_has_one_ratio() -> None:
    new = torch.tensor([[0.0, 0.0, 0.0]], dtype=F)
    weights, apart = torch.tensor([[1.0, 1.0, 0.0]], dtype=F), torch.tensor([[1.0, 3.0, 99.0]], dtype=F)
    for ratio in ("turn", "turn_mean", "token"):
        normaliser = policy_normaliser(weights, ratio)
        loss = ppo_loss(new, new, weights, apart, clip=0.2, ratio=ratio, normaliser=normaliser).loss
        assert float(loss) == pytest.approx(-2.0)


def test_ways_to_average() -> None:
    """Token weights say what is averaged over: 1 each, 1 per episode's token, or, with one ratio per turn, turns."""
    wanted = VECTORS["loss_aggregation (ratio 1, A=grpo_per_trajectory)"]
    episode = VECTORS["grpo_per_trajectory"]
    rows = [(episode[n], count, sum(one["tokens"])) for n, one in TRAJECTORIES.items() for count in one["tokens"]]
    told = torch.tensor([advantage for advantage, _, _ in rows], dtype=F)
    longest = max(count for _, count, _ in rows)

    def loss(share: Callable[[int], float], ratio: Any) -> float:
        weights = torch.tensor([[share(size)] * n + [0.0] * (longest - n) for _, n, size in rows], dtype=F)
        zero, normaliser = torch.zeros_like(weights), policy_normaliser(weights, ratio)
        return float(ppo_loss(zero, zero, weights, told, clip=0.2, ratio=ratio, normaliser=normaliser).loss)

    assert loss(lambda size: 1.0, "token") == pytest.approx(wanted["token-mean"], **CLOSE)
    assert loss(lambda size: 1 / size, "token") == pytest.approx(wanted["seq-mean-token-mean"], **CLOSE)
    assert loss(lambda size: 1.0, "token") * 29 / 3 == pytest.approx(wanted["seq-mean-token-sum"], **CLOSE)
    assert loss(lambda size: 1.0, "turn") == pytest.approx(wanted["turn-mean"], **CLOSE)


def test_the_loss_of_a_turn_in_vl_dac() -> None:
    wanted = VECTORS["vl_dac_turn"]
    policy = loss_of([wanted["log_ratio"]], [wanted["adv"]], "token", clip=wanted["clip"])
    assert policy == pytest.approx(wanted["pg"], **CLOSE)
    apart = k3(torch.zeros(2, dtype=F), torch.tensor([-0.1, 0.2], dtype=F)).mean()
    assert float(apart) == pytest.approx(wanted["k3"], **CLOSE)
    told = (torch.tensor([wanted[name]], dtype=F) for name in ("v_new", "v_old", "ret"))
    value = 0.5 * float(value_loss(*told, clip=wanted["value_clip"], normaliser=1).loss)
    assert value == pytest.approx(wanted["value_loss_half_max"], **CLOSE)
    assert policy + wanted["beta"] * float(apart) + value == pytest.approx(wanted["total"], **CLOSE)


def test_a_ratio_beyond_the_cap_counts_as_the_clipped_one() -> None:
    assert each([3.0], [-1.0], ratio_cap=10.0) == pytest.approx([1.2])
    assert each([2.0], [-1.0], ratio_cap=10.0) == pytest.approx([np.exp(2.0)])


# -- filters ------------------------------------------------------------------------------------------------------
GROUPS = {
    0: (1, 1, 1, 1), 1: (1, 0, 0, 0), 2: (1, 1, 0, 0), 3: (0, 0, 0, 0), 4: (0.2, 0.1, 0.1, 0.1), 5: (1, 1, 1, 0),
    6: (0, 0, 0, 0), 7: (0.5, 0.5, 0, 0),
}  # fmt: skip


def test_filters_keep_the_groups_that_say_something() -> None:
    def names(kept: list[int]) -> list[str]:
        return [f"g{group}" for group in kept]

    assert {f"g{g}": x for g, x in deviations(GROUPS).items()} == pytest.approx(VECTORS["filter_std"], **CLOSE)
    assert names(most_uncertain(GROUPS, 0.25)) == VECTORS["starpo_s_top25%_of_8_groups"]
    assert names(most_signal(GROUPS, 0.9)) == VECTORS["ragen2_top_p_.9"]["kept"]
    assert names(informative(GROUPS)) == VECTORS["dapo_dynamic_sampling_kept"]
    assert most_signal({0: (1, 1)}, 0.9) == informative({0: (1, 1)}) == [], "nothing at all, where nothing differs"


# -- minimum edits ------------------------------------------------------------------------------------------------
EDITS = {
    "substitute": ([1, 2, 3, 4], [1, 9, 3, 4]),
    "insert_middle": ([1, 2, 3], [1, 2, 8, 3]),
    "insert_front (stays .5)": ([1, 2], [7, 1, 2]),
    "delete_middle": ([1, 2, 3, 4], [1, 2, 4]),
    "equal": ([1, 2, 3], [1, 2, 3]),
}


@pytest.mark.parametrize("name", EDITS)
def test_weights_of_the_minimum_edit(name: str) -> None:
    assert edit_weights(*EDITS[name], front=False) == VECTORS["rlmec"][name][1]


def test_tokens_inserted_at_the_front_are_edits_too() -> None:
    assert edit_weights([1, 2], [7, 1, 2]) == [1.0, 0.5, 0.5]
    assert edit_weights([], [7, 1]) == [1.0, 1.0]
    assert edit_weights([5], []) == []


# -- teachers -----------------------------------------------------------------------------------------------------
def test_the_reward_of_a_turn_held_to_its_teacher() -> None:
    """Clipped token by token, then averaged: not the other way round."""
    wanted = VECTORS["turbo_kl_reward"]
    agent, teacher = np.array(wanted["logp_student"]), np.array(wanted["logp_teacher"])
    assert divergence(agent, teacher, "k1").tolist() == pytest.approx(wanted["k1"], **CLOSE)
    clipped = divergence(agent, teacher, "clipped").mean()
    assert clipped == pytest.approx(wanted["mean_clipped_per_token"], **CLOSE)
    assert clipped != pytest.approx(wanted["clipped_mean"], abs=1e-3)
    assert divergence(agent, teacher, "k3").mean() == pytest.approx(wanted["k3_mean"], **CLOSE)
    assert divergence(agent, teacher, "abs").tolist() == pytest.approx([0.2, 0.4, 1.0, 0.0], **CLOSE)

    algorithm = TurboKL.__new__(TurboKL)
    algorithm.config = Config(algo=TurboKLSettings())
    algorithm.settings = algorithm.config.algo
    turn = plain_turn(-1.0, 0.0)
    turn = replace(turn, reply=replace(turn.reply, tokens=(1, 2, 3, 4), logprobs=tuple(wanted["logp_student"])))
    algorithm.said = {place_of(turn): teacher}
    (reward,) = algorithm.rewards(Trajectory([turn])).tolist()
    assert reward == pytest.approx(wanted["reward_after"], **CLOSE)


def test_both_directions_of_the_divergence_have_their_means() -> None:
    """Over all tokens of two distributions, weighted as the agent samples them."""
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.2, 0.6])
    agent, teacher = np.log(p), np.log(q)
    for kind, wanted in (("k1", (p * np.log(p / q)).sum()), ("k3", (p * np.log(p / q)).sum())):
        assert (p * divergence(agent, teacher, kind)).sum() == pytest.approx(wanted)
    found = divergence(agent, teacher, "forward")
    assert (p * found).sum() == pytest.approx((q * np.log(q / p)).sum())
    assert (found >= 0).all()
    for kind in ("k1", "clipped", "abs", "k3", "forward"):
        assert divergence(agent, agent, kind).tolist() == [0, 0, 0]
        assert np.isfinite(divergence(agent, np.full(3, -np.inf), kind)).all()


# -- another sampler than the trainer -----------------------------------------------------------------------------
TIS = VECTORS["tis"]
DELTA = np.array(TIS["delta"])
CORRECTED: dict[str, dict[str, Any]] = {
    "token_truncate_C2": {"correction_cap": 2.0},
    "token_truncate_C3": {"correction_cap": 3.0},
    "token_mask_C3": {"correction_cap": 3.0, "correction_mode": "mask"},
    "icepop_0p5_5": {"correction_cap": 5.0, "correction_floor": 0.5, "correction_mode": "mask"},
}


@pytest.mark.parametrize("name", CORRECTED)
def test_importance_weights_of_tokens(name: str) -> None:
    found = importance_weights(DELTA, np.full(5, True), EngineConfig(**CORRECTED[name]))
    assert found == pytest.approx(TIS[name], **CLOSE)


def test_importance_weights_of_replies() -> None:
    every, last = np.full(5, True), np.arange(5) == 2
    sequence = EngineConfig(correction="sequence", correction_cap=5.0)
    assert importance_weights(DELTA, every, sequence) == pytest.approx([TIS["sequence_product"]] * 5, **CLOSE)
    assert importance_weights(DELTA, last, sequence) == pytest.approx([1, 1, np.exp(1.4), 1, 1])
    assert (importance_weights(DELTA, every, EngineConfig(correction="off")) == 1).all()


def test_the_mismatch_of_sampler_and_trainer() -> None:
    found = mismatch(DELTA)
    assert found["engine/kl_k1"] == pytest.approx(TIS["k1_mismatch_kl"], **CLOSE)
    assert found["engine/kl_k3"] == pytest.approx(TIS["k3_mismatch_kl"], **CLOSE)
    assert found["engine/mismatch"] == 3.0

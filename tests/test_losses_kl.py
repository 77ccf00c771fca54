"""KL estimators against the exact divergence of two categorical distributions."""

import math

import pytest
import torch

from gtr.losses.kl import guidance_reward, k1, k2, k3

P = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
Q = torch.tensor([0.25, 0.25, 0.5], dtype=torch.float64)


def test_k1_and_k3_are_unbiased() -> None:
    exact = torch.nn.functional.kl_div(Q.log(), P, reduction="sum").item()
    assert (P * k1(P.log(), Q.log())).sum().item() == pytest.approx(exact)
    assert (P * k3(P.log(), Q.log())).sum().item() == pytest.approx(exact)


def test_by_hand() -> None:
    two, one = torch.tensor([math.log(2.0)]), torch.tensor([0.0])  # p = 2q
    assert k1(two, one).item() == pytest.approx(math.log(2.0))
    assert k2(two, one).item() == pytest.approx(0.5 * math.log(2.0) ** 2)
    assert k3(two, one).item() == pytest.approx(0.5 - 1 + math.log(2.0))


def test_k2_and_k3_are_never_negative_and_zero_on_equal() -> None:
    a, b = torch.randn(2, 1000, generator=torch.Generator().manual_seed(0)).unbind()
    assert k2(a, b).min() >= 0
    assert k3(a, b).min() >= 0
    assert k3(a, a).abs().max() == 0


def test_k2_equals_k1_to_second_order() -> None:
    near = P * (1 + 1e-3 * torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64))
    near = near / near.sum()
    exact = (P * k1(P.log(), near.log())).sum().item()
    assert (P * k2(P.log(), near.log())).sum().item() == pytest.approx(exact, rel=1e-2)


def test_guidance_reward_clips_at_zero_and_averages_over_the_thought() -> None:
    # Excess 1, -2 -> 0, and an action token that is not looked at: -(1 + 0)/2. The second turn has no thought.
    agent = torch.tensor([[-1.0, -3.0, -0.1], [-1.0, -1.0, -1.0]])
    teacher = torch.tensor([[-2.0, -1.0, -9.0], [-math.inf, -1.0, -1.0]])
    thought = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    assert guidance_reward(agent, teacher, thought).tolist() == [-0.5, 0.0]

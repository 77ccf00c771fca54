"""KL estimators against the exact divergence of two categorical distributions."""

import math

import pytest
import torch

from gtr.losses.kl import k1, k3

P = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
Q = torch.tensor([0.25, 0.25, 0.5], dtype=torch.float64)


def test_k1_and_k3_are_unbiased() -> None:
    exact = torch.nn.functional.kl_div(Q.log(), P, reduction="sum").item()
    assert (P * k1(P.log(), Q.log())).sum().item() == pytest.approx(exact)
    assert (P * k3(P.log(), Q.log())).sum().item() == pytest.approx(exact)


def test_by_hand() -> None:
    two, one = torch.tensor([math.log(2.0)]), torch.tensor([0.0])  # p = 2q
    assert k1(two, one).item() == pytest.approx(math.log(2.0))
    assert k3(two, one).item() == pytest.approx(0.5 - 1 + math.log(2.0))


def test_k3_is_never_negative_and_zero_on_equals() -> None:
    a, b = torch.randn(2, 1000, generator=torch.Generator().manual_seed(0)).unbind()
    assert k3(a, b).min() >= 0
    assert k3(a, a).abs().max() == 0

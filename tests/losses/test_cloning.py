"""Thought cloning against torch's own cross-entropy and numbers worked by hand."""

import math

import pytest
import torch

from gtr.losses.cloning import cloning_loss


def test_by_hand_with_the_action_masked_and_padding_unread() -> None:
    logprobs = torch.tensor([[-1.0, -5.0, -2.0], [-3.0, -math.inf, math.nan]])
    weights = torch.tensor([[1.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    assert cloning_loss(logprobs, weights, normaliser=3).item() == pytest.approx(2.0)


def test_loss_and_gradient_equal_torch_cross_entropy() -> None:
    g = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 6, 9, generator=g, dtype=torch.float64, requires_grad=True)
    tokens = torch.randint(0, 9, (4, 6), generator=g)
    masked = torch.rand(4, 6, generator=g) < 0.3
    reference = torch.nn.functional.cross_entropy(
        logits.reshape(-1, 9), tokens.masked_fill(masked, -100).reshape(-1), ignore_index=-100
    )
    logprobs = logits.log_softmax(-1).gather(-1, tokens[..., None])[..., 0]
    weights = (~masked).double()
    ours = cloning_loss(logprobs, weights, normaliser=float(weights.sum()))
    torch.testing.assert_close(ours, reference)
    (a,), (b,) = torch.autograd.grad(ours, logits), torch.autograd.grad(reference, logits)
    torch.testing.assert_close(a, b)


def test_eight_of_one_add_up_to_one_of_eight() -> None:
    g = torch.Generator().manual_seed(1)
    logprobs = -torch.rand(8, 5, generator=g, dtype=torch.float64)
    weights = (torch.rand(8, 5, generator=g) < 0.6).double()
    normaliser = float(weights.sum())
    parts = [cloning_loss(logprobs[i : i + 1], weights[i : i + 1], normaliser=normaliser) for i in range(8)]
    torch.testing.assert_close(cloning_loss(logprobs, weights, normaliser=normaliser), torch.stack(parts).sum())


def test_nothing_to_clone_is_zero_and_a_negative_count_is_refused() -> None:
    assert cloning_loss(torch.full((2, 3), -1.0), torch.zeros(2, 3), normaliser=0).item() == 0.0
    with pytest.raises(ValueError, match="normaliser is -2"):
        cloning_loss(torch.full((2, 3), -1.0), torch.zeros(2, 3), normaliser=-2)

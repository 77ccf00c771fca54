"""KL estimators against the exact divergence of two categorical distributions."""

import math

import pytest
import torch
from torch.distributions import Categorical, kl_divergence

from gtr.losses.kl import k1, k3, likeliest_kl_loss

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


def drawn(seed: int, count: int = 12) -> torch.Tensor:
    """(2, 3, count) log-probabilities."""
    made = torch.Generator().manual_seed(seed)
    return (2 * torch.randn(2, 3, count, generator=made, dtype=torch.float64)).log_softmax(-1)


ONES = torch.ones(2, 3, dtype=torch.float64)


@pytest.mark.parametrize("count", [1, 4, 12])
def test_the_likeliest_tokens_and_the_rest_are_two_distributions(count: int) -> None:
    """Against torch's KL of categorical distributions, the rest's probability summed token by token."""
    agent, teacher = drawn(0), drawn(1)
    ids = teacher.topk(count).indices
    new, told = agent.gather(-1, ids), teacher.gather(-1, ids)

    def coarse(all_of: torch.Tensor) -> Categorical:
        rest = all_of.exp().scatter(-1, ids, 0.0).sum(-1, keepdim=True)
        return Categorical(torch.cat([all_of.gather(-1, ids).exp(), rest], dim=-1))

    exact = kl_divergence(coarse(agent), coarse(teacher))
    whole = kl_divergence(Categorical(logits=agent), Categorical(logits=teacher))
    weights = torch.tensor([[1.0, 0.5, 0.0], [2.0, 1.0, 1.0]], dtype=torch.float64)
    found = likeliest_kl_loss(new, told, weights, normaliser=5)
    assert found.item() == pytest.approx((weights * exact).sum().item() / 5, rel=1e-6)
    assert (exact <= whole + 1e-9).all(), "never more than over the whole vocabulary"
    if count == 12:
        assert found.item() == pytest.approx((weights * whole).sum().item() / 5, rel=1e-6)
    first, second = (likeliest_kl_loss(new[i], told[i], weights[i], normaliser=5) for i in (0, 1))
    assert (first + second).item() == pytest.approx(found.item()), "parts add up"


def test_its_gradient_is_what_the_sampled_gap_gives_on_average() -> None:
    """Over the whole vocabulary: the sum over tokens of p (log p - log q) times the gradient of log p."""
    logits, teacher = drawn(0).requires_grad_(), drawn(1)
    likeliest_kl_loss(logits.log_softmax(-1), teacher, ONES, normaliser=1).backward()
    new = logits.detach().clone().requires_grad_()
    logprobs = new.log_softmax(-1)
    gaps = (logprobs - teacher).detach()
    (logprobs.detach().exp() * gaps * logprobs).sum().backward()
    torch.testing.assert_close(logits.grad, new.grad, atol=1e-6, rtol=1e-6)
    some = teacher.topk(4)
    of_some = lambda x: likeliest_kl_loss(x.log_softmax(-1).gather(-1, some.indices), some.values, ONES, normaliser=6)  # noqa: E731
    assert torch.autograd.gradcheck(of_some, drawn(2).requires_grad_())


def test_equal_distributions_have_neither_divergence_nor_gradient() -> None:
    logits = drawn(0).float().requires_grad_()
    some = logits.detach().log_softmax(-1).topk(5)
    loss = likeliest_kl_loss(logits.log_softmax(-1).gather(-1, some.indices), some.values, ONES.float(), normaliser=6)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-7)
    assert logits.grad is not None
    assert logits.grad.abs().max() < 1e-6


def test_what_the_teacher_does_not_tell_of_is_part_of_the_rest() -> None:
    """And what has no weight may hold anything; a token that the agent may not say is no number too many."""
    agent, teacher = drawn(0), drawn(1)
    ids = teacher.topk(4).indices
    new, told = agent.gather(-1, ids), teacher.gather(-1, ids)
    fewer = likeliest_kl_loss(new[..., :2], told[..., :2], ONES, normaliser=6)
    told[..., 2:] = -torch.inf
    assert likeliest_kl_loss(new, told, ONES, normaliser=6).item() == pytest.approx(fewer.item())
    weights = ONES.clone()
    weights[1] = 0
    half = likeliest_kl_loss(new[0], told[0], ONES[0], normaliser=3)
    new, told = new.clone(), told.clone()
    new[1], told[1] = -torch.inf, torch.nan
    assert likeliest_kl_loss(new, told, weights, normaliser=3).item() == pytest.approx(half.item())
    new[0, 0, 0] = -torch.inf
    new.requires_grad_()
    loss = likeliest_kl_loss(new, told, weights, normaliser=3)
    loss.backward()
    assert loss.isfinite()
    assert new.grad is not None
    assert new.grad.isfinite().all()

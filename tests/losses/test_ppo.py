"""The PPO losses on numbers worked by hand, against a naive loop, and in parts."""

import math

import pytest
import torch
from torch import Tensor

from gtr.losses.ppo import Ratio, entropy_bonus, policy_normaliser, ppo_loss, value_loss

F = torch.float64


def t(*values: object) -> Tensor:
    return torch.tensor(values, dtype=F)


# Four turns of two tokens: ratios 1.5 and .5 against advantages of both signs, clip .2.
OLD = t([-1.0, -1.0], [-1.0, -1.0], [-1.0, -1.0], [-1.0, -1.0])
UP, DOWN = math.log(1.5), math.log(0.5)
NEW = OLD + t([UP, 0.0], [UP, 0.0], [DOWN, 0.0], [DOWN, 0.0])
ADVANTAGES = t(2.0, -2.0, 2.0, -2.0)


def test_turn_ratio_by_hand() -> None:
    # min(1.5*2, 1.2*2) = 2.4 (clipped); min(1.5*-2, 1.2*-2) = -3; min(.5*2, .8*2) = 1; min(.5*-2, .8*-2) = -1.6
    # (clipped). loss = -(2.4 - 3 + 1 - 1.6)/4 = .3
    out = ppo_loss(NEW, OLD, torch.ones(4, 2, dtype=F), ADVANTAGES, clip=0.2, ratio="turn", normaliser=4)
    assert out.loss.item() == pytest.approx(0.3)
    assert out.clip_frac.item() == 1.0
    assert out.kl_k1.item() == pytest.approx(-(UP + DOWN) / 2)
    assert out.kl_k3.item() == pytest.approx(((0.5 - UP) + (-0.5 - DOWN)) / 2)


def test_token_ratio_by_hand() -> None:
    # First tokens gain 2.4, -3, 1, -1.6 as above; second tokens have ratio 1 and gain 2, -2, 2, -2: sum -1.2.
    # With weight .5 on the second token their sum is still 0; normaliser is 4 + 4*.5 = 6: loss = 1.2/6 = .2
    weights = t([1, 0.5], [1, 0.5], [1, 0.5], [1, 0.5])
    out = ppo_loss(NEW, OLD, weights, ADVANTAGES, clip=0.2, ratio="token", normaliser=6)
    assert out.loss.item() == pytest.approx(0.2)
    assert out.clip_frac.item() == pytest.approx(4 / 6)
    assert out.kl_k1.item() == pytest.approx(-2 * (UP + DOWN) / 6)


def test_nothing_clipped_within_the_range() -> None:
    # Ratio 1.1 < 1.2: gains 2.2, -2.2, 2.2 -> loss -2.2/3
    new = OLD[:3] + t([math.log(1.1), 0], [math.log(1.1), 0], [math.log(1.1), 0])
    out = ppo_loss(new, OLD[:3], torch.ones(3, 2, dtype=F), t(2.0, -2.0, 2.0), clip=0.2, ratio="turn", normaliser=3)
    assert out.loss.item() == pytest.approx(-2.2 / 3)
    assert out.clip_frac.item() == 0.0


def test_thought_weight_scales_the_thoughts_share_of_the_turn_ratio() -> None:
    # Thought token moved by ln 4, lambda .5: ratio sqrt(4) = 2; advantage -1, so unclipped: loss 2.
    out = ppo_loss(t([math.log(4.0), 0.0]), t([0.0, 0.0]), t([0.5, 1.0]), t(-1.0), clip=0.1, ratio="turn", normaliser=1)
    assert out.loss.item() == pytest.approx(2.0)


def naive(
    new: Tensor, old: Tensor, weights: Tensor, advantages: Tensor, clip: float, ratio: Ratio, normaliser: float
) -> Tensor:
    """The same loss turn by turn and token by token, branching where the definition does."""
    total = torch.zeros((), dtype=F)
    for i in range(len(new)):
        positions = [j for j in range(new.shape[1]) if weights[i, j] > 0]
        if not positions:
            continue
        if ratio == "turn":
            logs = [weights[i, j] * (new[i, j] - old[i, j]) for j in positions]
            units = [(torch.stack(logs).sum(), 1.0)]
        else:
            units = [(new[i, j] - old[i, j], float(weights[i, j])) for j in positions]
        for log, weight in units:
            r, a = torch.exp(log), advantages[i]
            if a > 0:
                gain = a * (r if r < 1 + clip else torch.tensor(1 + clip, dtype=F))
            else:
                gain = a * (r if r > 1 - clip else torch.tensor(1 - clip, dtype=F))
            total = total - weight * gain
    return total / normaliser


def random_batch(seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    old = -torch.rand(8, 5, generator=g, dtype=F)
    new = old + 0.3 * torch.randn(8, 5, generator=g, dtype=F)
    weights = torch.tensor([0.0, 0.5, 1.0], dtype=F)[torch.randint(0, 3, (8, 5), generator=g)]
    weights[3] = 0.0
    return new.requires_grad_(), old, weights, torch.randn(8, generator=g, dtype=F)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("ratio", ["turn", "token"])
def test_loss_and_gradient_equal_a_naive_loop(seed: int, ratio: Ratio) -> None:
    new, old, weights, advantages = random_batch(seed)
    normaliser = policy_normaliser(weights, ratio)
    fast = ppo_loss(new, old, weights, advantages, clip=0.1, ratio=ratio, normaliser=normaliser).loss
    slow = naive(new, old, weights, advantages, 0.1, ratio, normaliser)
    torch.testing.assert_close(fast, slow)
    (a,), (b,) = torch.autograd.grad(fast, new), torch.autograd.grad(slow, new)
    torch.testing.assert_close(a, b)
    assert a.abs().sum() > 0


def test_gradient_is_the_plain_policy_gradient_at_ratio_one() -> None:
    old = -torch.rand(3, 4, dtype=F, generator=torch.Generator().manual_seed(0))
    new = old.clone().requires_grad_()
    advantages = t(1.0, -2.0, 0.5)
    loss = ppo_loss(new, old, torch.ones(3, 4, dtype=F), advantages, clip=0.1, ratio="turn", normaliser=3).loss
    (grad,) = torch.autograd.grad(loss, new)
    torch.testing.assert_close(grad, (-advantages / 3)[:, None].expand(3, 4).contiguous())


@pytest.mark.parametrize("ratio", ["turn", "token"])
def test_eight_of_one_add_up_to_one_of_eight(ratio: Ratio) -> None:
    new, old, weights, advantages = random_batch(11)
    normaliser = policy_normaliser(weights, ratio)

    def part(rows: slice) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        out = ppo_loss(
            new[rows], old[rows], weights[rows], advantages[rows], clip=0.1, ratio=ratio, normaliser=normaliser
        )
        return out.loss, out.clip_frac, out.kl_k1, out.kl_k3

    whole = torch.stack(part(slice(0, 8)))
    pieces = torch.stack([torch.stack(part(slice(i, i + 1))) for i in range(8)]).sum(0)
    torch.testing.assert_close(whole, pieces)
    (a,), (b,) = (
        torch.autograd.grad(whole[0], new, retain_graph=True),
        torch.autograd.grad(pieces[0], new),
    )
    torch.testing.assert_close(a, b)


def test_normalisers_count_turns_or_weights() -> None:
    weights = t([1, 0.5, 0], [0, 0, 0], [0, 0, 1])
    assert policy_normaliser(weights, "turn") == 2.0
    assert policy_normaliser(weights, "token") == 2.5


@pytest.mark.parametrize("ratio", ["turn", "token"])
def test_turns_without_weight_and_padding_count_for_nothing(ratio: Ratio) -> None:
    new, old = t([-1.0, -math.inf], [-2.0, math.nan]).requires_grad_(), t([-1.0, -math.inf], [-1.0, -1.0])
    out = ppo_loss(new, old, t([1.0, 0.0], [0.0, 0.0]), t(3.0, 100.0), clip=0.1, ratio=ratio, normaliser=1)
    assert out.loss.item() == pytest.approx(-3.0)
    (grad,) = torch.autograd.grad(out.loss, new)
    assert grad.tolist() == [[-3.0, 0.0], [0.0, 0.0]]


def test_a_batch_without_any_action_has_loss_zero() -> None:
    new = t([-1.0]).requires_grad_()
    out = ppo_loss(new, t([-1.0]), t([0.0]), t(1.0), clip=0.1, ratio="turn", normaliser=0)
    assert out.loss.item() == 0.0
    with pytest.raises(ValueError, match="normaliser is -1"):
        ppo_loss(new, t([-1.0]), t([0.0]), t(1.0), clip=0.1, ratio="turn", normaliser=-1)


@pytest.mark.parametrize("jump", [-500.0, 500.0])
@pytest.mark.parametrize("advantage", [-1.0, 1.0])
def test_huge_ratios_give_finite_losses_and_gradients(jump: float, advantage: float) -> None:
    new = torch.tensor([[jump]], requires_grad=True)
    out = ppo_loss(
        new, torch.zeros(1, 1), torch.ones(1, 1), torch.tensor([advantage]), clip=0.1, ratio="turn", normaliser=1
    )
    (grad,) = torch.autograd.grad(out.loss, new)
    assert torch.isfinite(torch.stack([out.loss, out.kl_k1, out.kl_k3, grad.sum()])).all()


def test_value_loss_by_hand() -> None:
    # old 0, clip .1. new .5, return 1: unclipped .25, clipped (.1-1)^2 = .81 -> .81
    # new -.5, return 1: unclipped 2.25, clipped 1.21 -> 2.25;  new .05, return 1: .9025 both. Sum 3.9625 / 3
    new, old, returns = t(0.5, -0.5, 0.05), t(0.0, 0.0, 0.0), t(1.0, 1.0, 1.0)
    out = value_loss(new, old, returns, clip=0.1, normaliser=3)
    assert out.loss.item() == pytest.approx(3.9625 / 3)
    assert out.clip_frac.item() == pytest.approx(2 / 3)


def test_value_loss_without_clip_is_the_mean_square() -> None:
    new, returns = t(0.5, -0.5), t(1.0, 1.0)
    out = value_loss(new, t(9.0, 9.0), returns, clip=0.0, normaliser=2)
    assert out.loss.item() == pytest.approx((0.25 + 2.25) / 2)
    assert out.clip_frac.item() == 0.0


def test_a_clipped_value_that_is_already_worse_gets_no_gradient() -> None:
    new = t(0.5).requires_grad_()
    value_loss(new, t(0.0), t(1.0), clip=0.1, normaliser=1).loss.backward()  # type: ignore[no-untyped-call]
    assert new.grad is not None
    assert new.grad.item() == 0.0


def test_value_loss_in_parts() -> None:
    g = torch.Generator().manual_seed(3)
    new, old, returns = (torch.randn(8, generator=g, dtype=F) for _ in range(3))
    whole = value_loss(new, old, returns, clip=0.2, normaliser=8)
    parts = [value_loss(new[i : i + 1], old[i : i + 1], returns[i : i + 1], clip=0.2, normaliser=8) for i in range(8)]
    torch.testing.assert_close(whole.loss, torch.stack([p.loss for p in parts]).sum())
    torch.testing.assert_close(whole.clip_frac, torch.stack([p.clip_frac for p in parts]).sum())


def test_entropy_bonus_is_a_weighted_mean_that_ignores_padding() -> None:
    out = entropy_bonus(t([1.0, math.nan], [2.0, 4.0]), t([1.0, 0.0], [0.5, 1.0]), normaliser=2.5)
    assert out.item() == pytest.approx((1.0 + 1.0 + 4.0) / 2.5)

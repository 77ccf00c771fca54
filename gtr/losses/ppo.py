"""The clipped policy loss over turns or tokens, the clipped value loss, and the entropy bonus.

Losses and metrics of the parts of a batch add up to those of the batch, and accumulating gradients over 8 passes of 1
turn equals one pass of 8.
"""
# ruff: noqa: F722

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from gtr.losses.kl import MAX_LOG_RATIO, k1, k3

Ratio = Literal["turn", "token", "turn_mean"]
_TINY = 1e-12


@dataclass(frozen=True)
class PolicyLoss:
    """The policy loss of one part of a batch; all four are shares of the batch and add up over its parts."""

    loss: Float[Tensor, ""]
    clip_frac: Float[Tensor, ""]
    """Share of ratios outside 1 +- clip."""
    kl_k1: Float[Tensor, ""]
    """KL(old || new), K1 estimate, per ratio, in nats."""
    kl_k3: Float[Tensor, ""]
    """The same, K3 estimate."""


@dataclass(frozen=True)
class ValueLoss:
    """The critic's loss of one part of a batch; both are shares of the batch and add up over its parts."""

    loss: Float[Tensor, ""]
    clip_frac: Float[Tensor, ""]
    """Share of turns whose value moved further than the clip range."""


def policy_normaliser(weights: Float[Tensor, "turn token"], ratio: Ratio) -> float:
    """What `ppo_loss` divides by, for the whole batch: its sum of weights, or its turns with any weighted token."""
    return float(weights.sum()) if ratio == "token" else float((weights > 0).any(dim=-1).sum())


def ppo_loss(
    new: Float[Tensor, "turn token"],
    old: Float[Tensor, "turn token"],
    weights: Float[Tensor, "turn token"],
    advantages: Float[Tensor, " turn"] | Float[Tensor, "turn token"],
    *,
    clip: float,
    ratio: Ratio,
    normaliser: float,
    clip_high: float | None = None,
    dual_clip: float | None = None,
    ratio_cap: float | None = None,
) -> PolicyLoss:
    """PPO's clipped surrogate (arXiv 1707.06347) on the reply's tokens.

    `new` and `old` are log-probabilities in nats of the sampled tokens, now and when sampled. `weights` says how much
    each token counts: 1 on the action, lambda on the thought (0 in the paper; 0.5 or 0.2 in RL4VLM, arXiv 2405.10292,
    section 4.2), 0 elsewhere and on padding, where `new` and `old` may hold anything.

    - ratio "turn": one ratio per turn, exp of the weighted sum of log-ratios; loss is the mean over turns.
    - ratio "turn_mean": the same of their weighted mean (GSPO, arXiv 2507.18071; ReMA, arXiv 2503.09501).
    - ratio "token": one ratio per token (VL-DAC, arXiv 2508.04280); loss is the mean over tokens weighted by `weights`.

    `advantages` of tokens are averaged, by weight, where a turn has one ratio. Options:

    - `clip_high`: the range above 1, where it is another than below (DAPO, arXiv 2503.14476).
    - `dual_clip`: for negative advantages the loss is at most this times their size (arXiv 1912.09729).
    - `ratio_cap`: a ratio above it counts as the clipped one, whatever the advantage's sign (VL-DAC's code: 10).

    A turn without a weighted token contributes nothing.
    """
    used = weights > 0
    zero = torch.zeros_like(new)
    new, old = torch.where(used, new, zero), torch.where(used, old, zero)
    if ratio == "token":
        advantages = advantages if advantages.dim() == 2 else advantages[:, None]
        share = weights / _divisor(normaliser)
    else:
        new, old = (weights * new).sum(dim=-1), (weights * old).sum(dim=-1)
        total = weights.sum(dim=-1).clamp(min=_TINY)
        if ratio == "turn_mean":
            new, old = new / total, old / total
        if advantages.dim() == 2:
            advantages = (weights * advantages).sum(dim=-1) / total
        share = used.any(dim=-1).to(new.dtype) / _divisor(normaliser)
    r = (new - old).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp()
    clipped = r.clamp(1 - clip, 1 + (clip if clip_high is None else clip_high))
    if ratio_cap is not None:
        r = torch.where(r > ratio_cap, clipped, r)
    gain = torch.minimum(r * advantages, clipped * advantages)
    if dual_clip is not None:
        gain = torch.where(advantages < 0, torch.maximum(gain, dual_clip * advantages), gain)
    with torch.no_grad():
        outside = (r - 1 > (clip if clip_high is None else clip_high)) | (1 - r > clip)
        clip_frac = (share * outside).sum()
        kl_k1, kl_k3 = (share * k1(old, new)).sum(), (share * k3(old, new)).sum()
    return PolicyLoss(-(share * gain).sum(), clip_frac, kl_k1, kl_k3)


def value_loss(
    new: Float[Tensor, " turn"],
    old: Float[Tensor, " turn"],
    returns: Float[Tensor, " turn"],
    *,
    clip: float,
    normaliser: float,
) -> ValueLoss:
    """The larger of the clipped and the unclipped squared error, mean over `normaliser` turns.

    As in PPO2 and RL4VLM, but without their inner factor of a half, which belongs to the caller's weight. `new` is the
    critic's value now, `old` when the turn was played; `clip` is in the unit of the return, 0 turns clipping off.
    """
    error = (new - returns) ** 2
    if clip <= 0:
        return ValueLoss(error.sum() / _divisor(normaliser), torch.zeros_like(error.sum()))
    near = old + (new - old).clamp(-clip, clip)
    moved = ((new - old).abs() > clip).to(new.dtype).sum()
    worse = torch.maximum(error, (near - returns) ** 2)
    return ValueLoss(worse.sum() / _divisor(normaliser), moved / _divisor(normaliser))


def entropy_bonus(
    entropy: Float[Tensor, "turn token"], weights: Float[Tensor, "turn token"], *, normaliser: float
) -> Float[Tensor, ""]:
    """Weighted mean entropy per token in nats, to be *subtracted* from the loss; `normaliser` is the batch's weight."""
    return torch.where(weights > 0, weights * entropy, torch.zeros_like(entropy)).sum() / _divisor(normaliser)


def explained_variance(values: Float[Tensor, "*turns"], returns: Float[Tensor, "*turns"]) -> float:
    """Share of the variance of returns that the critic's values explain: ``1 - Var(returns - values) / Var(returns)``.

    1 is a perfect critic, 0 one that knows at most the mean, below 0 one worse than that. 0 where all returns are
    equal and there is nothing to explain.
    """
    spread = float(returns.var(correction=0))
    return 1 - float((returns - values).var(correction=0)) / spread if spread > 0 else 0.0


def _divisor(normaliser: float) -> float:
    """A batch in which nothing counts has a zero sum too: its loss is 0, not 0/0."""
    if normaliser < 0:
        raise ValueError(f"normaliser is {normaliser}; it counts turns or tokens and cannot be negative")
    return normaliser or 1.0

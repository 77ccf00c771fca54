"""How far one distribution over tokens is from another, estimated from sampled tokens.

K1 and K3 are named after J. Schulman's note "Approximating KL Divergence" (2020).
"""
# ruff: noqa: F722

import torch
from jaxtyping import Float
from torch import Tensor

LEAST = 1e-7
"""Probability below which a bucket counts as this: single precision knows no less of 1 minus a sum."""
MAX_LOG_RATIO = 20.0
"""Log-ratios are kept within this many nats before `exp`, so that no ratio overflows (e**20 is 5e8)."""


def k1(sampled: Float[Tensor, "*any"], other: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """log p - log q per sample of p: unbiased for KL(p || q), of high variance, may be negative.

    `sampled` are the log-probabilities (nats) of the samples under p, from which they were drawn; `other` those
    under q.
    """
    return sampled - other


def k3(sampled: Float[Tensor, "*any"], other: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """q/p - 1 - log(q/p) per sample of p: unbiased for KL(p || q), never negative, of low variance."""
    log_ratio = (other - sampled).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)
    return torch.expm1(log_ratio) - log_ratio


def kl_loss(
    new: Float[Tensor, "row token"],
    reference: Float[Tensor, "row token"],
    weights: Float[Tensor, "row token"],
    *,
    normaliser: float,
) -> Float[Tensor, ""]:
    """Weighted mean per token of the K3 estimate of KL(now || reference), in nats, of tokens sampled now.

    `normaliser` is the sum of the weights over the whole batch. (GRPO, arXiv 2402.03300, equation 4; "low_var_kl".)
    """
    zero = torch.zeros_like(new)
    apart = k3(torch.where(weights > 0, new, zero), torch.where(weights > 0, reference, zero))
    return (weights * apart).sum() / (normaliser or 1.0)


def likeliest_kl_loss(
    new: Float[Tensor, "row token likely"],
    teacher: Float[Tensor, "row token likely"],
    weights: Float[Tensor, "row token"],
    *,
    normaliser: float,
) -> Float[Tensor, ""]:
    """Weighted mean per token of KL(now || teacher) over the teacher's likeliest tokens and one bucket of all others.

    At most the divergence over the whole vocabulary, and that where all of it is told of. The bucket makes it one of
    distributions: without it the agent's probability of tokens that the teacher does not name may grow unseen
    (arXiv 2608.14728). `new` and `teacher` are log-probabilities in nats of the same tokens; those of which `teacher`
    is minus infinity belong to the bucket. `normaliser` counts the tokens of the whole batch whose weight is not 0.
    """
    known = teacher.isfinite() & (weights > 0)[..., None]
    now, then = (torch.where(known, one, -torch.inf).clamp(min=-100.0) for one in (new, teacher))
    others = [(1 - one.exp().sum(dim=-1)).clamp(min=LEAST) for one in (now, then)]
    apart = (now.exp() * (now - then)).sum(dim=-1) + others[0] * (others[0] / others[1]).log()
    return (weights * apart).sum() / (normaliser or 1.0)

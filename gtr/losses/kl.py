"""How far one distribution over tokens is from another, estimated from sampled tokens.

K1 and K3 are named after J. Schulman's note "Approximating KL Divergence" (2020).
"""
# ruff: noqa: F722

import torch
from jaxtyping import Float
from torch import Tensor

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

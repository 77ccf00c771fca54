"""How far one distribution over tokens is from another, estimated from sampled tokens.

K1, K2 and K3 are named after J. Schulman's note "Approximating KL Divergence" (2020).
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


def k2(sampled: Float[Tensor, "*any"], other: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """Half the squared log-ratio per sample of p: biased, never negative, of low variance."""
    return 0.5 * (sampled - other) ** 2


def k3(sampled: Float[Tensor, "*any"], other: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """q/p - 1 - log(q/p) per sample of p: unbiased for KL(p || q), never negative, of low variance."""
    log_ratio = (other - sampled).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)
    return torch.expm1(log_ratio) - log_ratio


def guidance_reward(
    agent: Float[Tensor, "turn token"], teacher: Float[Tensor, "turn token"], thought: Float[Tensor, "turn token"]
) -> Float[Tensor, " turn"]:
    """Minus the mean clipped reverse KL of the agent's own thought to the teacher, one reward per turn.

    ``- mean over thought tokens of clip(log pi_agent - log pi_teacher, 0, inf)`` (GTR-Turbo, arXiv 2512.13043, the
    KL variant). `thought` is 1 on thought tokens, else 0. Tokens that the teacher finds likelier than the agent cost
    nothing; a turn without a thought gets 0.
    """
    chosen = thought > 0
    excess = torch.where(chosen, k1(agent, teacher), torch.zeros_like(agent)).clamp(min=0)
    return -excess.sum(dim=-1) / chosen.sum(dim=-1).clamp(min=1)

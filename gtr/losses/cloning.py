"""Thought cloning: cross-entropy on corrected thoughts (paper section 3.3, L_SFT)."""
# ruff: noqa: F722

import torch
from jaxtyping import Float
from torch import Tensor


def cloning_loss(
    logprobs: Float[Tensor, "sample token"], weights: Float[Tensor, "sample token"], *, normaliser: float
) -> Float[Tensor, ""]:
    """Weighted cross-entropy per token, in nats: ``- sum(weights * logprobs) / normaliser``.

    `logprobs` are those of the taught tokens; `weights` are 0 on a masked action and on padding, where `logprobs` may
    hold anything. `normaliser` counts the tokens of the whole batch whose weight is not 0 (RLMEC, arXiv 2401.06081,
    whose weights are not all 1), so that the parts of a batch add up; 0 gives a loss of 0.
    """
    if normaliser < 0:
        raise ValueError(f"normaliser is {normaliser}; it counts tokens and cannot be negative")
    counted = torch.where(weights > 0, weights * logprobs, torch.zeros_like(logprobs))
    return -counted.sum() / (normaliser or 1.0)

"""Thought cloning: cross-entropy on corrected thoughts (paper section 3.3, L_SFT)."""
# ruff: noqa: F722

import torch
from jaxtyping import Float
from torch import Tensor


def cloning_loss(
    logprobs: Float[Tensor, "lesson token"], weights: Float[Tensor, "lesson token"], *, normaliser: float
) -> Float[Tensor, ""]:
    """Weighted cross-entropy per token, in nats: ``- sum(weights * logprobs) / normaliser``.

    `logprobs` are those of a lesson's own tokens; `weights` are its `Lesson.weights`, 0 on the masked action and on
    padding, where `logprobs` may hold anything. `normaliser` is the sum of the weights over the whole batch, so that
    the parts of a batch add up; 0 gives a loss of 0.
    """
    if normaliser < 0:
        raise ValueError(f"normaliser is {normaliser}; it is a sum of weights and cannot be negative")
    counted = torch.where(weights > 0, weights * logprobs, torch.zeros_like(logprobs))
    return -counted.sum() / (normaliser or 1.0)

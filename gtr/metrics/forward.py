"""Metrics that need extra forward passes: do thoughts depend on what the agent sees, and how far has it moved?

They take log-probabilities as plain arrays, so that whoever owns the policy does the forward passes and this file
stays free of torch.
"""
# ruff: noqa: F722

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

Array = NDArray[np.floating]


def relevance(
    matrix: Float[Array, "thought prompt"],
    own: Sequence[int] | None = None,
    states: Sequence[str] | None = None,
) -> dict[str, float]:
    """RAGEN-2's retrieval accuracy and mutual-information proxy (arXiv 2604.06268).

    ``matrix[i, j]`` is the log-probability of thought i under prompt j: the mean over its tokens, in nats, so that
    long thoughts weigh no more than short ones. ``own[i]`` is the column of the prompt that thought i was written for
    (by default i); ``states[j]`` is the goal key of prompt j, and prompts with equal keys count as one and the same.

    - ``relevance/retrieval``: share of thoughts whose own prompt explains them best. Where several prompts tie, the
      share of them that is right: a policy blind to its prompt scores chance, not 0 or 1.
    - ``relevance/chance``: what a blind policy would score, 1/P when all P prompts differ.
    - ``relevance/mutual_information``: mean over thoughts of log p(thought | own) - log mean_j p(thought | j), in nats
      per token; near 0 when thoughts do not depend on the prompt.
    - ``relevance/bound``: its largest possible value, log P.

    Empty where there is no thought.
    """
    thoughts, prompts = matrix.shape
    if thoughts == 0:
        return {}
    matrix = matrix.astype(np.float64)
    rows = np.arange(thoughts)
    columns = rows if own is None else np.asarray(own)
    if np.isnan(matrix).any() or not np.isfinite(matrix[rows, columns]).all():
        raise ValueError("log-probabilities must be numbers, and finite where a thought meets its own prompt")
    _, groups = np.unique(range(prompts) if states is None else np.asarray(states), return_inverse=True)
    mine = groups[None, :] == groups[columns][:, None]
    best = matrix == matrix.max(axis=1, keepdims=True)
    peak = matrix.max(axis=1)
    mixture = peak + np.log(np.exp(matrix - peak[:, None]).mean(axis=1))
    return {
        "relevance/retrieval": float(((best & mine).sum(axis=1) / best.sum(axis=1)).mean()),
        "relevance/chance": float(mine.mean()),
        "relevance/mutual_information": float((matrix[rows, columns] - mixture).mean()),
        "relevance/bound": float(np.log(prompts)),
    }


def image_sensitivity(right: Float[Array, " thought"], swapped: Float[Array, " thought"]) -> dict[str, float]:
    """How much likelier a thought is under its own picture than under another turn's, words unchanged.

    Both arrays hold mean log-probabilities per token in nats. Positive when the thought was read off the picture;
    0 for a policy that does not look. Empty where there is no thought.
    """
    if right.size == 0:
        return {}
    return {"relevance/image_sensitivity": float(np.mean(right - swapped))}


def kl_to_reference(now: Float[Array, " token"], reference: Float[Array, " token"]) -> dict[str, float]:
    """KL(agent now || reference policy) per token in nats, from tokens sampled by the agent now.

    `now` and `reference` are the two agents' log-probabilities of the same sampled tokens. The K3 estimate,
    mean of ``reference/now - 1 - log(reference/now)``: unbiased and never negative (J. Schulman, 2020).
    """
    if now.size == 0:
        return {}
    log_ratio = np.clip(reference - now, -20.0, 20.0)
    return {"policy/kl_ref": float(np.mean(np.expm1(log_ratio) - log_ratio))}

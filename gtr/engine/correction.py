"""Truncated importance weights: what makes up for a sampler whose distribution is not quite the trainer's.

The same weights in other precision, other kernels or another library give a token another probability. A policy loss of
tokens from such a sampler is that of the trainer once each token counts p_trainer / p_sampler (Yao et al. 2025, "Your
efficient RL framework secretly brings you off-policy RL training"); truncation bounds the variance, and a mask (IcePop)
drops what is far off. Cloning needs none: its targets were not sampled.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gtr.algo.divergence import MOST, divergence
from gtr.config import EngineConfig
from gtr.types import Sample

Row = NDArray[np.float64]
"""(token,) of one reply."""


def importance_weights(log_ratios: Row, used: NDArray[np.bool_], config: EngineConfig) -> Row:
    """The factor of each token's policy loss.

    Args:
        log_ratios: log p_trainer - log p_sampler of each token of a reply, in nats, when it was sampled.
        used: (token,) which of them the policy loss sees; the others get the weight 1 and are left out of the product.
    """
    if config.correction == "off":
        return np.ones_like(log_ratios)
    if config.correction == "sequence":
        log_ratios = np.full_like(log_ratios, log_ratios[used].sum())
    ratios = np.exp(log_ratios.clip(-MOST, MOST))
    low, high = config.correction_floor, config.correction_cap
    bounded = ratios.clip(low, high)
    if config.correction_mode == "mask":
        bounded = np.where(bounded == ratios, ratios, 0.0)
    return np.where(used, bounded, 1.0)


def mismatch(log_ratios: Row) -> dict[str, float]:
    """How far the sampler was from the trainer, over all tokens: K1 and K3 of KL(sampler || trainer), and the largest
    difference, in nats."""
    return {
        "engine/kl_k1": float(-log_ratios.mean()),
        "engine/kl_k3": float(divergence(-log_ratios, np.zeros_like(log_ratios), "k3").mean()),
        "engine/mismatch": float(np.abs(log_ratios).max()),
    }


def corrected(samples: Sequence[Sample], config: EngineConfig) -> tuple[list[Sample], Mapping[str, float]]:
    """Samples whose advantages carry their importance weights, and what the log says of the difference.

    The clipped loss of a weighted advantage is the weighted clipped loss; where a turn has one ratio, its tokens'
    weights are averaged as advantages of tokens are. Samples of the trainer's own sampling stay as they are.
    """
    rows, ratios, weights = [], [], []
    for sample in samples:
        if sample.sampled:
            ratios.append(np.array(sample.old) - np.array(sample.sampled))
        used = np.array(sample.weights.get("policy", ())) > 0
        if not sample.sampled or not used.any():
            rows.append(sample)
            continue
        weight = importance_weights(ratios[-1], used, config)
        weights.append(weight[used])
        rows.append(replace(sample, advantage=tuple((weight * np.array(sample.advantage)).tolist())))
    return rows, {**(mismatch(np.concatenate(ratios)) if ratios else {}), **_applied(weights, config)}


def _applied(weights: Sequence[Row], config: EngineConfig) -> dict[str, float]:
    """What the log says of the weights of all tokens that a policy loss sees."""
    if not weights:
        return {}
    applied = np.concatenate(weights)
    bounds = (0.0, config.correction_floor, config.correction_cap) if config.correction != "off" else ()
    return {"engine/weight": float(applied.mean()), "engine/cut": float(np.isin(applied, bounds).mean())}

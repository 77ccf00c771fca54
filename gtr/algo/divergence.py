"""How far an agent is from its teacher at each token it sampled: estimates from the log-probabilities of both."""

from typing import Literal

import numpy as np

from gtr.algo.credit import PerRow

Divergence = Literal["clipped", "k1", "abs", "k3", "forward"]
MOST = 20.0
"""Nats to which a difference is cut: no ratio overflows, and a token that the teacher would never write costs this."""


def divergence(agent: PerRow, teacher: PerRow, kind: Divergence) -> PerRow:
    """Of each token, from its log-probabilities in nats under the agent, which sampled it, and the teacher.

    - "k1": ``log p - log q``, the mean of which is KL(agent || teacher); may be negative.
    - "clipped": ``max(0, k1)`` (GTR-Turbo, arXiv 2512.13043, equation 6); "abs": ``|k1|``.
    - "k3": ``q/p - 1 - log(q/p)``, of the same mean as k1, never negative.
    - "forward": ``r log r - r + 1`` with ``r = q/p``: of the mean KL(teacher || agent), never negative.

    >>> divergence(np.array([-0.2, -1.0]), np.array([-0.4, -0.6]), "clipped").round(6).tolist()
    [0.2, 0.0]
    """
    apart = np.clip(agent - teacher, -MOST, MOST)
    found: dict[str, PerRow] = {
        "k1": apart,
        "clipped": np.maximum(apart, 0.0),
        "abs": np.abs(apart),
        "k3": np.expm1(-apart) + apart,
        "forward": -apart * np.exp(-apart) - np.expm1(-apart),
    }
    return found[kind]

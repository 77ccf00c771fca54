"""Numbers about the update that are no loss: how well the critic explains returns, how far the agent has moved."""
# ruff: noqa: F722

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

Array = NDArray[np.floating]


def explained_variance(values: Float[Array, "*turn"], returns: Float[Array, "*turn"]) -> dict[str, float]:
    """Share of the variance of returns that the critic's values explain: ``1 - Var(returns - values) / Var(returns)``.

    1 is a perfect critic, 0 one that knows only the mean, below 0 one worse than that. Absent when all returns are
    equal.
    """
    spread = float(np.var(returns))
    if spread == 0:
        return {}
    return {"critic/explained_variance": 1.0 - float(np.var(returns - values)) / spread}


def kl_to_start(now: Float[Array, " token"], start: Float[Array, " token"]) -> dict[str, float]:
    """KL(agent now || agent at the start of the run) per token in nats, from tokens sampled by the agent now.

    `now` and `start` are the two agents' log-probabilities of the same sampled tokens. The K3 estimate,
    mean of ``start/now - 1 - log(start/now)``: unbiased and never negative (J. Schulman, 2020).
    """
    if now.size == 0:
        return {}
    log_ratio = np.clip(start - now, -20.0, 20.0)
    return {"policy/kl_start": float(np.mean(np.expm1(log_ratio) - log_ratio))}

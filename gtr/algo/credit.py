"""Credit assignment: from the rewards of turns to their advantages. Pure functions on plain arrays."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

Turns = Float64[np.ndarray, " turn"]


def gae(rewards: Turns, values: Turns, following: float, gamma: float, lam: float) -> Turns:
    """Generalised advantage estimation (arXiv 1506.02438) over one trajectory, a turn being one step.

    `following` is the critic's value of the observation after the last turn: 0 where the episode reached an end state,
    its estimate where a time limit or the end of the rollout cut it. The critic's targets, TD(lambda), are the
    advantages plus the values.

    >>> gae(np.array([1.0, 2.0]), np.array([0.0, 0.0]), 4.0, 0.5, 1.0).tolist()
    [3.0, 4.0]
    """
    delta: Turns = rewards + gamma * np.append(values[1:], following) - values
    advantages = np.empty_like(delta)
    last_gae = 0.0
    for t in reversed(range(len(delta))):
        last_gae = delta[t] + gamma * lam * last_gae
        advantages[t] = last_gae
    return advantages


def normalise(advantages: Turns, among: Sequence[float], floor: float = 1e-5) -> Turns:
    """Advantages shifted to mean 0 and divided by their (population) standard deviation.

    The moments are those of `among`, so that several processes scale alike. `floor`, in the unit of the reward, is the
    smallest standard deviation that is scaled up to 1: when all advantages are equal, or differ by rounding only, the
    result stays at (nearly) 0 instead of blowing that noise up into a gradient.
    """
    everyone = np.asarray(among, dtype=np.float64)
    scaled: Turns = (advantages - float(everyone.mean())) / max(floor, float(everyone.std()))
    return scaled

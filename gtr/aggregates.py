"""How the RL field compares methods over few runs (Agarwal et al., arXiv 2108.13264; equal to the library rliable).

Scores are normalised: 0 is worst, 1 is best. A row is a run, a column a game; a comparison of gtr has one game.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

Scores = Float[NDArray[np.floating], "run game"]


def iqm(scores: Scores) -> float:
    """Interquartile mean: the mean without the lowest and the highest quarter of all scores, rounded down to whole
    scores, so that it is the mean itself for fewer than four.

    >>> iqm(np.array([[0.0], [0.25], [0.5], [1.0]]))
    0.375
    """
    from scipy.stats import trim_mean

    return float(trim_mean(scores, 0.25, axis=None))


def probability_of_improvement(scores: Scores, others: Scores) -> float:
    """How likely a run of the first method beats one of the second on a game, mean over games; a tie counts half.

    >>> probability_of_improvement(np.array([[0.5], [0.7]]), np.array([[0.5], [0.1]]))
    0.875
    """
    return float((np.sign(scores[:, np.newaxis] - others) + 1).mean() / 2)


def performance_profile(scores: Scores, thresholds: Sequence[float]) -> list[float]:
    """Share of runs with a score above each threshold, mean over games (the run-score distribution).

    >>> performance_profile(np.array([[0.2], [0.6]]), [0.1, 0.2, 0.5, 0.9])
    [1.0, 0.5, 0.5, 0.0]
    """
    return [float((scores > threshold).mean()) for threshold in thresholds]

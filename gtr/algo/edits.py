"""What a correction changed: token weights by the minimum edit (RLMEC, arXiv 2401.06081)."""

from collections.abc import Sequence

KEPT, EDITED = 0.5, 1.0
"""Weight of a token of the corrected text that the correction kept, and of one it changed (RLMEC's code)."""


def edit_weights(sampled: Sequence[int], corrected: Sequence[int], front: bool = True) -> list[float]:
    """The cloning weight of each token of `corrected`: `EDITED` where the minimum edit from `sampled` touches it.

    Alignment and ties are those of RLMEC's code (match before deletion, insertion, substitution), in which the token
    beside a deletion counts as edited, too. There, tokens inserted at the very front stay `KEPT`; with `front` they
    are `EDITED` as well.

    >>> edit_weights([1, 2, 3, 4], [1, 9, 3, 4])
    [0.5, 1.0, 0.5, 0.5]
    """
    weights = [KEPT] * len(corrected)
    came = _alignment(sampled, corrected)
    i, j = len(sampled), len(corrected)
    while i and j:
        if sampled[i - 1] != corrected[j - 1]:
            weights[j - 1] = EDITED
        i, j = came[i][j]
    return [EDITED] * j + weights[j:] if front else weights


def _alignment(sampled: Sequence[int], corrected: Sequence[int]) -> list[list[tuple[int, int]]]:
    """By numbers of tokens taken from both, the numbers before the last step of the cheapest edit."""
    width = len(corrected) + 1
    costs = [list(range(width))]
    came = [[(0, max(0, j - 1)) for j in range(width)]]
    for i, mine in enumerate(sampled, start=1):
        costs.append([i] + [0] * (width - 1))
        came.append([(i - 1, 0)] + [(0, 0)] * (width - 1))
        for j, theirs in enumerate(corrected, start=1):
            steps = [(costs[i - 1][j] + 1, (i - 1, j)), (costs[i][j - 1] + 1, (i, j - 1))]
            steps.append((costs[i - 1][j - 1] + 1, (i - 1, j - 1)))
            if mine == theirs:
                steps.insert(0, (costs[i - 1][j - 1], (i - 1, j - 1)))
            costs[i][j], came[i][j] = min(steps, key=lambda step: step[0])
    return came

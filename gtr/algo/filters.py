"""Which groups of episodes are worth learning from: pure functions on the returns of each group."""

from collections.abc import Mapping, Sequence

import numpy as np

from gtr.types import Rollout

Returns = Mapping[int, Sequence[float]]
"""By group, the returns of its episodes."""


def deviations(returns: Returns) -> dict[int, float]:
    """By group, the standard deviation of its returns (Bessel); 0 of a group of one."""
    return {group: float(np.std(rows, ddof=1)) if len(rows) > 1 else 0.0 for group, rows in returns.items()}


def most_uncertain(returns: Returns, share: float) -> list[int]:
    """The `share` of groups whose returns differ most, at least one (StarPO-S, arXiv 2504.20073).

    >>> most_uncertain({0: (1, 1), 1: (1, 0), 2: (0.5, 0), 3: (0, 0)}, 0.5)
    [1, 2]
    """
    spread = deviations(returns)
    return sorted(spread, key=lambda group: -spread[group])[: max(1, int(share * len(spread)))]


def most_signal(returns: Returns, share: float) -> list[int]:
    """Groups from the most uncertain on, until their deviations sum to `share` of all (RAGEN-2, arXiv 2604.06268).

    As its code has it, the sum need only come within .01; groups of equal returns never count.
    """
    spread = deviations(returns)
    enough, kept, total = share * sum(spread.values()) - 0.01, [], 0.0
    for group in sorted(spread, key=lambda one: -spread[one]):
        if total >= enough or spread[group] <= 0:
            break
        kept.append(group)
        total += spread[group]
    return kept


def informative(returns: Returns) -> list[int]:
    """Groups whose returns are not all equal (DAPO, arXiv 2503.14476).

    >>> informative({0: (1, 1), 1: (1, 0)})
    [1]
    """
    return [group for group, rows in returns.items() if len(set(rows)) > 1]


def only(rollout: Rollout, groups: Sequence[int]) -> Rollout:
    """The trajectories of these groups."""
    kept = set(groups)
    return Rollout([one for one in rollout.trajectories if one.group in kept], rollout.seconds)

"""Intervals around success shares and means, for tables that say how sure they are, and of what.

Three populations an interval may speak for: this agent on new starts (`wilson`); the method, trained with new seeds, on
these very starts (`pooled`); the method on new seeds and new starts (`crossed`), also from new starting agents
(`clustered`).
"""
# ruff: noqa: F722

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, variance

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

RARE = 5
"""Successes (or failures) per run, below which the spread between runs cannot be seen."""


@dataclass(frozen=True)
class Interval:
    """An estimate and the range that holds the truth at the stated level, 95 % unless told otherwise."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Pooled:
    """A success share over several runs (seeds) of the same method."""

    rate: float
    """Successes of all runs / episodes of all runs."""
    episodes: Interval
    """Wilson over all episodes as if they were independent: how sure one is of *these* agents."""
    seeds: Interval
    """Wider by how much runs differ and how few they are: how sure one is of the *method* on these starts."""


def wilson(successes: float, trials: float, level: float = 0.95) -> Interval:
    """Wilson's score interval of a share (E. B. Wilson, 1927), good also near 0 and 1.

    >>> wilson(0, 48).high < 0.08
    True
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes in {trials} trials; successes must lie between 0 and trials")
    spread = _normal(level) ** 2
    return _score_interval(successes / trials, spread / trials) if trials else Interval(math.nan, 0.0, 1.0)


def mean_interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """Student's t interval of the mean of a few independent values, such as one per seed.

    One value has no known spread: its interval is infinite.
    """
    if not values:
        raise ValueError("no values to average; pass at least one")
    centre, t = fmean(values), _student(level, len(values) - 1)
    if len(values) == 1:
        return Interval(centre, -math.inf, math.inf)
    half = t * math.sqrt(variance(values) / len(values))
    return Interval(centre, centre - half, centre + half)


def pooled(counts: Sequence[tuple[int, int]], level: float = 0.95) -> Pooled:
    """The success share over runs, from (successes, episodes) of each.

    The interval over seeds is Wilson's with two changes that surveys of clusters make (Korn and Graubard, 1998; Franco
    et al., 2019): the episodes count only as many as their design effect leaves, the ratio of the variance seen
    between runs to the variance that chance alone would give, at least 1; and Student's t with (runs - 1) degrees of
    freedom takes the place of the normal. Unlike a t interval of the runs' shares it stays honest when all runs score
    0, and it is never narrower than the interval over episodes. For one run it is [0, 1].
    """
    if not counts or any(n <= 0 or not 0 <= s <= n for s, n in counts):
        raise ValueError(f"counts are {list(counts)}; each run needs 0 <= successes <= episodes and an episode")
    total = sum(n for _, n in counts)
    rate = sum(s for s, _ in counts) / total
    runs = len(counts)
    episodes = wilson(sum(s for s, _ in counts), total, level)
    if runs == 1:
        return Pooled(rate, episodes, Interval(rate, 0.0, 1.0))
    by_chance = rate * (1 - rate) / total
    between = runs / (runs - 1) * sum((s - n * rate) ** 2 for s, n in counts) / total**2
    effect = max(1.0, between / by_chance) if by_chance > 0 else 1.0
    return Pooled(rate, episodes, _score_interval(rate, _student(level, runs - 1) ** 2 * effect / total))


def crossed(outcomes: Float[NDArray[np.floating], "run start"], level: float = 0.95) -> Interval:
    """The success share of a method on new seeds *and* new starts, from the outcome (0 or 1) of every run on every
    start of one panel; NaN where an episode broke, whose start then counts for no run.

    Starts differ in difficulty and runs agree on which are hard, so that episodes of one start are no more independent
    than those of one run. The mean squares of a two-way random-effects layout (runs, starts, rest: Searle, Casella and
    McCulloch, *Variance Components*, 1992, ch. 4) part the variance of the mean into that of few runs, taken times
    Student's t for them, and that of many starts with their chance. The two together set the width of Wilson's
    interval, never narrower than Wilson's over all episodes; while successes or failures are so rare that a spread
    between runs cannot be seen, it widens towards what t gives.

    Covers .93 to .98 of the time with 3 and 6 runs on 100 starts (tests/test_stats.py), where resampling runs and
    starts (the two-way bootstrap; Owen, 2007) covers .85 to .97, because three runs cannot show their own spread; .88
    to .93 where success is rare and hangs on a few lucky runs, which no few runs can tell. For
    one run it is [0, 1].
    """
    table = np.asarray(outcomes, dtype=float)
    table = table[:, ~np.isnan(table).any(axis=0)]
    runs, starts = table.shape
    if table.size == 0 or starts < 2 or not ((table >= 0) & (table <= 1)).all():
        raise ValueError(f"outcomes of shape {table.shape}; each of one or more runs needs 0 or 1 on at least 2 starts")
    rate = float(table.mean())
    if runs == 1:
        return Interval(rate, 0.0, 1.0)
    z, t = _normal(level) ** 2, _student(level, runs - 1) ** 2
    rare = max(0.0, 1 - min(rate, 1 - rate) * starts / RARE)
    spread = (z + (t - z) * rare) / table.size
    if 0 < rate < 1:
        of_runs, of_starts, rest = _mean_squares(table)
        seen = t * max(0.0, of_runs - rest) + _student(level, starts - 1) ** 2 * of_starts
        spread = max(spread, seen / (table.size * rate * (1 - rate)))
    return _score_interval(rate, spread)


def clustered(
    outcomes: Float[NDArray[np.floating], "run start"], clusters: Sequence[int], level: float = 0.95
) -> Interval:
    """`crossed` where runs are not independent, because several began as the same agent: success of the method from new
    starting agents, on new seeds and new starts.

    `clusters` has each run's starting agent. Runs of one are averaged start by start, and the averages stand for runs:
    so few as there are starting agents, so sure one can be, however many seeds each was trained with.
    """
    table, groups = np.asarray(outcomes, dtype=float), np.asarray(clusters)
    return crossed(np.array([table[groups == one].mean(axis=0) for one in np.unique(groups)]), level)


def apart(one: Interval, other: Interval) -> bool:
    """Whether two intervals do not even touch."""
    return one.high < other.low or other.high < one.low


def _mean_squares(table: Float[NDArray[np.floating], "run start"]) -> tuple[float, float, float]:
    """Of runs, of starts and of what neither explains."""
    runs, starts = table.shape
    by_run, by_start = table.mean(axis=1), table.mean(axis=0)
    rest = table - by_run[:, None] - by_start[None, :] + table.mean()
    freedom = (runs - 1) * (starts - 1)
    return starts * float(by_run.var(ddof=1)), runs * float(by_start.var(ddof=1)), float((rest**2).sum()) / freedom


def _score_interval(rate: float, spread: float) -> Interval:
    """The shares p for which ``(rate - p)^2 <= spread * p (1 - p)``; Wilson's spread is z^2 / trials."""
    centre = (rate + spread / 2) / (1 + spread)
    half = math.sqrt(spread * rate * (1 - rate) + spread * spread / 4) / (1 + spread)
    low = 0.0 if rate == 0 else max(0.0, centre - half)
    high = 1.0 if rate == 1 else min(1.0, centre + half)
    return Interval(rate, low, high)


def _normal(level: float) -> float:
    return float(ndtri(_upper(level)))


def _student(level: float, freedom: int) -> float:
    return float(stdtrit(freedom, _upper(level)))


def _upper(level: float) -> float:
    """The share below the upper end of a two-sided interval."""
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; it is a share between 0 and 1, such as .95")
    return 1 - (1 - level) / 2

"""Intervals around success shares and means, for tables that say how sure they are."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, variance


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
    """Wider by how much runs differ and how few they are: how sure one is of the *method*."""


def wilson(successes: float, trials: float, level: float = 0.95) -> Interval:
    """Wilson's score interval of a share (E. B. Wilson, 1927), good also near 0 and 1.

    >>> wilson(0, 48).high < 0.08
    True
    """
    _check(level)
    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes in {trials} trials; successes must lie between 0 and trials")
    return _score_interval(successes / trials, trials, _normal(level)) if trials else Interval(math.nan, 0.0, 1.0)


def mean_interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """Student's t interval of the mean of a few independent values, such as one per seed.

    One value has no known spread: its interval is infinite.
    """
    _check(level)
    if not values:
        raise ValueError("no values to average; pass at least one")
    centre = fmean(values)
    if len(values) == 1:
        return Interval(centre, -math.inf, math.inf)
    half = student(1 - (1 - level) / 2, len(values) - 1) * math.sqrt(variance(values) / len(values))
    return Interval(centre, centre - half, centre + half)


def pooled(counts: Sequence[tuple[int, int]], level: float = 0.95) -> Pooled:
    """The success share over runs, from (successes, episodes) of each.

    The interval over seeds is Wilson's with two changes that surveys of clusters make (Korn and Graubard, 1998; Franco
    et al., 2019): the episodes count only as many as their design effect leaves, the ratio of the variance seen
    between runs to the variance that chance alone would give, at least 1; and Student's t with (runs - 1) degrees of
    freedom takes the place of the normal. Unlike a t interval of the runs' shares it stays honest when all runs score
    0, and it is never narrower than the interval over episodes. For one run it is [0, 1].
    """
    _check(level)
    if not counts or any(n <= 0 or not 0 <= s <= n for s, n in counts):
        raise ValueError(f"counts are {list(counts)}; each run needs 0 <= successes <= episodes and an episode")
    total = sum(n for _, n in counts)
    rate = sum(s for s, _ in counts) / total
    runs = len(counts)
    if runs == 1:
        return Pooled(rate, wilson(*counts[0], level), Interval(rate, 0.0, 1.0))
    by_chance = rate * (1 - rate) / total
    between = runs / (runs - 1) * sum((s - n * rate) ** 2 for s, n in counts) / total**2
    effect = max(1.0, between / by_chance) if by_chance > 0 else 1.0
    t = student(1 - (1 - level) / 2, runs - 1)
    episodes = wilson(sum(s for s, _ in counts), total, level)
    return Pooled(rate, episodes, _score_interval(rate, total / effect, t))


def apart(one: Interval, other: Interval) -> bool:
    """Whether two intervals do not even touch."""
    return one.high < other.low or other.high < one.low


def student(share: float, freedom: int) -> float:
    """The quantile of Student's t distribution with a whole number of degrees of freedom, for shares of .5 to 1.

    Found by bisection of the finite sums for the distribution function (Abramowitz and Stegun 26.7.3 and 26.7.4).
    """
    if not 0.5 <= share < 1 or freedom < 1:
        raise ValueError(f"no quantile of share {share} with {freedom} degrees of freedom; need .5 <= share < 1, >= 1")
    low, high = 0.0, math.pi / 2
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, freedom) < 2 * share - 1 else (low, middle)
    return math.tan(low) * math.sqrt(freedom)


def _within(angle: float, freedom: int) -> float:
    """The probability that t lies within tan(angle) * sqrt(freedom) of 0."""
    cosine, sine = math.cos(angle), math.sin(angle)
    if freedom % 2:
        term, total = cosine, 0.0
        for k in range(3, freedom + 1, 2):
            total += term
            term *= cosine**2 * (k - 1) / k
        return 2 / math.pi * (angle + sine * total)
    term, total = 1.0, 0.0
    for k in range(2, freedom + 1, 2):
        total += term
        term *= cosine**2 * (k - 1) / k
    return sine * total


def _score_interval(rate: float, trials: float, z: float) -> Interval:
    """The shares p for which ``|rate - p| <= z * sqrt(p (1 - p) / trials)``."""
    centre = (rate + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * math.sqrt(rate * (1 - rate) / trials + z * z / (4 * trials * trials))
    low = 0.0 if rate == 0 else max(0.0, centre - half)
    high = 1.0 if rate == 1 else min(1.0, centre + half)
    return Interval(rate, low, high)


def _normal(level: float) -> float:
    return NormalDist().inv_cdf(1 - (1 - level) / 2)


def _check(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; it is a share between 0 and 1, such as .95")

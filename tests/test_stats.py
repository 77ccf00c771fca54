"""Intervals against scipy and against what they promise: coverage."""

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from gtr.stats import Interval, apart, clustered, crossed, mean_interval, pooled, wilson


@pytest.mark.parametrize("trials", [1, 7, 48, 100, 1000])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.98, 1.0])
@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_wilson_equals_scipy(trials: int, share: float, level: float) -> None:
    successes = round(trials * share)
    ours = wilson(successes, trials, level)
    theirs = scipy_stats.binomtest(successes, trials).proportion_ci(level, method="wilson")
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert ours.estimate == successes / trials


def test_wilson_by_hand() -> None:
    # z = 1.959964, 5 of 10: centre .5, half = z/(1 + z^2/10) * sqrt(.025 + z^2/400) = .263407
    interval = wilson(5, 10)
    assert interval.low == pytest.approx(0.236593, abs=1e-6)
    assert interval.high == pytest.approx(0.763407, abs=1e-6)


def test_wilson_without_trials_knows_nothing() -> None:
    interval = wilson(0, 0)
    assert math.isnan(interval.estimate)
    assert (interval.low, interval.high) == (0.0, 1.0)


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3, 0.5])
def test_wilson_covers_the_truth_about_95_percent_of_the_time(share: float) -> None:
    n = 200
    chances = scipy_stats.binom.pmf(range(n + 1), n, share)
    covered = sum(p for k, p in enumerate(chances) if wilson(k, n).low <= share <= wilson(k, n).high)
    assert 0.92 < covered < 0.98


def test_mean_interval_equals_scipy() -> None:
    values = [0.46, 0.5, 0.54]
    theirs = scipy_stats.ttest_1samp(values, 0).confidence_interval(0.95)
    ours = mean_interval(values)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))
    # By hand: mean .5, sd .04, t(2) = 4.302653: half = 4.302653 * .04 / sqrt 3 = .099366
    assert ours.high - ours.estimate == pytest.approx(0.099366, abs=1e-6)


def test_one_value_has_no_known_spread() -> None:
    assert mean_interval([0.3]) == Interval(0.3, -math.inf, math.inf)
    with pytest.raises(ValueError, match="no values"):
        mean_interval([])


def test_pooled_of_equal_runs_uses_t_and_all_episodes() -> None:
    # No spread between runs, so the design effect is 1; t(2) = 4.302653, n = 150. At p = .5 Wilson's half width is
    # t / (2 sqrt(n + t^2)) = 4.302653 / (2 * 12.981249) = .165726
    result = pooled([(25, 50)] * 3)
    assert result.rate == 0.5
    assert result.seeds.high - 0.5 == pytest.approx(0.165726, abs=1e-6)
    assert result.episodes == wilson(75, 150)


def test_pooled_design_effect_by_hand() -> None:
    # Shares .2, .5, .8 of 50: rate .5, by chance .25/150; between = 3/2 * (15^2 + 0 + 15^2)/150^2 = .03: effect 18,
    # so 150 episodes are worth 25/3.
    result = pooled([(10, 50), (25, 50), (40, 50)])
    n, t = 25 / 3, 4.3026527
    half = t / (1 + t * t / n) * math.sqrt(0.25 / n + t * t / (4 * n * n))
    assert result.seeds.high == pytest.approx(0.5 + half, abs=1e-6)


def test_all_runs_at_zero_still_have_a_width() -> None:
    result = pooled([(0, 100)] * 3)
    assert result.seeds.low == 0.0
    # t^2 / (n + t^2) with t = 4.302653, n = 300
    assert result.seeds.high == pytest.approx(18.512821 / 318.512821, abs=1e-6)
    assert pooled([(100, 100)] * 3).seeds.high == 1.0


def test_one_run_says_nothing_about_the_method() -> None:
    result = pooled([(24, 48)])
    assert (result.seeds.low, result.seeds.high) == (0.0, 1.0)
    assert result.episodes == wilson(24, 48)


def test_interval_over_seeds_covers_where_the_one_over_episodes_does_not() -> None:
    """Runs whose own success varies around .4 with standard deviation .1, five runs of 100 episodes."""
    rng = np.random.default_rng(0)
    a, b = 0.4 * 23, 0.6 * 23  # beta distribution with mean .4 and variance .4 * .6 / 24 = .01
    covered = np.zeros(2)
    for _ in range(1000):
        counts = [(int(rng.binomial(100, p)), 100) for p in rng.beta(a, b, 5)]
        result = pooled(counts)
        covered += [i.low <= 0.4 <= i.high for i in (result.episodes, result.seeds)]
    assert covered[0] < 750
    assert covered[1] > 930


# -- seeds and starts ---------------------------------------------------------------------------------------------
def test_crossed_by_hand() -> None:
    # Three runs on four starts. Means of runs 1/4, 2/4, 3/4, of starts 1, 2/3, 1/3, 0: mean 1/2.
    # MS runs = 4 * var(.25, .5, .75) = 4 * .0625 = .25; MS starts = 3 * var(1, 2/3, 1/3, 0) = 3 * 5/27 = 5/9;
    # total 12 * .25 = 3 = 2 * .25 + 3 * 5/9 + rest, so rest = 5/6 and MS rest = 5/36.
    outcomes = np.array([[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0]], dtype=float)
    t_runs, t_starts, z = 4.3026527, 3.1824463, 1.9599640
    seen = (t_runs**2 * (1 / 4 - 5 / 36) + t_starts**2 * 5 / 9) / (12 * 0.25)
    rare = 1 - 0.5 * 4 / 5
    assert seen > (z**2 + (t_runs**2 - z**2) * rare) / 12
    half = math.sqrt(seen * 0.25 + seen**2 / 4) / (1 + seen)
    found = crossed(outcomes)
    assert (found.estimate, found.low, found.high) == pytest.approx((0.5, 0.5 - half, 0.5 + half), abs=1e-6)


def test_crossed_is_never_narrower_than_wilson_and_wide_where_nothing_was_won() -> None:
    rng = np.random.default_rng(0)
    for share in (0.02, 0.3, 0.9):
        outcomes = (rng.random((4, 50)) < share).astype(float)
        found, over = crossed(outcomes), wilson(outcomes.sum(), outcomes.size)
        assert found.high - found.low >= over.high - over.low
    assert crossed(np.zeros((3, 100))) == pooled([(0, 100)] * 3).seeds
    assert crossed(np.ones((3, 100))).high == 1.0
    one_won = np.zeros((3, 100))
    one_won[0, 0] = 1
    assert crossed(one_won).high > crossed(np.zeros((3, 100))).high


def test_a_start_on_which_an_episode_broke_counts_for_no_run() -> None:
    outcomes = np.array([[1, 0, math.nan, 1], [1, 0, 1, 0], [0, 0, 1, 1]], dtype=float)
    assert crossed(outcomes) == crossed(outcomes[:, [0, 1, 3]])


def test_crossed_of_one_run_says_nothing_about_the_method() -> None:
    assert crossed(np.array([[1.0, 0.0, 1.0]])) == Interval(2 / 3, 0.0, 1.0)


@pytest.mark.parametrize("bad", [np.zeros((0, 5)), np.zeros((3, 1)), np.full((2, 3), 2.0), np.full((2, 3), math.nan)])
def test_crossed_refuses_what_is_no_table_of_outcomes(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="outcomes of shape"):
        crossed(bad)


def logistic(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("runs", [3, 6])
@pytest.mark.parametrize("centre", [0.0, -2.0])
@pytest.mark.parametrize("skill", [0.0, 0.3, 0.7])
def test_crossed_covers_seeds_and_starts(runs: int, centre: float, skill: float) -> None:
    """Logits: starts differ much in difficulty (sd 3) and agents agree on which are hard; agents differ by `skill`.

    The truth is the method's success over all agents and all starts, not over those at hand.
    """
    rng = np.random.default_rng([7, runs])
    drawn = rng.normal(size=200_000) * math.hypot(3.0, skill)
    truth = float(logistic(centre + drawn).mean())
    trials, both, seeds_only = 4000, 0, 0
    for _ in range(trials):
        agents, starts = skill * rng.normal(size=(runs, 1)), 3 * rng.normal(size=(1, 100))
        outcomes = (rng.random((runs, 100)) < logistic(centre + agents + starts)).astype(float)
        found = crossed(outcomes)
        both += found.low <= truth <= found.high
        alone = pooled([(int(row.sum()), 100) for row in outcomes]).seeds
        seeds_only += alone.low <= truth <= alone.high
    assert 0.93 <= both / trials <= 0.985
    if runs == 6 and skill == 0.0:
        assert seeds_only / trials < 0.9, "an interval over seeds on one panel takes its starts for all starts"


def test_clustered_averages_the_runs_of_a_starting_agent() -> None:
    outcomes = np.array([[1, 0, 1, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 1, 1, math.nan]], dtype=float)
    means = np.array([[1, 0.5, 0.5], [0, 0.5, 1]])
    assert clustered(outcomes, [4, 4, 9, 9]) == crossed(means)
    assert clustered(outcomes[:, :3], [1, 2, 3, 4]) == crossed(outcomes[:, :3])
    assert clustered(outcomes[:2], [4, 4]) == Interval(0.5, 0.0, 1.0), "one starting agent says nothing of others"


def test_clustered_covers_where_counting_runs_does_not() -> None:
    """Three starting agents that differ (sd .7), of each three runs that differ less (sd .3), on 100 starts (sd 2)."""
    rng = np.random.default_rng(11)
    truth = float(logistic(rng.normal(size=200_000) * math.sqrt(0.7**2 + 0.3**2 + 2**2)).mean())
    trials, found = 2000, {"agents": 0, "runs": 0}
    for _ in range(trials):
        agents = np.repeat(0.7 * rng.normal(size=3), 3)[:, None] + 0.3 * rng.normal(size=(9, 1))
        outcomes = (rng.random((9, 100)) < logistic(agents + 2 * rng.normal(size=(1, 100)))).astype(float)
        known = {"agents": clustered(outcomes, np.repeat([1, 2, 3], 3).tolist()), "runs": crossed(outcomes)}
        found = {name: found[name] + (one.low <= truth <= one.high) for name, one in known.items()}
    assert found["agents"] / trials >= 0.93
    assert found["runs"] / trials < 0.9


def test_apart() -> None:
    low, high = Interval(0.1, 0.0, 0.2), Interval(0.5, 0.3, 0.7)
    assert apart(low, high)
    assert apart(high, low)
    assert not apart(low, Interval(0.3, 0.2, 0.4))
    assert not apart(high, high)


@pytest.mark.parametrize("bad", [0.0, 1.0, 95.0])
def test_bad_levels_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="level is"):
        wilson(1, 2, bad)
    with pytest.raises(ValueError, match="level is"):
        mean_interval([1.0, 2.0], bad)


def test_bad_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="successes must lie"):
        wilson(3, 2)
    with pytest.raises(ValueError, match="each run needs"):
        pooled([(1, 0)])
    with pytest.raises(ValueError, match="each run needs"):
        pooled([])

"""The comparison's table: the starting agent, then one row per method over its seeds."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

import numpy as np

from gtr.aggregates import iqm, performance_profile, probability_of_improvement
from gtr.compare.results import RunResult
from gtr.compare.runner import State
from gtr.report.history import durations
from gtr.stats import Interval, apart, clustered, crossed, mean_interval, pooled, wilson

OUTCOME_ONLY = "rl4vlm"
"""The method that others are measured against: PPO guided by the outcome alone."""

HEALTH = (
    ("return", "episode/return"),
    ("length", "episode/length"),
    ("perception", "thought/perception"),
    ("start plan", "thought/start_plan"),
    ("right", "thought/right"),
    ("follows", "action/follows"),
    ("self-BLEU-2", "thought/self_bleu2"),
)
"""Columns and the metrics behind them, as measured on the panel."""
SHARES_OF_HEALTH = ("perception", "start plan", "right", "follows")
"""Columns that are shares of healthy thoughts: less is worse."""
Series = Mapping[str, Sequence[float]]


def _total(*metrics: str) -> Callable[[Series], float]:
    return lambda series: sum(math.fsum(series.get(one, (math.nan,))) for one in metrics)


COSTS: Mapping[str, Callable[[Series], float]] = {
    "turns": _total("count/turns", "episode/aborted"),
    "tokens": _total("count/tokens"),
    "gradient tokens": _total("count/gradient_tokens"),
    "teacher tokens": _total("count/teacher_tokens"),
    "minutes": lambda series: math.fsum(durations(series)) / 60 or math.nan,
    "dollars": lambda series: next(reversed(series.get("corrector/usd", ())), math.nan),
}
"""What a run took, by the series of its metrics; NaN where that was not measured."""
THRESHOLDS = tuple(i / 20 for i in range(20))
"""Of success, at which a performance profile is given."""


DEVELOPMENT_AGENTS, DEVELOPMENT_SEEDS, DEVELOPMENT_PANEL = (0,), (1, 2, 3, 4, 5, 6, 11, 12, 13), 0
"""Starting agents (sft.seed), seeds and panel (train.eval_seed) on which the settings of the tiny presets were chosen.
"""
STARTS, SEEDS, SEEDS_AND_STARTS = "other starts", "other seeds, these starts", "other seeds and starts"
AGENTS = "other starting agents, seeds and starts"
"""Populations that an interval speaks for: one agent's, or a method's whose runs kept no outcomes, or a method's with
one starting agent, or with several."""


@dataclass(frozen=True)
class Row:
    """One line: an agent's success on the panel, how sure that is, and how healthy its thoughts are."""

    agent: str
    seeds: tuple[float, ...]
    """Success of each finished run."""
    success: float
    interval: Interval
    """95 %, of the population that `speaks_for` names."""
    health: Mapping[str, float]
    """Mean over runs of the metrics in `HEALTH`, by column; NaN where none measured it."""
    spread: Mapping[str, Interval] = field(default_factory=dict)
    """Student's t interval of that mean, 95 %, by column; none for a single run."""
    collapse: str = ""
    failed: int = 0
    unfinished: int = 0
    runs: int = 1
    costs: Mapping[str, float] = field(default_factory=dict)
    """Mean over runs of what `COSTS` names; NaN where a run did not count it."""
    panel: str = ""
    """Name of the panel it was measured on; success on another is not compared."""
    times_start: float = math.nan
    times_plain: float = math.nan
    """Success divided by that of the starting agent, and of outcome-only PPO; infinite where that is 0."""
    starts: int = 0
    """Start states of that panel."""
    speaks_for: str = STARTS
    iqm: float = math.nan
    """Interquartile mean of success over runs."""
    profile: Sequence[float] = ()
    """Performance profile: the share of runs with more success than each of `THRESHOLDS`."""
    developed: bool = False
    """Whether the presets' settings were chosen on a starting agent, on a seed or on the panel of its runs."""
    better_than_plain: float = math.nan
    """Probability of improvement: how likely a run of this method beats one of outcome-only PPO."""
    apart_from_start: bool = False
    apart_from_plain: bool = False
    """Whether the two 95 % intervals do not touch."""
    worse: frozenset[str] = frozenset()
    """Columns of `SHARES_OF_HEALTH` whose interval over runs lies below the starting agent's value."""


def rows_of(results: Sequence[RunResult]) -> list[Row]:
    """Starting agents first, then the methods in the order in which they were given."""
    methods = list(dict.fromkeys(result.method for result in results))
    trained = {method: _method_row(method, [one for one in results if one.method == method]) for method in methods}
    starts = _start_rows(results)
    plain = trained.get(OUTCOME_ONLY)
    rows = [_against(trained[method], starts.get(method), plain) for method in methods]
    return list({row.agent: row for row in starts.values()}.values()) + rows


def _start_rows(results: Sequence[RunResult]) -> dict[str, Row]:
    """The starting agents of each method; methods that began alike share a row object."""
    begun: dict[str, dict[tuple[Any, ...], Mapping[str, Any]]] = {}
    for result in results:
        if (one := result.start) is not None:
            key = (one["panel"], one["successes"], repr(sorted(one["health"].items())))
            begun.setdefault(result.method, {})[key] = one
    shared: dict[frozenset[tuple[Any, ...]], list[str]] = {}
    for method, records in begun.items():
        # Of a method that has not begun from all of them yet too.
        widest = max((other for other in begun.values() if set(records) <= set(other)), key=len)
        shared.setdefault(frozenset(widest), []).append(method)
    rows: dict[str, Row] = {}
    for keys, methods in shared.items():
        widest = next(records for records in begun.values() if frozenset(records) == keys)
        label = "start" if len(shared) == 1 else f"start of {', '.join(methods)}"
        rows |= dict.fromkeys(methods, _start_row(label, list(widest.values())))
    return rows


def _start_row(label: str, records: Sequence[Mapping[str, Any]]) -> Row:
    """Starting agents as a row, each of them as a run."""
    interval, speaks_for = _interval(records, range(len(records)))
    known = [one["success"] for one in records if one["success"] is not None]
    panel = records[0]["panel"]
    return Row(
        label,
        tuple(known),
        interval.estimate,
        interval,
        _health(records),
        panel=panel,
        starts=records[0]["episodes"],
        speaks_for=speaks_for or STARTS,
    )


def _method_row(method: str, results: Sequence[RunResult]) -> Row:
    known = [(one.agent, one.end) for one in results if one.state is State.FINISHED and one.end is not None]
    known = [(agent, end) for agent, end in known if end["episodes"]]
    ends = [end for _, end in known]
    states = [result.state for result in results]
    failed, finished = states.count(State.FAILED), states.count(State.FINISHED)
    shares = tuple(end["successes"] / end["episodes"] for end in ends)
    interval, speaks_for = _interval(ends, [agent for agent, _ in known])
    return Row(
        method,
        shares,
        interval.estimate,
        interval,
        _health(ends),
        _spread(ends),
        _collapses(results),
        failed,
        costs=_costs([result for result in results if result.state is State.FINISHED]),
        unfinished=len(results) - failed - finished,
        runs=len(results),
        panel=ends[0]["panel"] if ends else "",
        starts=ends[0]["episodes"] if ends else 0,
        speaks_for=speaks_for,
        iqm=iqm(_column(shares)) if shares else math.nan,
        profile=performance_profile(_column(shares), THRESHOLDS) if shares else (),
        developed=any(_developed(result) for result in results),
    )


def _costs(results: Sequence[RunResult]) -> dict[str, float]:
    return {name: fmean([cost(one.series) for one in results] or [math.nan]) for name, cost in COSTS.items()}


def _developed(result: RunResult) -> bool:
    if result.settings.get("sft.enabled") is not True:
        return False
    panel = result.settings.get("train.eval_seed", DEVELOPMENT_PANEL) == DEVELOPMENT_PANEL
    return panel or result.settings.get("sft.seed") in DEVELOPMENT_AGENTS or result.seed in DEVELOPMENT_SEEDS


def _interval(ends: Sequence[Mapping[str, Any]], agents: Sequence[int]) -> tuple[Interval, str]:
    """The success over runs of these starting agents, how sure it is, and for what population."""
    counts = [(end["successes"], end["episodes"]) for end in ends if end["episodes"]]
    if not counts:
        return Interval(math.nan, 0.0, 1.0), ""
    if len(counts) == 1:
        return wilson(*counts[0]), STARTS
    outcomes = [end.get("outcomes", ()) for end in ends]
    if len({(end["panel"], len(row)) for end, row in zip(ends, outcomes, strict=True)}) == 1 and _played(outcomes) > 1:
        table, several = np.array(outcomes, dtype=float), len(set(agents)) > 1
        known = clustered(table, agents) if several else crossed(table)
        return replace(known, estimate=pooled(counts).rate), AGENTS if several else SEEDS_AND_STARTS
    return pooled(counts).seeds, SEEDS


def _played(outcomes: Sequence[Sequence[bool | None]]) -> int:
    """Starts that every run has played to the end."""
    return sum(None not in start for start in zip(*outcomes, strict=True))


def _column(shares: Sequence[float]) -> np.ndarray:
    return np.array(shares, dtype=float)[:, None]


def _health(records: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    return {column: fmean(known) if known else math.nan for column, known in _measured(records).items()}


def _spread(records: Sequence[Mapping[str, Any]]) -> dict[str, Interval]:
    return {column: mean_interval(known) for column, known in _measured(records).items() if len(known) > 1}


def _measured(records: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    """What the runs measured, by column."""
    found: dict[str, list[float]] = {}
    for column, metric in HEALTH:
        values = [record["health"].get(metric) for record in records]
        found[column] = [value for value in values if value is not None and math.isfinite(value)]
    return found


def _collapses(results: Sequence[RunResult]) -> str:
    """``3/3 from turn 2304: thought/perception, action/max_share``."""
    rung = [result.collapse for result in results if result.collapse is not None]
    if not rung:
        return ""
    first = min(one.turns for one in rung)
    seen = list(dict.fromkeys(metric for one in rung for metric in one.seen_by))
    return f"{len(rung)}/{len(results)} from turn {first}: {', '.join(seen)}"


def _against(row: Row, start: Row | None, plain: Row | None) -> Row:
    start = start if start is not None and start.panel == row.panel else None
    other = plain if plain is not None and plain.agent != row.agent and plain.panel == row.panel else None
    return replace(
        row,
        times_start=_times(row, start),
        times_plain=_times(row, other),
        better_than_plain=_better(row, other),
        apart_from_start=start is not None and apart(row.interval, start.interval),
        apart_from_plain=other is not None and apart(row.interval, other.interval),
        worse=frozenset(
            column
            for column in SHARES_OF_HEALTH
            if start is not None and column in row.spread and row.spread[column].high < start.health[column]
        ),
    )


def _times(row: Row, other: Row | None) -> float:
    if other is None or math.isnan(row.success) or math.isnan(other.success):
        return math.nan
    if other.success == 0:
        return math.inf if row.success > 0 else math.nan
    return row.success / other.success


def _better(row: Row, other: Row | None) -> float:
    if other is None or not row.seeds or not other.seeds:
        return math.nan
    return probability_of_improvement(_column(row.seeds), _column(other.seeds))

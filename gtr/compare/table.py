"""The comparison's table: the starting agent, then one row per method over its seeds."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from gtr.compare.results import RunResult
from gtr.compare.runner import State
from gtr.stats import Interval, apart, pooled, wilson

OUTCOME_ONLY = "rl4vlm"
"""The method that others are measured against: PPO guided by the outcome alone."""

HEALTH = (
    ("return", "episode/return"),
    ("length", "episode/length"),
    ("perception", "thought/perception"),
    ("start plan", "thought/start_plan"),
    ("follows", "action/follows"),
    ("self-BLEU-2", "thought/self_bleu2"),
)
"""Columns and the metrics behind them, as measured on the panel."""


@dataclass(frozen=True)
class Row:
    """One line: an agent's success on the panel, how sure that is, and how healthy its thoughts are."""

    agent: str
    seeds: tuple[float, ...]
    """Success of each finished run."""
    success: float
    interval: Interval
    """95 %: over runs where there are several (pooled, see `gtr.stats`), over episodes where there is one."""
    health: Mapping[str, float]
    """Mean over runs of the metrics in `HEALTH`, by column; NaN where none measured it."""
    collapse: str = ""
    failed: int = 0
    runs: int = 1
    times_start: float = math.nan
    times_plain: float = math.nan
    """Success divided by that of the starting agent, and of outcome-only PPO; infinite where that is 0."""
    apart_from_start: bool = False
    apart_from_plain: bool = False
    """Whether the two 95 % intervals do not touch."""


def rows_of(results: Sequence[RunResult]) -> list[Row]:
    """Starting agents first, then the methods in the order in which they were given."""
    methods = list(dict.fromkeys(result.method for result in results))
    trained = {method: _method_row(method, [one for one in results if one.method == method]) for method in methods}
    starts = _start_rows(results)
    plain = trained.get(OUTCOME_ONLY)
    rows = [_against(trained[method], starts.get(method), plain) for method in methods]
    return list({row.agent: row for row in starts.values()}.values()) + rows


def _start_rows(results: Sequence[RunResult]) -> dict[str, Row]:
    """The starting agent of each method; methods that began alike share a row object."""
    shared: dict[tuple[Any, ...], list[str]] = {}
    records: dict[tuple[Any, ...], Mapping[str, Any]] = {}
    for result in results:
        if result.start is not None:
            key = (result.start["panel"], result.start["successes"], repr(sorted(result.start["health"].items())))
            records[key] = result.start
            shared.setdefault(key, [])
            if result.method not in shared[key]:
                shared[key].append(result.method)
    rows: dict[str, Row] = {}
    for key, methods in shared.items():
        label = "start" if len(shared) == 1 else f"start of {', '.join(methods)}"
        record = records[key]
        row = Row(
            label,
            (record["success"],),
            record["success"],
            wilson(record["successes"], record["episodes"]),
            _health([record]),
        )
        rows |= dict.fromkeys(methods, row)
    return rows


def _method_row(method: str, results: Sequence[RunResult]) -> Row:
    ends = [result.end for result in results if result.state is State.FINISHED and result.end is not None]
    counts = [(end["successes"], end["episodes"]) for end in ends if end["episodes"]]
    failed = sum(result.state is State.FAILED for result in results)
    rate, interval = _estimate(counts)
    shares = tuple(wins / episodes for wins, episodes in counts)
    return Row(method, shares, rate, interval, _health(ends), _collapses(results), failed, len(results))


def _estimate(counts: Sequence[tuple[int, int]]) -> tuple[float, Interval]:
    if not counts:
        return math.nan, Interval(math.nan, 0.0, 1.0)
    over = pooled(counts)
    return over.rate, over.seeds if len(counts) > 1 else over.episodes


def _health(records: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    found: dict[str, float] = {}
    for column, metric in HEALTH:
        values = [record["health"].get(metric) for record in records]
        known = [value for value in values if value is not None and math.isfinite(value)]
        found[column] = fmean(known) if known else math.nan
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
    other = plain if plain is not None and plain.agent != row.agent else None
    return Row(
        **{
            **vars(row),
            "times_start": _times(row, start),
            "times_plain": _times(row, other),
            "apart_from_start": start is not None and apart(row.interval, start.interval),
            "apart_from_plain": other is not None and apart(row.interval, other.interval),
        }
    )


def _times(row: Row, other: Row | None) -> float:
    if other is None or math.isnan(row.success) or math.isnan(other.success):
        return math.nan
    if other.success == 0:
        return math.inf if row.success > 0 else math.nan
    return row.success / other.success


# -- the table as text --------------------------------------------------------------------------------------------
COLUMNS = ("agent", "success by seed", "success", "95 %", *(column for column, _ in HEALTH), "collapse alarm")
FOOTNOTE = (
    "Success: greedy play of the same untruncated panel. 95 %: over runs where there are several, over episodes for a "
    "single run or the starting agent. x: how many times the success of the start and of outcome-only PPO (rl4vlm); "
    "* where the two intervals lie apart."
)


def columns() -> list[str]:
    """Titles of the table's columns."""
    return [*COLUMNS, "x start", f"x {OUTCOME_ONLY}"]


def cells(row: Row) -> list[str]:
    """A row as texts, one per column."""
    seeds = " ".join(f"{value:.2f}" for value in row.seeds)
    if row.failed:
        seeds = " ".join([seeds, f"({row.failed} of {row.runs} failed)"]).strip()
    return [
        row.agent,
        seeds,
        number(row.success),
        f"{row.interval.low:.2f}-{row.interval.high:.2f}" if row.seeds else "-",
        *(number(value) for value in row.health.values()),
        row.collapse or "-",
        number(row.times_start) + ("*" if row.apart_from_start else ""),
        number(row.times_plain) + ("*" if row.apart_from_plain else ""),
    ]


def number(value: float) -> str:
    """Two decimals; a dash for what was not measured."""
    return "-" if math.isnan(value) else ("inf" if math.isinf(value) else f"{value:.2f}")


def markdown(rows: Sequence[Row], title: str) -> str:
    """The table for a README."""
    lines = [f"# {title}", "", "| " + " | ".join(columns()) + " |", "|" + " --- |" * len(columns())]
    lines += ["| " + " | ".join(cells(row)) + " |" for row in rows]
    return "\n".join([*lines, "", FOOTNOTE, ""])


def comma_separated(rows: Sequence[Row]) -> str:
    """The table for a spreadsheet, numbers in full."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    extra = ["x start", f"x {OUTCOME_ONLY}"]
    writer.writerow(["agent", "seeds", "success", "low", "high", *(name for name, _ in HEALTH), "collapse", *extra])
    for row in rows:
        seeds = " ".join(map(repr, row.seeds))
        numbers = [row.success, row.interval.low, row.interval.high, *row.health.values()]
        writer.writerow([row.agent, seeds, *numbers, row.collapse, row.times_start, row.times_plain])
    return out.getvalue()

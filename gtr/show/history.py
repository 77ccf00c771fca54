"""What became of a run over its updates: its curves, its evaluations, and when the alarm first rang."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gtr.metrics.alarm import Alarm
from gtr.show.read import numbers
from gtr.show.run import Run

DIGITS = 5
"""Significant digits of a curve's values that a page gets."""


@dataclass(frozen=True)
class Ring:
    """The first time the alarm rang, and the metrics that had fallen then."""

    update: int
    seen_by: tuple[str, ...]


@dataclass(frozen=True)
class History:
    """A run's numbers."""

    run: Run
    updates: Sequence[int]
    series: Mapping[str, Sequence[float]]
    """Every metric after each update; NaN where it was not measured."""
    panel: Sequence[Mapping[str, Any]]
    """The evaluations in order: ``update``, ``success``, ``interval``, ``health`` and more."""
    alarm: Ring | None


def read_history(run: Run) -> History:
    """Reads a run, as far as it came."""
    lines = run.metrics()
    names = sorted({name for line in lines for name, _ in numbers(line)} - {"update"})
    series = {name: [dict(numbers(line)).get(name, math.nan) for line in lines] for name in names}
    panel = [
        {**record, "update": update, "health": dict(numbers(record.get("health") or {}))}
        for update in run.evaluated_updates()
        if (record := run.evaluation(update))
    ]
    return History(run, [line["update"] for line in lines], series, panel, _first_ring(lines))


def _first_ring(lines: Sequence[Mapping[str, Any]]) -> Ring | None:
    """Lets the alarm go over the metrics again, to know what it saw."""
    alarm = Alarm()
    for line in lines:
        alert = alarm.observe(line["update"], dict(numbers(line)))
        if alert.ringing:
            return Ring(line["update"], tuple(fall.metric for fall in alert.fallen))
    return None


def rounded(value: float) -> float | None:
    """A value as a page gets it; None where it was not measured."""
    return None if math.isnan(value) else float(f"{value:.{DIGITS}g}")

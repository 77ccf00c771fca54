"""What became of a run over its updates: its curves, its evaluations, and when the alarm first rang."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gtr.metrics.alarm import Alarm
from gtr.report.run import Run

MOST_VALUES = 4_000_000
"""Of all curves together: 10,000 updates of 150 metrics have 1.5 million."""


@dataclass(frozen=True)
class Collapse:
    """When the alarm first rang, and which metrics had fallen then."""

    update: int
    turns: int
    """Environment turns up to then."""
    seen_by: tuple[str, ...]


@dataclass(frozen=True)
class History:
    """A run's numbers."""

    run: Run
    updates: Sequence[int]
    series: Mapping[str, Sequence[float]]
    """Every metric after each update; NaN where it was not measured."""
    panel: Sequence[Mapping[str, Any]]
    """The evaluations in order, each with its ``update`` (see `gtr.report.run.Run.evaluation`)."""
    collapse: Collapse | None
    turns: Mapping[int, int]
    """Environment turns played up to each update; 0 at the start."""


def read_history(run: Run) -> History:
    """Reads a run, as far as it came."""
    lines = run.metrics()
    names = sorted({name for line in lines for name in line} - {"update"})[: MOST_VALUES // max(len(lines), 1)]
    series = {name: [line.get(name, math.nan) for line in lines] for name in names}
    panel = [{**record, "update": update} for update in run.evaluated_updates() if (record := run.evaluation(update))]
    turns = played(lines, run.turns_per_update)
    return History(run, [int(line["update"]) for line in lines], series, panel, find_collapse(lines, turns), turns)


def played(lines: Sequence[Mapping[str, float]], turns_per_update: int) -> dict[int, int]:
    """Environment turns up to each update: as counted, or, in runs of earlier versions, as the settings say."""
    found, total = {0: 0}, 0
    for line in lines:
        counted = line.get("count/turns", math.nan) + line.get("episode/aborted", 0.0)
        total += turns_per_update if math.isnan(counted) else int(counted)
        found[int(line["update"])] = total
    return found


def durations(series: Mapping[str, Sequence[float]]) -> list[float]:
    """Seconds of each update, evaluations left out, by its ``seconds/`` metrics; empty where there are none.

    What was sampled ahead (`engine.max_staleness`) took its seconds while others were learnt from: the trainer's own
    are those that it waited for it.
    """
    aside = ("seconds/generate", "seconds/step") if "seconds/wait" in series else ()
    stages = [values for name, values in series.items() if name.startswith("seconds/") and name not in aside]
    return [math.fsum(value for value in values if value >= 0) for values in zip(*stages, strict=True)]


def find_collapse(lines: Sequence[Mapping[str, float]], turns: Mapping[int, int]) -> Collapse | None:
    """Lets the alarm go over a run's metrics again, to know what it saw."""
    alarm = Alarm()
    for line in lines:
        update = int(line["update"])
        alert = alarm.observe(update, {name: value for name, value in line.items() if name != "update"})
        if alert.ringing:
            return Collapse(update, turns[update], tuple(fall.metric for fall in alert.fallen))
    return None

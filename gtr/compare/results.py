"""What the runs of a comparison left behind, read into records."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gtr.compare.plan import Job
from gtr.compare.runner import State, last_lines
from gtr.config import Config
from gtr.metrics.alarm import Alarm
from gtr.report import RunFolder

LOG_LINES = 8


@dataclass(frozen=True)
class Collapse:
    """When the alarm first rang, and which metrics had fallen then."""

    update: int
    turns: int
    seen_by: tuple[str, ...]


@dataclass(frozen=True)
class RunResult:
    """One run of a comparison."""

    method: str
    seed: int
    state: State
    folder: str
    trouble: str = ""
    """The last lines of its log, if it failed."""
    turns: Sequence[int] = ()
    """Environment turns after each update."""
    series: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Every metric after each update; NaN where it was not measured."""
    panel: Mapping[int, float] = field(default_factory=dict)
    """Success on the panel by environment turns; 0 is the starting agent."""
    start: Mapping[str, Any] | None = None
    end: Mapping[str, Any] | None = None
    """The evaluations before the first and after the last update."""
    collapse: Collapse | None = None
    config: Config | None = None
    made_by: Mapping[str, Any] = field(default_factory=dict)
    """Command, versions, code and machine of the run's first start (see `gtr.report.fingerprint`)."""


def read_result(job: Job, state: State) -> RunResult:
    """Reads the run of a job, as far as it came."""
    assert job.folder is not None
    trouble = "\n".join(last_lines(job.log, LOG_LINES)) if state is State.FAILED else ""
    if not (job.folder / "config.json").exists():
        return RunResult(job.method, job.seed, state, str(job.folder), trouble)
    return read_run(RunFolder.open(job.folder, main=False), job.method, job.seed, state, trouble)


def read_run(run: RunFolder, method: str, seed: int, state: State, trouble: str = "") -> RunResult:
    """Reads a run folder as the run of a method and seed."""
    lines = run.read_metrics()
    train = run.config.train
    names = sorted({name for line in lines for name in line if name != "update"})
    evaluated = {update: run.read_evaluation(update) for update in run.evaluated_updates()}
    return RunResult(
        method,
        seed,
        state,
        str(run.path),
        trouble,
        [line["update"] * train.envs * train.turns for line in lines],
        {name: [line.get(name, math.nan) for line in lines] for name in names},
        {update * train.envs * train.turns: _share(record["success"]) for update, record in evaluated.items()},
        evaluated.get(0),
        evaluated.get(train.updates) or (evaluated.get(lines[-1]["update"]) if lines else None),
        find_collapse(lines, train.envs * train.turns),
        run.config,
        next(iter(run.read_fingerprints()), {}),
    )


def find_collapse(lines: Sequence[Mapping[str, float]], turns_per_update: int) -> Collapse | None:
    """Lets the alarm go over a run's metrics again, to know what it saw."""
    alarm = Alarm()
    for line in lines:
        values = {name: value for name, value in line.items() if name != "update" and math.isfinite(value)}
        alert = alarm.observe(int(line["update"]), values)
        if alert.ringing:
            update = int(line["update"])
            return Collapse(update, update * turns_per_update, tuple(fall.metric for fall in alert.fallen))
    return None


def _share(value: float | None) -> float:
    return math.nan if value is None else value

"""What the runs of a comparison left behind, read into records."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gtr.compare.plan import FIRST_MODEL, Job, panels_file
from gtr.compare.runner import State, last_lines
from gtr.report.history import Collapse, read_history
from gtr.report.read import Files
from gtr.report.records import evaluation, text, whole
from gtr.report.run import Run

LOG_LINES = 8


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
    settings: Mapping[str, Any] = field(default_factory=dict)
    """By dotted key, as `gtr.report.run.Run.settings` has them; empty where there are none."""
    made_by: Mapping[str, Any] = field(default_factory=dict)
    """Command, versions, code and machine of the run's first start (see `gtr.report.fingerprint`)."""
    problems: Sequence[str] = ()
    """What of it could not be read."""

    panels: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = field(default_factory=dict)
    """By split: the evaluations of the starting agent and of the trained one on further panels."""

    @property
    def agent(self) -> int:
        """The seed of its starting agent; 0 where there are no settings."""
        return whole(self.settings.get("sft.seed")) or 0


def read_result(job: Job, state: State) -> RunResult:
    """Reads the run of a job, as far as it came."""
    assert job.folder is not None
    trouble = "\n".join(last_lines(job.log, LOG_LINES)) if state is State.FAILED else ""
    if not (job.folder / "config.json").exists():
        return RunResult(job.method, job.seed, state, str(job.folder), trouble)
    return read_run(Run(job.folder), job.method, job.seed, state, trouble)


def read_run(run: Run, method: str, seed: int, state: State, trouble: str = "") -> RunResult:
    """Reads a run folder as the run of a method and seed."""
    history = read_history(run)
    turns = history.turns
    evaluated = {one["update"]: one for one in history.panel if None not in (one["successes"], one["episodes"])}
    panels = read_panels(run)
    last = evaluated.get(run.whole("train.updates")) or evaluated.get(max(history.updates, default=-1))
    return RunResult(
        method,
        seed,
        state,
        str(run.path),
        trouble,
        [turns[update] for update in history.updates],
        history.series,
        {turns[update]: _share(one) for update, one in evaluated.items() if update in turns},
        evaluated.get(0),
        last,
        history.collapse,
        run.settings,
        next(iter(run.starts()), {}),
        run.problems,
        panels,
    )


def read_panels(run: Run) -> dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """What ``gtr eval`` found for a comparison's run on other panels; empty where nothing was played. What cannot be
    used is left out, and noted among the run's problems."""
    file = panels_file(run.path)
    files, name = Files(file.parent.parent), f"{file.parent.name}/{file.name}"
    value = files.value(name, "play on other panels is left out")
    rows = value if isinstance(value, list) else [value] if files.changed(name) else []
    found = [made for one in rows if (made := _on_other_panel(one)) is not None]
    begun = {one["split"]: one for one in found if Path(one["agent"]).parts[-3:] == FIRST_MODEL.parts}
    ends = [one for one in found if one["split"] in begun and one is not begun[one["split"]]]
    pairs = {one["split"]: (begun[one["split"]], one) for one in ends}
    if lost := len(rows) - 2 * len(pairs):
        files.note(name, f"{name}: {lost} evaluations cannot be used, or have none to compare with; they are left out")
    for problem in files.told():
        run.files.note(name, problem)
    return pairs


def _on_other_panel(value: Any) -> Mapping[str, Any] | None:
    """An evaluation that says of whom and of which split it is, and how often it was won."""
    found, bad = evaluation(value if isinstance(value, dict) else {})
    told = [text(found.get(key)) for key in ("split", "agent")] + [found["successes"], found["episodes"]]
    return None if bad or None in told else found


def on_panel(results: Sequence[RunResult], split: str) -> list[RunResult]:
    """The runs that were played on the panel of a split, as if it were theirs."""
    there = [(one, one.panels[split]) for one in results if split in one.panels]
    return [replace(one, start=start, end=end) for one, (start, end) in there]


def _share(record: Mapping[str, Any]) -> float:
    return record["successes"] / record["episodes"] if record["episodes"] else math.nan

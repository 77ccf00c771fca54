"""``gtr corrector-eval``: is a corrector good enough, and what does it cost? Before a long run is paid for."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from gtr import tasks
from gtr.config import Config
from gtr.errors import ConfigError, CorrectorError
from gtr.guidance import make_corrector, ready
from gtr.guidance.benchmark import Score, benchmark, benchmark_cases
from gtr.report.costs import costs_line
from gtr.stats import Interval


@dataclass(frozen=True)
class Report:
    """How one corrector did."""

    corrector: str
    task: str
    scores: Sequence[Score]
    costs: Mapping[str, float]
    """The corrector's metrics, and ``usd_per_1000`` turns."""


def examine(config: Config, per_kind: int, seed: int, folder: Path | None = None) -> Report:
    """Tries the corrector that the settings name on a fixed panel of `per_kind` thoughts of each kind.

    `folder` takes its ledger and verdicts; with it, what was answered once is not paid for again.
    """
    task = tasks.load(config.task)
    put = benchmark_cases(task, per_kind, seed)
    if folder is None or not (folder / "corrector").exists():
        ready(config)
    corrector = make_corrector(config, task, folder)
    if corrector is None:
        raise ConfigError("guidance.corrector is none: there is nothing to examine")
    try:
        scores = benchmark(corrector, task, put)
        costs = dict(corrector.metrics())
    finally:
        corrector.close()
    if all(score.absent == score.thoughts for score in scores):
        raise CorrectorError(f"{_who(config)} gave no verdict on any of {len(put)} thoughts: nothing can be said of it")
    asked = len(put) - costs.get("corrector/cache_hits", 0.0)
    if asked and costs:
        costs["usd_per_1000"] = 1000 * costs["corrector/usd"] / asked
    return Report(_who(config), task.name, scores, costs)


def _who(config: Config) -> str:
    return config.corrector.model if config.guidance.corrector in ("chat", "local") else config.guidance.corrector


def show(report: Report) -> None:
    """Prints a report as one table and one line of costs."""
    grid = Table(title=f"{report.corrector} as corrector of {report.task}", caption=CAPTION)
    for column in ("thoughts", "number", "catch / pass", "fix / unspoilt", "no verdict"):
        grid.add_column(column, justify="left" if column == "thoughts" else "right")
    for score in report.scores:
        grid.add_row(score.kind, str(score.thoughts), _share(score.found), _share(score.fixed), str(score.absent))
    console = Console()
    console.print(grid)
    if (costs := costs_line(report.costs)) is not None:
        each = report.costs.get("usd_per_1000", 0.0)
        console.print(f"${each:.2f} per 1,000 turns; so far {costs}", highlight=False, soft_wrap=True)


CAPTION = (
    "wrong thoughts: caught (judged wrong) and fixed (the correction passes every check of the oracle); right ones: "
    "passed (judged right) and unspoilt (no false correction). 95 % Wilson intervals."
)


def _share(value: Interval) -> str:
    return f"{value.estimate:.2f} ({value.low:.2f}-{value.high:.2f})"


def write_json(report: Report, path: Path) -> None:
    """Writes a report as JSON."""
    path.write_text(json.dumps(asdict(report), indent=1) + "\n", encoding="utf-8")

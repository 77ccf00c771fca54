"""How far a comparison is: a live table in a terminal, one line now and then elsewhere."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from gtr.compare.plan import Job
from gtr.compare.runner import State, last_lines
from gtr.report.progress import HEADLINES, clock
from gtr.report.run import Run

LINE_EVERY_SECONDS = 20.0
READ_EVERY_SECONDS = 1.0
BUSY = (State.RUNNING, State.ELSEWHERE)


class Progress:
    """Shows where all jobs stand and the time left, judged by the updates done since the first run went on."""

    def __init__(self, jobs: Sequence[Job], console: Console | None = None) -> None:
        self.jobs = jobs
        self.console = console or Console(stderr=True)
        self._before = _updates_done(jobs)
        self._training_since: float | None = None
        self._read = self._line = float("-inf")
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._live = Live(console=self.console, auto_refresh=False)
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, states: Mapping[str, State]) -> None:
        """Brings the display up to date; cheap when it was just called."""
        now = time.monotonic()
        over = all(state in (State.FINISHED, State.FAILED) for state in states.values())
        if self._training_since is None and any(states[job.name] in BUSY for job in self.jobs if job.updates):
            self._training_since = now
        if self._live is not None and (over or now - self._read >= READ_EVERY_SECONDS):
            self._read = now
            self._live.update(self._table(states), refresh=True)
        elif self._live is None and (over or now - self._line >= LINE_EVERY_SECONDS):
            self._line = now
            self.console.print(self._sentence(states), highlight=False, soft_wrap=True)

    def _table(self, states: Mapping[str, State]) -> Table:
        titles = [title for title, _ in HEADLINES]
        table = Table("run", "state", "update", *titles, "", caption=self._sentence(states))
        for job in self.jobs:
            values = _last(job)
            numbers = [f"{values[name]:.2f}" if values.get(name) is not None else "" for _, name in HEADLINES]
            table.add_row(job.name, states[job.name], _update(job, values), *numbers, _remark(job, states, values))
        return table

    def _sentence(self, states: Mapping[str, State]) -> str:
        counts = Counter(states.values())
        parts = [f"{counts[state]} {state}" for state in State if counts[state]]
        running = [job for job in self.jobs if states[job.name] in BUSY]
        parts += [f"{job.name} {_update(job, _last(job)) or _remark(job, states, {})}" for job in running]
        left = self._seconds_left()
        return ", ".join(parts + ([f"about {clock(left)} left"] if left is not None else []))

    def _seconds_left(self) -> float | None:
        done, total = _updates_done(self.jobs), sum(job.updates for job in self.jobs)
        here = done - self._before
        if self._training_since is None or here <= 0:
            return None
        return (time.monotonic() - self._training_since) / here * (total - done)


def _updates_done(jobs: Sequence[Job]) -> int:
    return sum(int(_last(job).get("update", 0)) for job in jobs)


def _last(job: Job) -> dict[str, float]:
    lines = Run(job.folder).metrics() if job.folder is not None else []
    return lines[-1] if lines else {}


def _update(job: Job, values: Mapping[str, Any]) -> str:
    return f"{values.get('update', 0)}/{job.updates}" if job.folder is not None else ""


def _remark(job: Job, states: Mapping[str, State], values: Mapping[str, Any]) -> str:
    if values.get("alarm/ringing"):
        return "collapsing"
    if states[job.name] is State.FAILED or (job.folder is None and states[job.name] is State.RUNNING):
        return next(iter(last_lines(job.log, 1)), "")[:60]
    return ""

"""How far the run is, for a person who waits: a live bar in a terminal, one plain line per update elsewhere."""

import math
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bar

from gtr.report.costs import costs_line

HEADLINES = (
    ("success", "episode/success"),
    ("corrected", "guidance/correction"),
    ("perception", "thought/perception"),
    ("dollars", "corrector/usd"),
)
"""Title and metric of the numbers shown beside the bar, where they were measured."""


class Progress:
    """Shows updates done, turns per second, the headline metrics and the time left.

    Use it in a ``with`` block. `already` updates were done before this process started and count for the bar alone.
    """

    def __init__(self, total_updates: int, already: int = 0, console: Console | None = None) -> None:
        self.total = total_updates
        self.already = already
        self.done = already
        self.turns = 0
        self.started = time.monotonic()
        self.console = console or Console(stderr=True)
        self._bar: Bar | None = None
        self._row = TaskID(0)

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            columns = (TextColumn("update {task.completed:.0f}/{task.total:.0f}"), BarColumn(20))
            self._bar = Bar(*columns, TextColumn("{task.description}"), console=self.console)
            self._row = self._bar.add_task("starting", total=self.total, completed=self.already)
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def stage(self, name: str) -> None:
        """Says what the update in progress is doing; shown in a terminal only."""
        if self._bar is not None:
            self._bar.update(self._row, description=name)

    def update(self, update: int, values: Mapping[str, float], turns: int) -> None:
        """Reports an update that just ended: its number from 1, its metrics, and the turns it collected."""
        self.done, self.turns = update, self.turns + turns
        line = describe(values, self._rate(), self._seconds_left())
        if self._bar is not None:
            self._bar.update(self._row, completed=update, description=line)
        else:
            self.console.print(f"update {update}/{self.total}  {line}", highlight=False, soft_wrap=True)
        if (costs := costs_line(values)) is not None:
            self.console.print(f"corrector: {costs}", highlight=False, soft_wrap=True)

    def _rate(self) -> float:
        return self.turns / max(time.monotonic() - self.started, 1e-9)

    def _seconds_left(self) -> float:
        done_here = max(self.done - self.already, 1)
        return (time.monotonic() - self.started) / done_here * (self.total - self.done)


def describe(values: Mapping[str, float], turns_per_second: float, seconds_left: float) -> str:
    """``success 0.42  corrected 0.10  perception 0.99  25 turns/s  3:20 left``, without what was not measured."""
    known = [(title, values.get(name, math.nan)) for title, name in HEADLINES]
    numbers = [f"{title} {value:.2f}" for title, value in known if not math.isnan(value)]
    return "  ".join([*numbers, f"{turns_per_second:.1f} turns/s", f"{clock(seconds_left)} left"])


def clock(seconds: float) -> str:
    """``3:20`` or ``1:03:20``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"

"""A comparison that has begun: the runs it has so far, and what it does before there are any."""

from collections.abc import Sequence
from pathlib import Path

from gtr.errors import RunError
from gtr.report.found import find_runs
from gtr.report.inside import Unreadable, names_inside, read_inside
from gtr.report.run import Run
from gtr.report.text import visible

COMPARISON, LOGS = "comparison.json", "logs"
"""Written by `gtr compare` into its folder before anything runs."""
LINES = 8
"""Last lines of each log that are shown."""


class Begun:
    """The runs in some folders, looked for again and again; a comparison may have none yet."""

    def __init__(self, paths: Sequence[Path], own_task: str | None = None) -> None:
        self.paths, self.own_task = paths, own_task

    def runs(self) -> list[Run]:
        """All runs there are now. Raises `RunError` where there is none and no comparison has begun."""
        try:
            return find_runs(self.paths, self.own_task)
        except RunError:
            if not any((path / COMPARISON).is_file() for path in self.paths):
                raise
            return []

    def doing(self) -> list[str]:
        """The last lines of what is being done before the first run, such as the making of the starting agent."""
        return [line for path in self.paths for name in sorted(names_inside(path, LOGS)) for line in _end(path, name)]


def _end(path: Path, name: str) -> list[str]:
    if not name.endswith(".log"):
        return []
    try:
        text = read_inside(path, f"{LOGS}/{name}").decode(errors="replace")
    except Unreadable:
        return []
    return [visible(line) for line in text.replace("\r", "\n").splitlines() if line.strip()][-LINES:]

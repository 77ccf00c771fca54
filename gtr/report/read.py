"""The files of one folder, read tolerantly: what is there, and in words what is not."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gtr.report.inside import SMALL, Missing, Unreadable, changed_inside, names_inside, parsed, read_inside
from gtr.report.records import Record

MOST_LINES = 100_000
"""Of one file: updates of a run, turns of an update."""


class Files:
    """Reads files of a folder by their names in it. The first thing wrong with each is noted: "FILE, line N: what is
    wrong; what that means"."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._problems: dict[str, str] = {}

    def told(self) -> list[str]:
        """The problems so far, by file."""
        return [self._problems[about] for about in sorted(self._problems)]

    def note(self, about: str, problem: str) -> None:
        """Remembers a problem unless one is noted already; given none, forgets what was noted."""
        if problem:
            self._problems.setdefault(about, problem)
        else:
            self._problems.pop(about, None)

    def names(self, folder: str) -> list[str]:
        """See `gtr.report.inside.names_inside`."""
        return names_inside(self.path, folder)

    def changed(self, name: str) -> float:
        """See `gtr.report.inside.changed_inside`."""
        return changed_inside(self.path, name)

    def read(self, name: str, limit: int = SMALL) -> bytes:
        """See `gtr.report.inside.read_inside`."""
        return read_inside(self.path, name, limit)

    def held(self, name: str, limit: int = SMALL) -> bytes | None:
        """A file's bytes; None where there is none, or none that can be read."""
        try:
            return self.read(name, limit)
        except Missing:
            return None
        except Unreadable as error:
            self.note(name, f"{name}: {error}; it is left out")
            return None

    def value(self, name: str, otherwise: str, needed: bool = False) -> Any:
        """A file's JSON value; None where there is none, which means what the words `otherwise` say."""
        self.note(name, "")
        try:
            return parsed(self.read(name))
        except Unreadable as error:
            if needed or not isinstance(error, Missing):
                self.note(name, f"{name}: {error}; {otherwise}")
            return None

    def record(self, name: str, otherwise: str, needed: bool = False) -> Record:
        """A file's JSON object; an empty one where there is none."""
        value = self.value(name, otherwise, needed)
        if value is not None and not isinstance(value, dict):
            self.note(name, f"{name}: is not a record; {otherwise}")
        return value if isinstance(value, dict) else {}

    def lines(self, name: str, data: bytes | None, torn: bool = False) -> Iterator[tuple[int, Record]]:
        """The records among JSON lines, with their numbers. A last line without its end is one still being written.

        With `torn`, whoever asks says what is wrong with the file as a whole.
        """
        *found, rest = (data or b"").split(b"\n", MOST_LINES)
        if b"\n" in rest:
            self.note(name, f"{name}: holds more than {MOST_LINES:,} lines; the rest is left out")
        for number, line in enumerate(found, start=1):
            try:
                value = parsed(line)
                if not isinstance(value, dict):
                    raise Unreadable("is not a record")
            except Unreadable as error:
                if line.strip() and not torn:
                    self.note(name, f"{name}, line {number}: {error}; it is left out")
            else:
                yield number, value

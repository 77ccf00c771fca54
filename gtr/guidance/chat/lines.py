"""A file of JSON lines that grows while a thread works: whole lines, written at once, torn ends dropped."""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from gtr.report.files import drop_torn_line, encode, read_lines


class Lines:
    """JSON lines at a path, or nowhere. A line is with the operating system when `append` returns."""

    def __init__(self, file: Path | None) -> None:
        self._path = file
        self._lock = threading.Lock()
        self._file: BinaryIO | None = None
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            drop_torn_line(file)

    def read(self) -> list[dict[str, Any]]:
        """All records so far."""
        return [] if self._path is None else read_lines(self._path)

    def append(self, record: Mapping[str, Any]) -> None:
        """Adds one record; nothing once closed."""
        if self._path is None:
            return
        with self._lock:
            if self._file is None:
                self._file = self._path.open("ab", buffering=0)
            self._file.write(encode(record))

    def close(self) -> None:
        """Closes the file; a later append opens it again."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

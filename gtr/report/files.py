"""Files that a crash cannot spoil: whole files appear at once, JSON lines are complete or dropped."""

import contextlib
import errno
import json
import logging
import math
import os
import threading
from collections.abc import Callable, Mapping
from enum import Enum
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from gtr.errors import RunError

log = logging.getLogger("gtr")


MAX_DEPTH = 40
"""Nesting below which a value is shortened: a reply may nest brackets deeper than Python can walk."""


def plain(value: Any, depth: int = MAX_DEPTH) -> Any:
    """The value as strict JSON: NaN becomes null, infinities the texts "Infinity" and "-Infinity", fractions texts.

    Anything without a JSON form becomes its `str`, so that a transcript never fails on what a user's task reports.
    """
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping | list | tuple | set | frozenset) and depth == 0:
        return "..."
    if isinstance(value, Mapping):
        return {str(key): plain(one, depth - 1) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one, depth - 1) for one in value]
    if isinstance(value, set | frozenset):
        return sorted((plain(one, depth - 1) for one in value), key=repr)
    return f"{value.numerator}/{value.denominator}" if isinstance(value, Fraction) else str(value)


def number(value: Any) -> Any:
    """The inverse of `plain` for the values of a metrics line."""
    if value is None:
        return math.nan
    return float(value) if value in ("Infinity", "-Infinity") else value


def encode(value: Any, indent: int | None = None) -> bytes:
    """UTF-8 JSON of `plain(value)`, ending in a newline; half of a surrogate pair in a reply does not break it."""
    return (json.dumps(plain(value), allow_nan=False, indent=indent) + "\n").encode()


def write_whole(path: Path, data: bytes) -> None:
    """Writes a file, and the folders it lies in; other processes see it either not at all, or old, or complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def append_line(path: Path, record: Mapping[str, Any]) -> None:
    """Adds one JSON line that is on the disk when this returns; a failed write leaves the file as it was."""
    with path.open("ab", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        try:
            rest = memoryview(encode(record))
            while rest:
                rest = rest[file.write(rest) :]
            os.fsync(file.fileno())
        except BaseException:
            with contextlib.suppress(OSError):
                file.truncate(size)
            raise


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The records of a file of JSON lines; none if it does not exist. A last line still being written is left out.

    Raises `RunError` naming the line when one before the last cannot be read.
    """
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")[:-1]
    return [_record(path, index, line) for index, line in enumerate(lines, start=1)]


UNUSABLE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What a reader stumbles over in a record that is damaged, or of another version."""


def read_usable(path: Path, use: Callable[[dict[str, Any]], object]) -> None:
    """Hands every record of a file of JSON lines to `use`, in order; what cannot be read or used is left where it is.

    One message says how many lines that were and what is wrong with the first. `use` must check before it changes
    anything. A last line still being written is left out.
    """
    faults: list[str] = []
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1] if path.exists() else (), start=1):
        try:
            record = json.loads(line)
            if not isinstance(record, dict):
                raise TypeError("it is not a record")
            use(record)
        except UNUSABLE as error:
            faults.append(f"line {number}: {type(error).__name__}: {str(error)[:200]}")
    if faults:
        log.warning("%s: %d lines cannot be used and are set aside (%s)", path, len(faults), faults[0])


class JsonlFile:
    """JSON lines at a path, or nowhere, which threads add to: whole lines or none, on a full disk too.

    A line is with the operating system when `append` returns.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._handle: int | None = None
        self._size = 0
        """Bytes of whole lines."""
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            drop_torn_line(path)

    def read(self, use: Callable[[dict[str, Any]], object]) -> None:
        """Hands all records so far to `use`, as `read_usable` does."""
        if self._path is not None:
            read_usable(self._path, use)

    def append(self, record: Mapping[str, Any]) -> None:
        """Adds one record.

        Raises:
            RunError: it could not be written, and the file is as it was.
        """
        if self._path is None:
            return
        with self._lock:
            try:
                self._add(self._path, encode(record))
            except OSError as error:
                raise RunError(
                    f"{self._path} cannot be written ({error.strerror or error}): mend that, for example by making "
                    "room on the disk; nothing that was written before is lost"
                ) from error

    def _add(self, path: Path, line: bytes) -> None:
        if self._handle is None:
            self._handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            self._size = os.fstat(self._handle).st_size
        if os.fstat(self._handle).st_size > self._size:  # What a failed write left, where the file could not be cut.
            os.ftruncate(self._handle, self._size)
        try:
            _write_all(self._handle, line)
        except BaseException:
            with contextlib.suppress(OSError):
                os.ftruncate(self._handle, self._size)
            raise
        self._size += len(line)

    def close(self) -> None:
        """Closes the file; a later append opens it again."""
        with self._lock:
            if self._handle is not None:
                os.close(self._handle)
                self._handle = None


def _write_all(handle: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        written = os.write(handle, rest)
        if written == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        rest = rest[written:]


def drop_torn_line(path: Path) -> None:
    """Cuts off, with a note, what a crash left after the last complete line, so that appending goes on cleanly."""
    if not path.exists():
        return
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        log.warning("%s: its last line was cut off in mid-write and is dropped", path)
        os.truncate(path, whole)


def _record(path: Path, index: int, line: bytes) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise RunError(f"{path}, line {index} is damaged ({error}): remove that line, or the run") from error
    if not isinstance(record, dict):
        raise RunError(f"{path}, line {index} is not a record: remove that line, or the run")
    return record

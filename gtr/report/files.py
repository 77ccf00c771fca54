"""Files that neither a crash nor a power cut spoils: whole files appear at once, JSON lines are complete or dropped.

What a function here has written is on the disk when it returns: the file's bytes and its name in its folder.
"""

import contextlib
import errno
import json
import logging
import math
import os
import shutil
import stat
import threading
from collections.abc import Callable, Mapping
from enum import Enum
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from gtr.errors import RunError
from gtr.report.inside import Unreadable, parsed, read_named

log = logging.getLogger("gtr")

PART = ".part"
"""Ends the names of files and folders that are being written; they begin with a dot."""
CHUNK = 1 << 20
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


def encode(value: Any, indent: int | None = None) -> bytes:
    """UTF-8 JSON of `plain(value)`, ending in a newline; half of a surrogate pair in a reply does not break it."""
    return (json.dumps(plain(value), allow_nan=False, indent=indent) + "\n").encode()


def write_whole(path: Path, data: bytes, named: bool = True) -> None:
    """Writes a file, and the folders it lies in; other processes see it either not at all, or old, or complete.

    Without `named` its name is not on the disk yet: `sync` the folder after the last of many.
    """
    make_folder(path.parent)
    beside = path.with_name(f".{path.name}.{os.getpid()}{PART}")
    try:
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    if named:
        sync(path.parent)


def make_folder(path: Path) -> None:
    """Makes a folder, and those it lies in, where there is none."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        sync(path.parent)


def sync(path: Path) -> None:
    """Brings a file's bytes, or the names in a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def move_whole(beside: Path, path: Path) -> Path:
    """Gives a folder written by others its name, when all that lies in it is on the disk. Raises `OSError` as
    `Path.rename` does. Its files are as readable as the user's others; some libraries make them private."""
    mode = _usual_mode(beside)
    for folder, _, names in os.walk(beside):
        for name in names:
            (Path(folder) / name).chmod(mode)
            sync(Path(folder) / name)
        sync(Path(folder))
    beside.rename(path)
    sync(path.parent)
    return path


def _usual_mode(folder: Path) -> int:
    """What the user's umask leaves of a new file's permissions, asked without changing it for other threads."""
    new = folder / f".mode{PART}"
    new.touch()
    mode = stat.S_IMODE(new.stat().st_mode)
    new.unlink()
    return mode


def remove_parts(folder: Path) -> None:
    """Removes what processes that were killed in mid-write have left in a folder that no other process writes."""
    for place, folders, names in os.walk(folder):
        for name in [one for one in names if _is_part(one)]:
            (Path(place) / name).unlink(missing_ok=True)
        for name in [one for one in folders if _is_part(one)]:
            folders.remove(name)
            shutil.rmtree(Path(place) / name, ignore_errors=True)


def _is_part(name: str) -> bool:
    return name.startswith(".") and name.endswith(PART)


def append_line(path: Path, record: Mapping[str, Any]) -> None:
    """Adds one JSON line that is on the disk when this returns; a failed write leaves the file as it was."""
    new = not path.exists()
    handle = _open_to_append(path)
    try:
        _append(handle, os.fstat(handle).st_size, encode(record))
    finally:
        os.close(handle)
    if new:
        sync(path.parent)


def _open_to_append(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)


def _append(handle: int, size: int, data: bytes) -> None:
    """Brings data to the disk behind the first `size` bytes of a file, or leaves these alone there."""
    try:
        rest = memoryview(data)
        while rest:
            if (written := os.write(handle, rest)) == 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            rest = rest[written:]
        os.fsync(handle)
    except BaseException:
        with contextlib.suppress(OSError):
            os.ftruncate(handle, size)
        raise


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The records of a file of JSON lines; none if it does not exist. A last line still being written is left out.

    Raises `RunError` naming the line when one before the last cannot be read.
    """
    if not path.exists():
        return []
    try:
        lines = read_named(path).split(b"\n")[:-1]
    except Unreadable as error:
        raise RunError(f"{path} {error}") from error
    return [_record(path, index, line) for index, line in enumerate(lines, start=1)]


UNUSABLE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What a reader stumbles over in a record that is damaged, or of another version."""


def read_usable(path: Path, use: Callable[[dict[str, Any]], object]) -> None:
    """Hands every record of a file of JSON lines to `use`, in order; what cannot be read or used is left where it is.

    One message says how many lines that were and what is wrong with the first. `use` must check before it changes
    anything. A last line still being written is left out.
    """
    faults: list[str] = []
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1] if path.is_file() else (), start=1):
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

    A line is on the disk when `append` returns.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._handle: int | None = None
        self._size = 0
        """Bytes of whole lines."""
        if path is not None:
            make_folder(path.parent)
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
            self._handle = _open_to_append(path)
            self._size = os.fstat(self._handle).st_size
            sync(path.parent)
        if os.fstat(self._handle).st_size > self._size:  # What a failed write left, where the file could not be cut.
            os.ftruncate(self._handle, self._size)
        _append(self._handle, self._size, line)
        self._size += len(line)

    def close(self) -> None:
        """Closes the file; a later append opens it again."""
        with self._lock:
            if self._handle is not None:
                os.close(self._handle)
                self._handle = None


def drop_torn_line(path: Path) -> None:
    """Cuts off, with a note, what a crash left after the last complete line, so that appending goes on cleanly.

    Raises `RunError` where something else than a file lies there.
    """
    if not os.path.lexists(path):
        return
    if path.is_symlink() or not path.is_file():
        raise RunError(f"{path} is not a regular file: remove it, or the run")
    size, whole = path.stat().st_size, _end_of_lines(path)
    if whole < size:
        log.warning("%s: its last line was cut off in mid-write and is dropped", path)
        os.truncate(path, whole)


def _end_of_lines(path: Path) -> int:
    """Where the last complete line of a file ends, found from behind."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - CHUNK)
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            end = start
    return 0


def _record(path: Path, index: int, line: bytes) -> dict[str, Any]:
    try:
        record = parsed(line, exact=True)
    except Unreadable as error:
        raise RunError(f"{path}, line {index} is damaged: it {error}; remove that line, or the run") from error
    if not isinstance(record, dict):
        raise RunError(f"{path}, line {index} is not a record: remove that line, or the run")
    return record

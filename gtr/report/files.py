"""Files that a crash cannot spoil: whole files appear at once, JSON lines are complete or dropped."""

import contextlib
import json
import logging
import math
import os
from collections.abc import Mapping
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

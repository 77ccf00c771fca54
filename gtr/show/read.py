"""Reading files that may be half written, cut short or damaged: what is there, and in words what is not."""

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Lines:
    """The records of a file that could be read."""

    records: list[dict[str, Any]]
    problem: str = ""
    """One sentence about what could not be read; empty where nothing is missing."""


def read_record(file: Path) -> tuple[dict[str, Any], str]:
    """A file's JSON object and an empty text, or an empty one and what is wrong."""
    try:
        value = json.loads(file.read_bytes())
    except FileNotFoundError:
        return {}, f"{file.name} is missing"
    except (OSError, ValueError, RecursionError) as error:
        return {}, f"{file.name} cannot be read ({error})"
    return (value, "") if isinstance(value, dict) else ({}, f"{file.name} is not a record")


def read_metrics(file: Path) -> Lines:
    """The records of a file of JSON lines. A last line without its end is one still being written: no problem."""
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        return Lines([])
    except OSError as error:
        return Lines([], f"{file.name} cannot be read ({error})")
    return _parsed(file.name, data[: data.rfind(b"\n") + 1])


def read_turns(file: Path) -> Lines:
    """The records of a gzipped transcript, as far as it can be unpacked."""
    try:
        raw = file.read_bytes()
    except OSError as error:
        return Lines([], f"{file.name} cannot be read ({error})")
    try:
        if not raw:
            raise EOFError("it is empty")
        return _parsed(file.name, gzip.decompress(raw))
    except (OSError, EOFError, zlib.error) as error:
        found = _parsed(file.name, _unpacked(raw), whole=False)
        reason = f"{file.name} is cut off or damaged ({error}): {len(found.records)} turns of it can be read"
        return Lines(found.records, reason)


def _unpacked(raw: bytes) -> bytes:
    """What a damaged gzip file still gives up to the last whole line."""
    unpacker = zlib.decompressobj(wbits=31)
    data = b""
    try:
        for start in range(0, len(raw), 1024):
            data += unpacker.decompress(raw[start : start + 1024])
    except zlib.error:
        pass
    return data[: data.rfind(b"\n") + 1]


def _parsed(name: str, data: bytes, whole: bool = True) -> Lines:
    records = []
    bad = []
    for number, line in enumerate(data.split(b"\n"), start=1):
        if not line.strip():
            continue
        record = _record(line)
        if record is None:
            bad.append(number)
        else:
            records.append(record)
    lines = ", ".join(map(str, bad[:5])) + (", ..." if len(bad) > 5 else "")
    return Lines(records, f"{name}: line {lines} cannot be read and is left out" if bad and whole else "")


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def numbers(values: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """The finite numbers among a record's values, by name."""
    for name, value in values.items():
        if isinstance(value, int | float) and value == value and abs(value) != float("inf"):
            yield name, float(value)


def number(value: Any, otherwise: float = 0.0) -> float:
    """The value if it is a number, else `otherwise`: a damaged record must not stop a page."""
    return float(value) if isinstance(value, int | float) else otherwise

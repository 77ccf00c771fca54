"""Where in a run folder what lies; see `gtr.report.folder` for the whole of it."""

import re
from collections.abc import Iterable

TURNS_FILE = re.compile(r"update_([0-9]{5,9})\.jsonl\.gz")
EVALUATION_FILE = PROBE_FILE = re.compile(r"update_([0-9]{5,9})\.json")
CHECKPOINT = re.compile(r"update_([0-9]{5,9})")
UPDATE_FOLDERS = ("turns", "probes", "evaluations")
"""Folders whose files are each of one update, and written anew when that is done again."""


def turns_file(update: int) -> str:
    """The turns of an update."""
    return f"turns/update_{update:05d}.jsonl.gz"


def evaluation_file(update: int) -> str:
    """How an evaluation ended."""
    return f"evaluations/update_{update:05d}.json"


def played_file(update: int) -> str:
    """The turns of an evaluation."""
    return f"evaluations/update_{update:05d}.jsonl.gz"


def probe_file(update: int) -> str:
    """An update's matrix of thoughts against prompts."""
    return f"probes/update_{update:05d}.json"


def numbers_of(names: Iterable[str], pattern: re.Pattern[str]) -> list[int]:
    """The updates that files are named after, in order."""
    return sorted({int(match[1]) for match in map(pattern.fullmatch, names) if match})


def update_in(name: str) -> int | None:
    """The update that a file is named after; None for any other file."""
    found = TURNS_FILE.fullmatch(name) or EVALUATION_FILE.fullmatch(name)
    return None if found is None else int(found[1])

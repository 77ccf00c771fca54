"""``python -m campaign``: makes the attacks, says what was found, and writes the table of docs/RELIABILITY.md."""

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from campaign.outcome import Outcome
from campaign.report import Row, write
from campaign.table import ATTACKS

ROOMY = 4 << 30
"""Bytes that a file system in memory must have."""


def main(arguments: Sequence[str]) -> int:
    """Returns 1 where anything was found."""
    chosen = options(arguments)
    counts = counts_of(chosen)
    say(f"seed {chosen.seed}; beforehand, roughly, on one core:")
    for name, count in counts.items():
        say(f"  {name:11} {count:>9,} {ATTACKS[name].what}: {count * ATTACKS[name].seconds / 60:.1f} min")
    say(f"  together {sum(n * ATTACKS[name].seconds for name, n in counts.items()) / 60:.0f} min, below {chosen.place}")
    rows = [made(name, count, chosen.seed, chosen.place) for name, count in counts.items()]
    if chosen.write:
        write(rows, [*arguments])
    return int(any(row.outcome.fell for row in rows))


def made(name: str, count: int, seed: int, place: Path) -> Row:
    """One row of the table, and its findings as they come."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(dir=place, prefix="campaign-") as own:
        outcome: Outcome = ATTACKS[name].run(count, seed, Path(own) / name)
    row = Row(name, seed, outcome, time.monotonic() - started)
    said = "; ".join(f"{key}: {value}" for key, value in outcome.measured.items())
    say(f"{name}: {outcome.tried:,} in {row.seconds:.0f} s, {outcome.fell} found. {said}")
    return row


def options(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m campaign", description=__doc__)
    parser.add_argument("--seed", type=int, default=int(time.time()) // 86400, help="by default, that of the day")
    parser.add_argument("--scale", type=float, default=1.0, help="share of a whole campaign")
    parser.add_argument("--minutes", type=float, help="the same by how long it shall take, roughly")
    parser.add_argument("--only", nargs="+", type=row_name, default=list(ATTACKS), help="some rows, or NAME=COUNT")
    parser.add_argument("--write", action="store_true", help="put the rows into docs/RELIABILITY.md")
    parser.add_argument("--place", type=Path, default=place(), help="where its files lie; by default in memory")
    return parser.parse_args(arguments)


def place() -> Path:
    """A file system in memory where there is a large one: nobody waits there for what is synced."""
    memory = Path("/dev/shm")
    return memory if memory.is_dir() and shutil.disk_usage(memory).free > ROOMY else Path(tempfile.gettempdir())


def counts_of(chosen: argparse.Namespace) -> dict[str, int]:
    """How many of each attack: as named, or the share of a whole campaign that was asked for."""
    words = [word.partition("=") for word in chosen.only]
    whole = sum(ATTACKS[name].count * ATTACKS[name].seconds for name, _, _ in words)
    scale = chosen.scale if chosen.minutes is None else 60 * chosen.minutes / whole
    return {name: int(count) if count else max(1, round(ATTACKS[name].count * scale)) for name, _, count in words}


def row_name(word: str) -> str:
    """An attack, or ``NAME=COUNT``."""
    name, _, count = word.partition("=")
    if name not in ATTACKS or not (count.isdecimal() or count == word[len(name) :]):
        raise argparse.ArgumentTypeError(f"give some of {', '.join(ATTACKS)}, each alone or with =COUNT")
    return word


def say(text: str) -> None:
    """Prints at once."""
    print(text, flush=True)


if __name__ == "__main__":
    # Processes of this one are killed, and their parents' handles would be their own.
    os.setpgrp()
    sys.exit(main(sys.argv[1:]))

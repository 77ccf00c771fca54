"""The table of docs/RELIABILITY.md, as the runs of the campaign wrote it."""

import datetime
import platform
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from campaign import ROOT
from campaign.outcome import Outcome
from campaign.table import ATTACKS

PAGE = ROOT / "docs" / "RELIABILITY.md"
BEGIN, END = "<!-- campaign -->", "<!-- /campaign -->"
ALL, END_OF_ALL = "<!-- attacks -->", "<!-- /attacks -->"
HEAD = "| attack | made | fell | seed | took | seen besides | commit | command |\n|---|---|---|---|---|---|---|---|"
CELL = re.compile(r"\| `[\w-]+`")


@dataclass(frozen=True)
class Row:
    """One attack as it was made."""

    name: str
    seed: int
    outcome: Outcome
    seconds: float


def write(rows: Sequence[Row], arguments: Sequence[str]) -> None:
    """Puts rows in the place of those of the same attack and seed; the others stay."""
    before, rest = PAGE.read_text().split(BEGIN)
    block, after = rest.split(END)
    kept = {key(line): line for line in block.splitlines() if CELL.match(line)}
    kept |= {key(line): line for line in (line_of(row, arguments) for row in rows)}
    order = list(ATTACKS)
    lines = sorted(kept.values(), key=lambda line: (order.index(key(line)[0]), key(line)[1]))
    after = after.partition(ALL)[0] + attacks() + after.partition(END_OF_ALL)[2]
    PAGE.write_text(f"{before}{BEGIN}\n" + "\n".join([HEAD, *lines]) + f"\n{END}{after}")


def attacks() -> str:
    """The table of what a whole campaign makes."""
    head = "| attack | what a whole campaign makes | what must hold |\n|---|---|---|"
    rows = [f"| `{name}` | {one.count:,} {one.what} | {one.promise} |" for name, one in ATTACKS.items()]
    return "\n".join([ALL, head, *rows, END_OF_ALL])


def key(line: str) -> tuple[str, int]:
    """Which attack with which seed a line is of."""
    cells = [cell.strip() for cell in line.split("|")]
    return cells[1].strip("`"), int(cells[4])


def line_of(row: Row, arguments: Sequence[str]) -> str:
    """A row in Markdown."""
    seen = "; ".join(f"{name}: {value}" for name, value in row.outcome.measured.items())
    command = " ".join(["python -m campaign", *(one for one in arguments if one != "--write")])
    cells = [f"`{row.name}`", f"{row.outcome.tried:,}", f"{row.outcome.fell}", str(row.seed)]
    cells.append(f"{row.seconds / 60:.1f} min")
    return "| " + " | ".join([*cells, seen, version(), f"`{command}`"]) + " |"


def version() -> str:
    """The commit, whether anything was changed since, the day and the Python."""
    commit, changed = git("rev-parse", "--short", "HEAD"), git("status", "--porcelain", "--", "gtr", "campaign")
    day = datetime.date.today().isoformat()
    return f"{commit}{' and changes' if changed else ''}, {day}, Python {platform.python_version()}"


def git(*words: str) -> str:
    """What git says."""
    return subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=True).stdout.strip()

"""The table of attacks: how many a whole campaign makes, what one takes, and what is promised."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from campaign.outcome import Outcome


@dataclass(frozen=True)
class Attack:
    """One row."""

    where: str
    """Module and function: ``kills:oracle``; imported when it is made."""
    count: int
    """In a whole campaign."""
    what: str
    """What is counted."""
    seconds: float
    """For one, roughly, on one core."""
    promise: str
    """What holds whatever happens."""

    def run(self, count: int, seed: int, place: Path) -> Outcome:
        """Makes it so often; it writes below `place`."""
        module, _, name = self.where.partition(":")
        do: Callable[[int, int, Path], Outcome] = getattr(import_module(f"campaign.{module}"), name)
        place.mkdir(parents=True)
        return do(count, seed, place)


ALIKE = "resumed, it ends as the run that nobody killed: metrics, turns, lessons, weights, bit for bit"
ATTACKS: Mapping[str, Attack] = {
    "kills": Attack("kills:oracle", 200, "SIGKILLs of a run under the oracle", 2.0, ALIKE),
    "kills-api": Attack(
        *("kills:api", 120, "SIGKILLs of a run under an API whose server fails", 3.0),
        f"{ALIKE}; nothing is paid for twice, no request is missing from the ledger",
    ),
    "kills-teachers": Attack(
        *("kills:teachers", 100, "SIGKILLs of runs under the merged past, its thoughts and scores, and another model"),
        *(2.5, ALIKE),
    ),
    "kills-two": Attack("kills:two_processes", 80, "SIGKILLs of one or both of two processes", 4.0, ALIKE),
    "replies": Attack(
        *("replies:run", 20_000, "corrector requests, 40 % of them failing or answered with hostile bytes", 0.03),
        "one verdict per turn, on file as learnt from; lessons of the turn's own picture; every request settled, at no "
        "less than was billed; the key in no file",
    ),
    "fuzz": Attack(
        *("fuzz:run", 1_000_000, "spoilt texts at every parser of outside text", 0.0002),
        "a value, or the error that the parser names; within seconds",
    ),
    "flags": Attack(
        *("flags:run", 30_000, "command lines: every flag of every command with every bad value", 0.01),
        "one message and code 2 before any work, or a command that is understood",
    ),
    "damage": Attack(
        *(
            "damage:run",
            1000,
            "damaged files of every kind in a run, read by show, compare, eval, export, --resume",
            2.0,
        ),
        "it is read without what is damaged, or refused in one message; never more than 2 GB of memory",
    ),
    "full-disks": Attack(
        *("disks:full", 100, "disks that are full at some write of a run"),
        *(5.0, "one message; whole files and lines; with room again the run goes on alike"),
    ),
    "power": Attack(
        *("disks:power", 500, "power cuts, of what was not synced any part lost"),
        *(0.3, "what had been written is there; the run goes on from its last checkpoint alike"),
    ),
    "clocks": Attack(
        *("clocks:run", 20, "runs under a clock that jumps by years, their files of any date"),
        *(12.0, "learnt, shown, compared and gone on with alike"),
    ),
    "week": Attack(
        *("week:run", 10_000, "updates of a run with a stub as agent"),
        *(0.1, "memory and open files stay flat; the page and the resume are still there within 10 s"),
    ),
}
"""By the name that ``--only`` takes."""

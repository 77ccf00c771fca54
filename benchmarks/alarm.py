"""How good is the collapse alarm on runs that its thresholds were not chosen on?

    python benchmarks/alarm.py --develop RUN ... --held-out RUN ... [--choose] [--json FILE]

RUN is a run folder, or the folder of a comparison, which stands for all its runs. Printed for both sets: rings in
guided runs that did not collapse, missed collapses, and how many updates before success fell the alarm first rang.
Whether a run collapsed is told by its panel (see `alarm_rating.py`). With ``--choose`` the sensitivity is
chosen on the first set, frozen, and rated on the second; else the present one is rated on both. Runs of one game,
starting agent and seed must not stand in both sets: what they share would be known beforehand.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean

from alarm_rating import SIGNS, Rating, Record, choose, outcome, rate
from rich.console import Console
from rich.table import Table

from gtr.errors import GtrError, RunError
from gtr.metrics.alarm import DEFAULT, Sensitivity
from gtr.report import Run
from gtr.report.found import find_runs

Identity = tuple[str, int, int]


def identity(run: Run) -> Identity:
    """What runs share that must not stand in both sets: game, starting agent, seed."""
    return run.text("task.name"), run.whole("sft.seed"), run.whole("seed")


def read(run: Run) -> tuple[Identity, Record]:
    """A run's record."""
    panel = {}
    for update in run.evaluated_updates():
        if record := run.evaluation(update):
            known = {name: record["health"][name] for name in SIGNS if name in record["health"]}
            panel[update] = known | ({} if record["success"] is None else {"success": record["success"]})
    if 0 not in panel:
        raise RunError(
            f"{run.path} has no evaluation of its starting agent, so that nothing can be said to have fallen"
        )
    guided = run.text("guidance.corrector", "none") != "none" and run.text("guidance.judge", "off") == "off"
    return identity(run), Record(str(run.path), guided, run.metrics(), panel)


def both(develop: Sequence[Path], held_out: Sequence[Path]) -> tuple[list[Record], list[Record]]:
    """The two sets of runs.

    Raises:
        RunError: a run cannot be read, or the sets share a game, starting agent and seed.
    """
    sets = [[read(run) for run in find_runs(named)] for named in (develop, held_out)]
    shared = {one for one, _ in sets[0]} & {one for one, _ in sets[1]}
    if shared:
        told = "; ".join(f"{task}, sft.seed {start}, seed {seed}" for task, start, seed in sorted(shared))
        raise RunError(f"runs in both sets share game, starting agent and seed ({told}): move them into one set")
    return [record for _, record in sets[0]], [record for _, record in sets[1]]


def row(name: str, records: Sequence[Record], rating: Rating) -> list[str]:
    """A set of runs as a line of the table."""
    warned = rating.warnings
    warnings = f"{fmean(warned):.1f} ({min(warned)} to {max(warned)})" if warned else "-"
    return [
        name,
        str(len(records)),
        f"{rating.false_rings} / {rating.guided}",
        f"{rating.plain_false_rings} / {rating.plain}",
        f"{rating.missed} / {rating.collapses}",
        warnings,
    ]


def report(sensitivity: Sensitivity, develop: Sequence[Record], held_out: Sequence[Record]) -> Table:
    """The table: the runs that were chosen on, and the others."""
    table = Table(
        *("runs", "number", "false rings / guided runs", "... / unguided runs", "missed / collapses"),
        "updates of warning, mean (range)",
        title=", ".join(f"{key} {value:g}" for key, value in asdict(sensitivity).items()),
    )
    for name, records in (("development", develop), ("held out", held_out)):
        table.add_row(*row(name, records, rate(records, sensitivity)))
    return table


def main(words: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--develop", type=Path, nargs="+", required=True, metavar="RUN")
    parser.add_argument("--held-out", type=Path, nargs="+", required=True, metavar="RUN")
    parser.add_argument("--choose", action="store_true", help="choose the sensitivity on the first set")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every run's outcome too")
    chosen = parser.parse_args(words)
    develop, held_out = both(chosen.develop, chosen.held_out)
    sensitivity = choose(develop) if chosen.choose else DEFAULT
    console = Console()
    console.width = max(console.width, 120)
    console.print(report(sensitivity, develop, held_out))
    if chosen.json is not None:
        sets = {"develop": develop, "held_out": held_out}
        outcomes = {
            name: {record.name: asdict(outcome(record, sensitivity)) for record in records}
            for name, records in sets.items()
        }
        chosen.json.write_text(json.dumps({"sensitivity": asdict(sensitivity), **outcomes}, indent=1) + "\n")


if __name__ == "__main__":
    try:
        main()
    except GtrError as error:
        sys.exit(f"Error: {error}")

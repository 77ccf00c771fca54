"""How good is the collapse alarm on runs that its thresholds were not chosen on?

    python benchmarks/alarm.py --develop RUN ... --held-out RUN ... [--choose] [--json FILE]

RUN is a run folder, or the folder of a comparison, which stands for all its runs. Printed for both sets: rings in
guided runs that did not collapse, missed collapses, and how many updates before success fell the alarm first rang.
Whether a run collapsed is told by its panel (see `gtr.metrics.alarm_rating`). With ``--choose`` the sensitivity is
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

from rich.console import Console
from rich.table import Table

from gtr.config import Config
from gtr.errors import GtrError, RunError
from gtr.metrics.alarm import DEFAULT, Sensitivity
from gtr.metrics.alarm_rating import SIGNS, Rating, Record, choose, outcome, rate
from gtr.metrics.renamed import current_name
from gtr.report import RunFolder

Identity = tuple[str, int, int]


def folders(named: Sequence[Path]) -> list[Path]:
    """Each run once; a comparison's folder stands for its runs."""
    found: list[Path] = []
    for folder in named:
        inside = sorted(file.parent for file in folder.glob("runs/*/config.json"))
        inside = [one for one in inside if (one / "checkpoints").is_dir()]
        found += [folder] if (folder / "config.json").exists() or not inside else inside
    return list({folder.resolve(): folder for folder in found}.values())


def identity(config: Config) -> Identity:
    """What runs share that must not stand in both sets: game, starting agent, seed."""
    return config.task.name, config.sft.seed, config.seed


def read(folder: Path) -> tuple[Identity, Record]:
    """A run's record."""
    run = RunFolder.open(folder, main=False)
    lines = [{current_name(key): value for key, value in line.items()} for line in run.read_metrics()]
    panel = {}
    for update in run.evaluated_updates():
        record = run.read_evaluation(update)
        known = {name: record["health"][name] for name in SIGNS if record["health"].get(name) is not None}
        panel[update] = known | ({} if record["success"] is None else {"success": record["success"]})
    if 0 not in panel:
        raise RunError(f"{folder} has no evaluation of its starting agent, so that nothing can be said to have fallen")
    guidance = run.config.guidance
    guided = guidance.corrector != "none" and guidance.judge == "off"
    return identity(run.config), Record(str(folder), guided, lines, panel)


def both(develop: Sequence[Path], held_out: Sequence[Path]) -> tuple[list[Record], list[Record]]:
    """The two sets of runs.

    Raises:
        RunError: a run cannot be read, or the sets share a game, starting agent and seed.
    """
    sets = [[read(folder) for folder in folders(named)] for named in (develop, held_out)]
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

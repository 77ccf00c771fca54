"""Runs the studies of ``studies.toml`` unattended and writes what they found into the documentation.

    python benchmarks/study.py [--only NAME ...] [--quick] [--out FOLDER]         # run, then write
    python benchmarks/study.py --write [--out FOLDER]                             # write what has finished, run nothing

Given again, it goes on where it stopped. A study that fails does not keep the others from running. Results are reported
on starting agents, seeds and a panel on which no setting was chosen; --starts, --seeds and --panel take others. Written
are docs/RESULTS.md and the tables of README.md between their markers; with --quick, RESULTS.md in the folder alone.
"""

import argparse
import shlex
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from results import Found, Sign, readme, report

from gtr.cli import second_signal_leaves_at_once
from gtr.cli.compare import parse_compare
from gtr.compare import run
from gtr.compare.from_runs import state_of
from gtr.compare.plan import Comparison, plan
from gtr.compare.results import RunResult, read_result
from gtr.compare.runner import State
from gtr.compare.study import study_of
from gtr.errors import GtrError, nearest
from gtr.report.files import write_whole
from gtr.report.run import Run

HERE = Path(__file__).parent
STUDIES = HERE / "studies.toml"


@dataclass(frozen=True)
class Population:
    """On what a study is run: seeds of starting agents, seeds of runs, the panel's seed."""

    starts: Sequence[int]
    seeds: Sequence[int]
    panel: int


@dataclass(frozen=True)
class Named:
    """A study of the file."""

    name: str
    title: str
    words: str
    """Of ``gtr compare``: methods and settings."""
    minutes: float
    """Of one run on one core."""
    starts: int = 3
    """Only the first so many starting agents."""
    seeds: int | None = None
    """Only the first so many; None takes all."""
    night: bool = True
    """Whether it runs without being named."""
    readme: Sequence[str] = ()
    """Agents whose rows stand in README."""

    def comparison(self, population: Population, out: Path, quick: str = "") -> Comparison:
        """What ``gtr compare`` makes of it. Raises `GtrError` for words that it does not take."""
        dimensions = [
            *("--starts", *map(str, population.starts[: self.starts])),
            *("--seeds", *map(str, population.seeds[: self.seeds])),
            *("--train.eval_seed", str(population.panel)),
        ]
        words = [*shlex.split(self.words), *shlex.split(quick), *dimensions]
        return parse_compare([*words, "--out", str(out / self.name)])


def read(file: Path = STUDIES) -> tuple[dict[str, Named], list[Sign], dict[str, Population], str]:
    """Studies by name, the paper's signs, ``report`` and ``development``, and the settings of --quick."""
    held: Mapping[str, Any] = tomllib.loads(file.read_text())
    studies = {name: Named(name, **values) for name, values in held["study"].items()}
    populations = {name: Population(**held[name]) for name in ("report", "development")}
    return studies, [Sign(**one) for one in held["sign"]], populations, held["quick"]["words"]


def chosen(studies: Mapping[str, Named], only: Sequence[str]) -> list[Named]:
    """The studies to run. Raises `GtrError` for a name that none has."""
    for name in only:
        if name not in studies:
            raise GtrError(f"--only {name}: {nearest(name, studies)}")
    return [one for one in studies.values() if (one.name in only if only else one.night)]


def run_all(studies: Sequence[Named], population: Population, out: Path, quick: str, jobs: int | None) -> list[str]:
    """Runs what is not finished; returns the names of those that failed."""
    failed = []
    for one in studies:
        try:
            comparison = replace(one.comparison(population, out, quick), jobs=jobs)
            runs = len(plan(comparison).runs)
            print(f"study {one.name}: {runs} runs, about {runs * one.minutes:.0f} minutes of one core", flush=True)
            share_agents(out, one.name)
            run(comparison)
        except GtrError as error:
            print(f"study {one.name}: {error}", file=sys.stderr, flush=True)
            failed.append(one.name)
    return failed


def share_agents(out: Path, name: str) -> None:
    """Starting agents are kept beside the studies: those of the same settings are made once for all."""
    shared, own = (out / "agents").resolve(), out / name / "runs" / "agents"
    shared.mkdir(parents=True, exist_ok=True)
    own.parent.mkdir(parents=True, exist_ok=True)
    if not own.exists():
        own.symlink_to(shared, target_is_directory=True)


def found(one: Named, population: Population, out: Path, quick: str) -> Found:
    """What has come of a study so far."""
    begun = Found(one.name, one.title, f"gtr compare {one.words}", 0, 0, None, one.readme)
    if not (out / one.name).is_dir():
        return begun
    try:
        comparison = one.comparison(population, out, quick)
    except GtrError as error:
        return replace(begun, trouble=str(error).splitlines()[0])
    results = [_result(job.folder, read_result(job, State.WAITING)) for job in plan(comparison).runs]
    known = any(result.settings for result in results)
    study = study_of(results, comparison.title, comparison.command) if known else None
    done = sum(result.state is State.FINISHED for result in results)
    command = shlex.join(comparison.command)
    return replace(begun, command=command, runs=len(results), finished=done, study=study)


def _result(folder: Path | None, result: RunResult) -> RunResult:
    known = folder is not None and (folder / "config.json").exists()
    return replace(result, state=state_of(Run(folder))) if known and folder is not None else result


def main(words: Sequence[str] | None = None, root: Path = HERE.parent) -> int:
    """The command; returns its exit status. Documents are written below `root`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these studies alone")
    parser.add_argument("--quick", action="store_true", help="one short run of each: does everything run?")
    parser.add_argument("--write", action="store_true", help="run nothing, write what there is")
    parser.add_argument("--out", type=Path, help="folder of the studies (runs/study; runs/study-quick)")
    parser.add_argument("--starts", nargs="+", type=int, metavar="N", help="seeds of starting agents")
    parser.add_argument("--seeds", nargs="+", type=int, metavar="N", help="seeds of runs")
    parser.add_argument("--panel", type=int, metavar="N", help="seed of the panel")
    parser.add_argument("--jobs", type=int, metavar="N", help="runs at a time; by default one per core")
    asked = parser.parse_args(words)
    studies, signs, populations, short = read()
    population = _population(asked, populations["report"])
    out = asked.out or Path("runs", "study-quick" if asked.quick else "study")
    quick = short if asked.quick else ""
    picked = chosen(studies, asked.only)
    failed = [] if asked.write else run_all(picked, population, out, quick, asked.jobs)
    state = [found(one, population, out, quick) for one in studies.values()]
    text = report(state, signs, population, populations["development"])
    if asked.quick:
        write_whole(out / "RESULTS.md", text.encode())
    else:
        write_whole(root / "docs" / "RESULTS.md", text.encode())
        write_whole(root / "README.md", readme((root / "README.md").read_text(), state, signs).encode())
    return 1 if failed else 0


def _population(asked: argparse.Namespace, usual: Population) -> Population:
    whole = Population(
        tuple(asked.starts or usual.starts),
        tuple(asked.seeds or usual.seeds),
        usual.panel if asked.panel is None else asked.panel,
    )
    return Population(whole.starts[:1], whole.seeds[:1], whole.panel) if asked.quick else whole


if __name__ == "__main__":
    try:
        with second_signal_leaves_at_once():  # A scheduler's SIGTERM takes the runs along, as Ctrl-C does.
            sys.exit(main())
    except GtrError as error:
        sys.exit(f"Error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)

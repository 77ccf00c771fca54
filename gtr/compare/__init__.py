"""Methods x seeds on one task, from one starting agent and with the same number of turns, side by side."""

import os
import re
import subprocess
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from gtr.compare.across import draw_across
from gtr.compare.figures import draw
from gtr.compare.formats import COLUMNS, by_panel, cells, comma_separated, footnote, latex, markdown
from gtr.compare.from_runs import read_existing
from gtr.compare.plan import Comparison, Job, Plan, claim, plan, played
from gtr.compare.progress import Progress
from gtr.compare.results import RunResult, read_result
from gtr.compare.runner import PROGRAM, State, last_lines, run_all
from gtr.compare.samples import markdown as samples_markdown
from gtr.compare.study import Study, shown, study_of
from gtr.config.files import read_file
from gtr.config.presets import METHODS, preset
from gtr.errors import ConfigError, RunError, nearest, to_install
from gtr.guidance import ready
from gtr.report.files import encode, make_folder, write_whole
from gtr.report.found import find_runs, is_run
from gtr.report.text import visible
from gtr.show import TURNS
from gtr.show.export import export
from gtr.show.page import is_installed
from gtr.show.study import RESULTS, read_study

LOG_LINES = 8


def compare(
    *methods: str,
    task: str | None = None,
    scale: str = "tiny",
    seeds: Sequence[int] = (1, 2, 3),
    out: Path | str = "runs/compare",
    jobs: int | None = None,
    file: Path | str | None = None,
    starts: Sequence[int] = (),
    splits: Sequence[str] = (),
    **settings: Any,
) -> Path:
    """Trains methods x seeds and reports on them: ``compare("rl4vlm", "gtr", seeds=[1], **{"train.updates": 3})``.

    What is finished already is not done again. Arguments are as `gtr.config.presets.preset` takes them; `jobs` runs go
    on at a time, by default one per core. `starts` are seeds of starting agents, each shared by all methods; `splits`
    further panels to play at the end. Returns the folder `out` with the runs and the report.

    Raises:
        ConfigError: a method or setting does not exist or cannot work.
        RunError: as `run`.
    """
    configs = {method: preset(method, task, scale, file, **settings) for method in methods}
    if not configs:
        raise ConfigError(f"compare() needs methods: {nearest('', METHODS)}")
    game = next(iter(configs.values())).task.name
    words = [word for key, value in settings.items() for word in (f"--{key}", *_words(value))]
    if file is not None:
        words = ["--config", str(file), *words]
    held = {} if file is None else read_file(Path(file))
    asked = Comparison(configs, tuple(seeds), Path(out), game, scale, tuple(words), held, jobs)
    return run(replace(asked, starts=tuple(starts), splits=tuple(splits)))


def run(comparison: Comparison) -> Path:
    """Runs what is not finished yet, then writes and shows table, pictures and thoughts; returns the folder.

    Raises `RunError` where the folder holds another comparison, or runs failed (the table then shows which).
    """
    planned = plan(comparison)
    for config in {(one.guidance.corrector, one.corrector): one for one in comparison.configs.values()}.values():
        ready(config)
    claim(comparison)
    try:
        with page_served(comparison.out, comparison.port):
            states = _run(planned, comparison.jobs)
    except KeyboardInterrupt as stop:
        stop.add_note(f"{_finished(planned)} of {len(planned.runs)} runs are finished; give the same command to go on.")
        raise
    panels = [played(job, comparison.splits) for job in planned.runs if states[job.name] is State.FINISHED]
    states |= _play(panels, comparison) if comparison.splits else {}
    results = [read_result(job, states[job.name]) for job in planned.runs]
    study = study_of(results, comparison.title, comparison.command, comparison.task)
    write(study, comparison.out, comparison.task)
    show(study, comparison.out)
    failed = [job for job in (*planned.runs, *panels) if states.get(job.name) is State.FAILED]
    if failed:
        ends = "\n".join(f"{job.log} ends:\n  " + "\n  ".join(last_lines(job.log, LOG_LINES)) for job in failed)
        raise RunError(f"{len(failed)} of {len(states)} runs failed; give the same command to retry.\n{ends}")
    return comparison.out


@contextmanager
def page_served(out: Path, port: int | None) -> Iterator[None]:
    """The page of a comparison at a port, live, by a process of its own, and where it is; None serves nothing."""
    if port is None:
        yield
        return
    command = [*PROGRAM, "show", str(out), "--port", str(port), "--no-browser"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        if address := server.stdout.readline().partition(" ")[0]:
            print(f"watch it grow: {address}", flush=True)
        yield
    finally:
        server.terminate()
        server.wait()


def report(folders: Sequence[Path], out: Path, code: Collection[str] = ()) -> Path:
    """The same from runs that exist, training nothing; `code` names the task of the user's own that may be run. Runs of
    several games get a report each, in a folder named after the game.

    Raises `RunError` where they are none or damaged, or the folder holds another comparison.
    """
    if (out / "comparison.json").exists():
        raise RunError(f"{out} holds a comparison with its own report: choose another folder with --out")
    games: dict[str, list[RunResult]] = {}
    for one in read_existing(folders):
        games.setdefault(str(one.settings.get("task.name")), []).append(one)
    for game, results in games.items():
        _report(results, folders, out if len(games) == 1 else out / re.sub(r"\W+", "-", game), code)
    return out


def _report(results: Sequence[RunResult], folders: Sequence[Path], out: Path, code: Collection[str]) -> None:
    methods, seeds = dict.fromkeys(one.method for one in results), sorted({one.seed for one in results})
    title = f"{results[0].settings.get('task.name')}: {', '.join(methods)}; seeds {', '.join(map(str, seeds))}"
    own = [word for name in code for word in ("--task", name)]
    words = ["gtr", "compare", "--from", *map(str, folders), *own, "--out", str(out)]
    own_task = next(iter(code), None)
    study = study_of(results, title, words, own_task)
    write(study, out, own_task)
    show(study, out)


def _words(value: object) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list | tuple) else [str(value)]


def write(study: Study, out: Path, own_task: str | None = None) -> None:
    """Writes comparison.html, table.md, .csv and .tex, results.json, the pictures, and samples.md with its images."""
    rows, results = study.rows, study.results
    write_whole(out / "table.md", markdown(rows, study.title, study.doubts, study.panels).encode())
    write_whole(out / "table.csv", comma_separated(rows).encode())
    write_whole(out / "table.tex", latex(rows, study.title, f"gtr-{study.task}").encode())
    runs = {"rows": [asdict(row) for row in rows], "runs": [asdict(one) for one in results]}
    write_whole(out / RESULTS, encode({"study": shown(study), **runs}))
    draw(results, study.title, out)
    draw_across(rows, results, out)
    write_whole(out / "samples.md", samples_markdown(study.states).encode())
    for state in study.states:
        if state.image:
            write_whole(out / "images" / state.image, state.picture)
    folders = [Path(one.folder) for one in results if is_run(Path(one.folder))]
    if is_installed() and folders:
        export(find_runs(folders, own_task), out / "comparison.html", TURNS, read_study([out]))


def show(study: Study, out: Path) -> None:
    """Prints the table, one column per agent, in what the runs were not alike, and where the rest is."""
    agents = (Column(_plain(row.agent)) for row in study.rows)
    table = Table("", *agents, title=_plain(study.title), title_justify="left")
    for name, *values in list(zip(COLUMNS, *map(cells, study.rows), strict=True))[1:]:
        table.add_row(name, *map(_plain, values))
    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, 30 * (len(study.rows) + 1))
    console.print(table)
    if study.panels:
        head, *body = by_panel(study.panels)
        other = Table(*(Column(_plain(name)) for name in head), title="success on other panels", title_justify="left")
        for line in body:
            other.add_row(*map(_plain, line))
        console.print(other)
    for doubt in study.doubts:
        console.print(f"not alike: {visible(doubt)}", style="bold", markup=False, highlight=False)
    console.print(footnote(study.rows), style="dim")
    page = out / "comparison.html" if is_installed() else f"none: {to_install('show')}"
    print(f"report: {page}\npicture: {out / 'curves.png'}\nthoughts: {out / 'samples.md'}")
    print(f"table: {out / 'table.md'}, .csv, .tex\nfor a paper: {out / 'figure-column'}, figure-page; .svg, .pdf, .png")


def _plain(text: str) -> Text:
    """Text that a run folder may have brought, without what a terminal or the table would read as a command."""
    return Text(visible(text))


def _run(planned: Plan, jobs: int | None) -> dict[str, State]:
    limit = jobs or cores()
    with Progress([*planned.starts, *planned.runs]) as progress:
        waiting = dict.fromkeys((job.name for job in planned.runs), State.WAITING)
        starts = run_all(planned.starts, limit, lambda states: progress.show({**states, **waiting}))
        failed = [job for job in planned.starts if starts[job.name] is State.FAILED]
        if failed:
            end = "\n  ".join(last_lines(failed[0].log, LOG_LINES))
            raise RunError(f"the starting agent could not be made; {failed[0].log} ends:\n  {end}")
        return run_all(planned.runs, limit, lambda states: progress.show({**starts, **states}))


def _play(panels: Sequence[Job], comparison: Comparison) -> dict[str, State]:
    """Plays what is trained on further panels."""
    make_folder(comparison.out / "panels")
    with Progress(panels) as progress:
        return run_all(panels, comparison.jobs or cores(), progress.show)


def cores() -> int:
    """CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _finished(planned: Plan) -> int:
    return sum(job.done.exists() for job in planned.runs)

"""Methods x seeds on one task, from one starting agent and with the same number of turns, side by side."""

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from gtr.compare.board import Board
from gtr.compare.picture import draw
from gtr.compare.plan import Plan, claim, plan
from gtr.compare.results import RunResult, read_result
from gtr.compare.runner import State, last_lines, run_all
from gtr.compare.samples import page
from gtr.compare.table import FOOTNOTE, Row, cells, columns, comma_separated, markdown, rows_of
from gtr.errors import RunError
from gtr.options import CompareOptions
from gtr.report.files import encode, write_whole

LOG_LINES = 8


def compare(options: CompareOptions, overrides: Sequence[str]) -> Path:
    """Runs what is not finished yet, then writes and shows table, picture and samples; returns the folder.

    Raises:
        ConfigError: a method or setting does not exist.
        RunError: the folder holds another comparison, or runs failed; the table then shows which.
    """
    planned = plan(options, overrides)
    claim(options, overrides)
    try:
        states = _run(planned, options)
    except KeyboardInterrupt as stop:
        stop.add_note(f"{_finished(planned)} of {len(planned.runs)} runs are finished; give the same command to go on.")
        raise
    results = [read_result(job, states[job.name]) for job in planned.runs]
    rows = rows_of(results)
    title = f"{options.task}: {', '.join(options.methods)}; seeds {', '.join(map(str, options.seeds))}"
    write(results, rows, title, options.out)
    show(rows, title, options.out)
    failed = [job for job in planned.runs if states[job.name] is State.FAILED]
    if failed:
        ends = "\n".join(f"{job.log} ends:\n  " + "\n  ".join(last_lines(job.log, LOG_LINES)) for job in failed)
        raise RunError(f"{len(failed)} of {len(results)} runs failed; give the same command to retry.\n{ends}")
    return options.out


def write(results: Sequence[RunResult], rows: Sequence[Row], title: str, out: Path) -> None:
    """Writes table.md, table.csv, results.json, curves.png and samples.md."""
    write_whole(out / "table.md", markdown(rows, title).encode())
    write_whole(out / "table.csv", comma_separated(rows).encode())
    record = {"title": title, "rows": [asdict(row) for row in rows], "runs": [asdict(one) for one in results]}
    write_whole(out / "results.json", encode(record))
    draw(results, title, out / "curves.png")
    write_whole(out / "samples.md", page(results, out).encode())


def show(rows: Sequence[Row], title: str, out: Path) -> None:
    """Prints the table, one column per agent, and where the rest is."""
    table = Table("", *(row.agent for row in rows), title=title, title_justify="left")
    for name, *values in list(zip(columns(), *map(cells, rows), strict=True))[1:]:
        table.add_row(name, *values)
    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, 30 * (len(rows) + 1))
    console.print(table)
    console.print(FOOTNOTE, style="dim")
    print(f"picture: {out / 'curves.png'}\nthoughts: {out / 'samples.md'}\ntable: {out / 'table.md'}")


def _run(planned: Plan, options: CompareOptions) -> dict[str, State]:
    limit = options.jobs or cores()
    with Board([*planned.starts, *planned.runs]) as board:
        waiting = dict.fromkeys((job.name for job in planned.runs), State.WAITING)
        starts = run_all(planned.starts, limit, lambda states: board.show({**states, **waiting}))
        failed = [job for job in planned.starts if starts[job.name] is State.FAILED]
        if failed:
            end = "\n  ".join(last_lines(failed[0].log, LOG_LINES))
            raise RunError(f"the starting agent could not be made; {failed[0].log} ends:\n  {end}")
        return run_all(planned.runs, limit, lambda states: board.show({**starts, **states}))


def cores() -> int:
    """CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _finished(planned: Plan) -> int:
    return sum(job.done.exists() for job in planned.runs)

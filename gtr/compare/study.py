"""Everything that is reported about a comparison, and what of it a page shows."""

import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gtr.compare.comparability import doubts
from gtr.compare.formats import COLUMNS, cells, footnote, number
from gtr.compare.results import RunResult, on_panel
from gtr.compare.samples import StartState, start_states
from gtr.compare.table import OUTCOME_ONLY, Row, rows_of
from gtr.report.methods import NOT_THE_METHOD


@dataclass(frozen=True)
class Study:
    """A comparison."""

    title: str
    results: Sequence[RunResult]
    rows: Sequence[Row]
    doubts: Sequence[str]
    """In what the runs were not alike."""
    panels: Mapping[str, Sequence[Row]]
    """Further panels by split, each a table like `rows`."""
    states: Sequence[StartState]
    command: str
    """Makes the comparison, or its report, again."""

    @property
    def task(self) -> str:
        """The game's name."""
        return next((str(one.settings["task.name"]) for one in self.results if "task.name" in one.settings), "task")


def study_of(results: Sequence[RunResult], title: str, command: Sequence[str], own_task: str | None = None) -> Study:
    """What is reported about runs; `command` makes the report again, `own_task` see `start_states`."""
    states = start_states(results, own_task)
    splits = dict.fromkeys(split for one in results for split in one.panels)
    panels = {split: rows_of(on_panel(results, split)) for split in splits}
    return Study(title, results, rows_of(results), doubts(results), panels, states, shlex.join(command))


def shown(study: Study) -> dict[str, Any]:
    """What the page's table view shows, as plain texts (read back by `gtr.show.study`)."""
    methods = {one.method: one.settings for one in study.results if one.settings}
    return {
        "title": study.title,
        "command": study.command,
        "answers": list(answers(study)),
        "doubts": list(study.doubts),
        "columns": list(COLUMNS),
        "rows": [cells(row) for row in study.rows],
        "footnote": footnote(study.rows),
        "methods": list(methods),
        "differ": differing(methods),
        "runs": [[run_name(one), reached(one), one.folder, made_by(one)] for one in study.results],
    }


def answers(study: Study) -> Iterator[str]:
    """The table in words: one sentence per trained agent, then what the alarm saw."""
    trained = [row for row in study.rows if row.runs and row.agent in {one.method for one in study.results}]
    for row in trained:
        if math.isnan(row.success):
            yield f"{row.agent}: no finished run."
            continue
        times = [
            f"{number(ratio)} times {name} (the intervals {'lie apart' if apart else 'overlap'})"
            for ratio, name, apart in (
                (row.times_start, "the start", row.apart_from_start),
                (row.times_plain, OUTCOME_ONLY, row.apart_from_plain),
            )
            if math.isfinite(ratio)
        ]
        interval = f"{row.interval.low:.2f}-{row.interval.high:.2f}"
        yield "; ".join([f"{row.agent} succeeds in {row.success:.2f} of the starts (95 % {interval})", *times]) + "."
    rung = [f"{row.agent} ({row.collapse})" for row in trained if row.collapse]
    yield f"The collapse alarm rang for {'; '.join(rung)}." if rung else "The collapse alarm rang in no run."


def differing(methods: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """The settings in which methods differ: key, then one value per method."""
    keys = dict.fromkeys(key for settings in methods.values() for key in settings)
    rows = [[key, *(str(settings.get(key)) for settings in methods.values())] for key in keys]
    own = [row for row in rows if not row[0].startswith(NOT_THE_METHOD) and row[0] != "preset"]
    return [row for row in own if len(set(row[1:])) > 1]


def run_name(one: RunResult) -> str:
    """``gtr, seed 1``, after which starting agent where there may be several."""
    return f"{one.method}, {f'starting agent {one.agent}, ' if one.agent else ''}seed {one.seed}"


def reached(one: RunResult) -> str:
    """How far a run came."""
    turns = f" after {one.turns[-1]:,} turns" if one.turns else ""
    rung = f"; collapse alarm from turn {one.collapse.turns:,}" if one.collapse else ""
    return f"{one.state}{turns}{rung}"


def made_by(one: RunResult) -> str:
    """What was typed to train a run and with which versions, if its folder still says so."""
    if not one.made_by:
        return ""
    code = one.made_by["code"] or {}
    commit = f", commit {code.get('commit')}{' with uncommitted changes' if code.get('dirty') else ''}" if code else ""
    packages = " ".join(f"{name} {version}" for name, version in one.made_by["packages"].items())
    about = f"gtr {one.made_by['gtr']}, Python {one.made_by['python']}, {one.made_by['device']}{commit}"
    return f"{shlex.join(['gtr', *one.made_by['command'][1:]])}\n{about}\n{packages}"

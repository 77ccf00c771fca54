"""The comparison as one HTML page that can be mailed: everything inside, nothing loaded, no script.

Whatever a model or a user wrote reaches the page through Jinja's escaping, with controls written out (`visible`).
"""

import base64
import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from gtr.compare.existing import NOT_THE_METHOD
from gtr.compare.formats import COLUMNS, FOOTNOTE, cells, comma_separated, latex, markdown, number
from gtr.compare.picture import inlined
from gtr.compare.results import RunResult
from gtr.compare.samples import StartState
from gtr.compare.table import HEALTH, OUTCOME_ONLY, Row
from gtr.config import Config
from gtr.config.io import settings_of
from gtr.metrics.table import describe
from gtr.report.text import visible


@dataclass(frozen=True)
class Study:
    """Everything that is reported about a comparison."""

    title: str
    results: Sequence[RunResult]
    rows: Sequence[Row]
    doubts: Sequence[str]
    """In what the runs were not alike."""
    states: Sequence[StartState]
    command: str
    """Makes the comparison, or its report, again."""

    @property
    def task(self) -> str:
        """The game's name."""
        return next((one.config.task.name for one in self.results if one.config is not None), "task")


@dataclass(frozen=True)
class Meaning:
    """What one column of the table says."""

    column: str
    formula: str
    meaning: str
    healthy: str


def html(study: Study) -> str:
    """The whole page."""
    pages = Environment(
        loader=PackageLoader("gtr.compare", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters |= {"visible": visible, "picture": picture}
    methods = {one.method: one.config for one in study.results if one.config is not None}
    return pages.get_template("page.html").render(
        study=study,
        table=[cells(row) for row in study.rows],
        columns=COLUMNS,
        footnote=FOOTNOTE,
        answers=list(answers(study)),
        figure=Markup(inlined(study.results, study.title)),
        meanings=meanings(),
        methods=list(methods),
        settings=settings(methods),
        runs=[(one, reached(one), command(one)) for one in study.results],
        texts={
            "Markdown": markdown(study.rows, study.title, study.doubts),
            "LaTeX": latex(study.rows, study.title, f"gtr-{study.task}"),
            "CSV": comma_separated(study.rows),
        },
    )


def picture(file: Path) -> str:
    """A PNG file as the address of its own contents."""
    return "data:image/png;base64," + base64.b64encode(file.read_bytes()).decode()


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


def meanings() -> list[Meaning]:
    """The columns that are metrics, from the one table that defines them."""
    success = ("success", "panel/success")
    found = [(column, describe(metric)) for column, metric in (success, *HEALTH)]
    return [Meaning(column, one.formula, one.meaning, one.healthy) for column, one in found if one is not None]


def settings(methods: Mapping[str, Config]) -> Mapping[str, Sequence[tuple[str, Sequence[str]]]]:
    """Settings in which the methods differ, with one value each, and those they share, with one value."""
    all_values = [settings_of(config) for config in methods.values()]
    split: dict[str, list[tuple[str, Sequence[str]]]] = {"different": [], "shared": []}
    for key in all_values[0] if all_values else ():
        values = [visible(str(one[key])) for one in all_values]
        if not key.startswith(NOT_THE_METHOD) and key != "preset":
            alike = len(set(values)) == 1
            split["shared" if alike else "different"].append((key, values[:1] if alike else values))
    return split


def reached(one: RunResult) -> str:
    """How far a run came."""
    turns = f" after {one.turns[-1]:,} turns" if one.turns else ""
    rung = f"; collapse alarm from turn {one.collapse.turns:,}" if one.collapse else ""
    return f"{one.state}{turns}{rung}"


def command(one: RunResult) -> str:
    """What was typed to train a run, if its folder still says so."""
    return shlex.join(["gtr", *one.made_by["command"][1:]]) if one.made_by else ""

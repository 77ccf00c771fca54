"""Evaluations as a table on the screen."""

from collections.abc import Mapping, Sequence
from math import isnan

import numpy as np
from rich.console import Console
from rich.table import Table as RichTable

from gtr.evaluate.results import Evaluation, Group
from gtr.report.costs import costs_line

WIDE = 160
"""Columns of a table that goes to a file or a pipe."""
COLUMNS = ("episode/return", "episode/length", "action/legal", "thought/perception", "thought/start_plan")
NO_SUCCESS = (
    "{} does not say what success is, only rewards: put info['success'] into the last step of its environment, or "
    "define Task.success."
)
CAPTION = "95 %: of this agent on other starts of the same kind. Replies that are not legal actions are penalised."


def print_table(evaluations: Sequence[Evaluation]) -> None:
    """Prints evaluations, those of one panel, which is to say of one set of starts and rules, as one table."""
    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, WIDE)
    for panel in dict.fromkeys(e.panel for e in evaluations):
        console.print(_table(panel, [e for e in evaluations if e.panel == panel]))
    if evaluations:
        console.print(CAPTION, style="dim", highlight=False)
    for name in sorted({e.task for e in evaluations if isnan(e.success) and e.episodes}):
        console.print(NO_SUCCESS.format(name), highlight=False)
    if any(e.groups or e.conditions for e in evaluations):
        console.print(_by_kind(evaluations))
    for e in evaluations:
        if (costs := costs_line(e.health)) is not None:
            console.print(f"{e.agent}: {costs}", highlight=False, soft_wrap=True)


def _table(panel: str, evaluations: Sequence[Evaluation]) -> RichTable:
    grid = RichTable(title=f"panel {panel}")
    columns = ("agent", "mode", "success", "95 % interval", "episodes", "return", "length", "legal", "perception")
    for column in (*columns, "start plan"):
        grid.add_column(column, justify="left" if column in ("agent", "mode") else "right", overflow="fold")
    for e in evaluations:
        low, high = e.interval
        grid.add_row(
            e.agent,
            e.mode,
            *(("-", "-") if isnan(e.success) else (f"{e.success:.2f}", f"{low:.2f}-{high:.2f}")),
            str(e.episodes) + (f" (+{e.aborted} aborted)" if e.aborted else ""),
            *(_number(e.health, key) for key in COLUMNS),
        )
    return grid


def _by_kind(evaluations: Sequence[Evaluation]) -> RichTable:
    """Success by kind of game, and the share of the goal's conditions that held at the end."""
    kinds = sorted({kind for e in evaluations for kind in e.groups})
    grid = RichTable("agent", *kinds, "goal conditions", title="success by kind of game, with 95 % intervals")
    for e in evaluations:
        cells = [_shares(e.groups[kind]) if kind in e.groups else "-" for kind in kinds]
        last = "-" if e.conditions is None else "{:.2f} ({:.2f}-{:.2f})".format(*e.conditions)
        grid.add_row(e.agent, *cells, last)
    return grid


def _shares(group: Group) -> str:
    low, high = group.interval
    return f"{group.successes}/{group.episodes} ({low:.2f}-{high:.2f})"


def _number(values: Mapping[str, float], name: str) -> str:
    value = values.get(name)
    return "-" if value is None or np.isnan(value) else f"{value:.2f}"

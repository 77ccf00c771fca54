"""Pictures across runs: the performance profile of each method, and success along a grid."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gtr.compare.figures import literal, look_of, of_shares, saved
from gtr.compare.results import RunResult
from gtr.compare.table import THRESHOLDS, Row
from gtr.report.files import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INCHES, FONT, DPI = (3.35, 2.8), 8, 300
"""One column of a paper."""
FORMATS = ("svg", "pdf", "png")


@dataclass(frozen=True)
class Point:
    """Where a row lies on its comparison's grid."""

    method: str
    """Without the value."""
    key: str
    value: float


def draw_across(rows: Sequence[Row], results: Sequence[RunResult], out: Path) -> list[Path]:
    """Writes the performance profile, and where there is a grid of numbers success along it; returns the files."""
    figures = {"profile": lambda: profile(rows)} if any(row.profile for row in rows) else {}
    points = points_of(results)
    if len({point.value for point in points.values()}) > 1:
        figures["grid"] = lambda: along_grid(rows, points)
    written = []
    for name, make in figures.items():
        for kind in FORMATS:
            written.append(file := out / f"{name}.{kind}")
            write_whole(file, saved(make, FONT, DPI, kind))
    return written


def points_of(results: Sequence[RunResult]) -> dict[str, Point]:
    """By method, where it lies on the grid; not those that are on none, or whose value is no number."""
    found = {}
    for one in results:
        method, _, rest = one.method.partition(" ")
        # As a comparison names it, gtr noise.wrong=0.2, or a report of its runs: gtr (noise.wrong 0.2).
        value = one.settings.get(key := re.split("[= ]", rest.removeprefix("("), maxsplit=1)[0])
        if isinstance(value, int | float) and not isinstance(value, bool):
            found[one.method] = Point(method, key, float(value))
    return found


def profile(rows: Sequence[Row]) -> "Figure":
    """Of each method the share of runs with more success than a threshold (arXiv 2108.13264)."""
    made, axis = _axis("success threshold", "runs above it")
    for index, row in enumerate(row for row in rows if row.profile):
        axis.step(THRESHOLDS, row.profile, where="post", label=literal(row.agent), markevery=4, **look_of(index, FONT))
    axis.legend(frameon=False, fontsize=FONT - 1)
    return made


def along_grid(rows: Sequence[Row], points: Mapping[str, Point]) -> "Figure":
    """Success of each method over the grid's values with its interval; the others as level lines."""
    first = next(iter(points.values()))
    made, axis = _axis(first.key, "success")
    for index, method in enumerate(dict.fromkeys(point.method for point in points.values())):
        there = [(points[row.agent].value, row) for row in rows if _of(points, row) == method and row.seeds]
        there.sort(key=lambda one: one[0])
        values, found = [value for value, _ in there], [row for _, row in there]
        look, shares = look_of(index, FONT), [row.success for row in found]
        axis.plot(values, shares, label=literal(method), **look)
        ends = ([row.interval.low for row in found], [row.interval.high for row in found])
        axis.fill_between(values, *ends, color=look["color"], alpha=0.15, linewidth=0)
    for index, row in enumerate(row for row in rows if row.agent not in points and row.seeds):
        axis.axhline(row.success, color="grey", linestyle=("--", ":", "-.")[index % 3], label=literal(row.agent))
    axis.legend(frameon=False, fontsize=FONT - 1)
    return made


def _of(points: Mapping[str, Point], row: Row) -> str | None:
    return points[row.agent].method if row.agent in points else None


def _axis(across: str, up: str) -> "tuple[Figure, Any]":
    from matplotlib.figure import Figure

    made = Figure(INCHES, layout="constrained")
    axis = made.subplots()
    axis.set_xlabel(literal(across))
    axis.set_ylabel(up)
    of_shares(axis)
    return made, axis

"""The comparison as pictures: what success hides and thought health shows, over the turns played."""

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gtr.compare.results import RunResult
from gtr.report.files import write_whole
from gtr.report.text import visible

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK = "#000000"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D31", INK)
"""Okabe and Ito's colours (2008), which colour-blind people tell apart; the yellow is darkened to show on white."""
STYLES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)))
MARKERS = ("o", "s", "^", "D", "v", "P", "p", "*")
"""With the styles they tell methods apart in black and white."""
ORDER = ("gtr", "rl4vlm")
"""Methods that always take the first colours, so that pictures can be compared."""

LONGEST = 90
"""Characters of a title or label."""
NAMES = {"gtr": "gtr (guided thought)", "rl4vlm": "rl4vlm (outcome only)"}
RC = {"pdf.fonttype": 42, "svg.hashsalt": "gtr", "svg.fonttype": "none", "lines.linewidth": 1.6, "axes.linewidth": 0.8}
"""Journals want TrueType, and text that stays text; equal runs give equal files."""


@dataclass(frozen=True)
class Panel:
    """One curve per method."""

    metric: str
    """None named: success on the panel."""
    title: str
    short: str
    unit: str
    """What its share is of."""


PANELS = (
    Panel("", "success on the fixed panel", "success", "starts"),
    Panel("thought/perception", "thought says truly what the picture shows", "perception", "thoughts"),
    Panel("thought/start_plan", "first thought's plan works", "first plan works", "starts"),
    Panel("action/follows", "action is the one the thought announces", "action follows thought", "actions"),
    Panel("action/max_share", "share of the most frequent action", "most frequent action", "turns"),
    Panel("thought/self_bleu2", "self-BLEU-2 of thoughts", "self-BLEU-2", ""),
)


@dataclass(frozen=True)
class Layout:
    """A picture for one place."""

    name: str
    inches: tuple[float, float]
    grid: tuple[int, int]
    font: float
    """Points; nothing is set smaller than one less."""
    dpi: int
    formats: Sequence[str]
    legend_columns: int
    panels: Sequence[Panel] = PANELS
    titled: bool = False
    """Whether it carries its own title and long panel titles; in a paper the caption does."""


SCREEN = Layout("curves", (15, 8), (2, 3), 12, 110, ("png",), 4, titled=True)
COLUMN = Layout("figure-column", (3.35, 3.6), (2, 1), 8, 300, ("svg", "pdf", "png"), 1, PANELS[:2])
PAGE = Layout("figure-page", (6.9, 4.0), (2, 3), 8, 300, ("svg", "pdf", "png"), 2)
LAYOUTS = (SCREEN, COLUMN, PAGE)
"""For a screen; for one column and for the width of a page of a paper."""


def draw(results: Sequence[RunResult], title: str, out: Path) -> list[Path]:
    """Writes every layout in its formats; returns the files."""
    written = []
    for layout in LAYOUTS:
        for kind in layout.formats:
            written.append(file := out / f"{layout.name}.{kind}")
            write_whole(file, rendered(results, title, layout, kind))
    return written


def rendered(results: Sequence[RunResult], title: str, layout: Layout, kind: str, paper: str = "white") -> bytes:
    """One picture as png, svg or pdf on paper of a colour, or "none"; equal results give equal bytes."""
    return saved(lambda: figure(results, title, layout, paper), layout.font, layout.dpi, kind)


def saved(make: "Callable[[], Figure]", font: float, dpi: int, kind: str) -> bytes:
    """A picture as png, svg or pdf, drawn with letters of so many points."""
    import matplotlib

    data = io.BytesIO()
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}[kind]
    with matplotlib.rc_context({**RC, "font.size": font}):
        make().savefig(data, format=kind, dpi=dpi, metadata=undated)
    return data.getvalue()


def figure(results: Sequence[RunResult], title: str, layout: Layout, paper: str = "white") -> "Figure":
    """One line per method, its mean over seeds, the band from worst to best seed."""
    from matplotlib.figure import Figure

    made = Figure(layout.inches, layout="constrained", facecolor=paper)
    axes = made.subplots(*layout.grid, sharex=True, squeeze=False, subplot_kw={"facecolor": paper})
    if layout.titled:
        made.suptitle(literal(title), fontsize=layout.font + 3)
    for axis, panel in zip(axes.flat, layout.panels, strict=True):
        _draw_panel(axis, panel, results, layout)
    for axis in axes[-1]:
        axis.set_xlabel("environment turns")
    if any(one.collapse is not None for one in results):
        axes[0, 0].plot([], [], marker="X", ms=layout.font * 0.8, color="grey", ls="none", label="collapse alarm rang")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    columns = min(len(labels), layout.legend_columns)
    made.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False, handlelength=3.2)
    return made


def of_shares(axis: Any) -> None:
    """Dresses a plot of shares."""
    axis.set_ylim(-0.02, 1.02)
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)


def _draw_panel(axis: Any, panel: Panel, results: Sequence[RunResult], layout: Layout) -> None:
    axis.set_title(panel.title if layout.titled else panel.short, fontsize=layout.font + 1)
    axis.set_ylabel(f"share of {panel.unit}" if panel.unit else "BLEU", fontsize=layout.font - 1)
    axis.tick_params(labelsize=layout.font - 1)
    axis.xaxis.set_major_locator(_few_ticks())
    of_shares(axis)
    for index, method in enumerate(_ordered(results)):
        runs = [one for one in results if one.method == method]
        _draw_method(axis, runs, panel.metric, index, layout)


def literal(text: str) -> str:
    """Text that a run folder may have brought, as it stands: without formulas and what steers."""
    shown = visible(text).replace("$", r"\$")
    return shown if len(shown) <= LONGEST else shown[:LONGEST] + " ..."


def _few_ticks() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(4, integer=True)


def look_of(index: int, font: float) -> dict[str, Any]:
    """How the line of the method of this number is drawn."""
    style, marker = STYLES[index % len(STYLES)], MARKERS[index % len(MARKERS)]
    colour = COLOURS[index % len(COLOURS)]
    return {"color": colour, "linestyle": style, "marker": marker, "markersize": font * 0.45, "clip_on": False}


def _draw_method(axis: Any, runs: Sequence[RunResult], metric: str, index: int, layout: Layout) -> None:
    look = look_of(index, layout.font)
    colour = look["color"]
    label = literal(NAMES.get(runs[0].method, runs[0].method))
    turns, values = curve(runs, metric)
    if not len(turns):
        axis.plot([], [], label=label, **look)
        return
    # A few markers each, not all at the same turns: lines that lie on one another stay apart in black and white.
    step = max(1, len(turns) // 5)
    every = (index % step, step)
    axis.plot(turns, _over_seeds(np.nanmean, values), label=label, markevery=every, **look)
    low, high = _over_seeds(np.nanmin, values), _over_seeds(np.nanmax, values)
    axis.fill_between(turns, low, high, color=colour, alpha=0.15, linewidth=0)
    if metric:
        _mark_alarms(axis, runs, metric, colour, layout)


def _mark_alarms(axis: Any, runs: Sequence[RunResult], metric: str, colour: str, layout: Layout) -> None:
    """A cross where the collapse alarm first rang for a run, on the metrics that had fallen then."""
    look = {"marker": "X", "ms": layout.font * 0.8, "mec": "white", "color": colour, "linestyle": "none"}
    for run in runs:
        if run.collapse is not None and run.collapse.turns in run.turns and metric in run.collapse.seen_by:
            value = run.series[metric][list(run.turns).index(run.collapse.turns)]
            axis.plot([run.collapse.turns], [value], **look)


def curve(runs: Sequence[RunResult], metric: str) -> tuple[list[int], NDArray[np.float64]]:
    """Environment turns, and values (seed, turn) with NaN where a run has none."""
    points = [dict(zip(run.turns, run.series.get(metric, ()), strict=False)) if metric else run.panel for run in runs]
    turns = sorted({turn for one in points for turn, value in one.items() if not math.isnan(value)})
    return turns, np.array([[one.get(turn, math.nan) for turn in turns] for one in points], dtype=np.float64)


def _over_seeds(reduce: Any, values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(reduce(values, axis=0), dtype=np.float64)


def _ordered(results: Sequence[RunResult]) -> list[str]:
    methods = list(dict.fromkeys(result.method for result in results))
    return sorted(methods, key=lambda method: ORDER.index(method) if method in ORDER else len(ORDER))

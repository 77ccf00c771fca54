"""The comparison as one picture: what success hides and thought health shows, over the turns played."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gtr.compare.results import RunResult

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D31")
"""Okabe and Ito's colours (2008), which colour-blind people tell apart; the yellow is darkened to show on white."""
STYLES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)))
ORDER = ("gtr", "rl4vlm")
"""Methods that always take the first colours, so that pictures can be compared."""

NAMES = {"gtr": "gtr (guided thought)", "rl4vlm": "rl4vlm (outcome only)"}
PANELS = (
    ("", "success on the fixed panel", (0.0, 1.0)),
    ("thought/perception", "thought says truly what the picture shows", (0.0, 1.0)),
    ("thought/start_plan", "first thought's plan works", (0.0, 1.0)),
    ("action/follows", "action is the one the thought announces", (0.0, 1.0)),
    ("action/max_share", "share of the most frequent action", (0.0, 1.0)),
    ("thought/self_bleu2", "self-BLEU-2 of thoughts", (0.0, 1.0)),
)
"""Metric (none: the panel's success), title, limits."""


def draw(results: Sequence[RunResult], title: str, file: Path) -> None:
    """Writes the picture (PNG): one line per method, its mean over seeds, the band from worst to best seed."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    methods = _ordered(results)
    figure, axes = pyplot.subplots(2, 3, figsize=(15, 8), sharex=True, layout="constrained")
    figure.suptitle(title, fontsize=15)
    for axis, (metric, name, limits) in zip(axes.flat, PANELS, strict=True):
        axis.set_title(name, fontsize=13)
        axis.set_ylim(limits[0] - 0.02, limits[1] + 0.02)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
        for index, method in enumerate(methods):
            runs = [one for one in results if one.method == method]
            _draw_method(axis, runs, metric, index)
    for axis in axes[1]:
        axis.set_xlabel("environment turns")
    if any(one.collapse is not None for one in results):
        axes[0, 0].plot([], [], marker="X", ms=10, color="grey", linestyle="none", label="collapse alarm saw this")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 4), frameon=False, fontsize=12)
    figure.savefig(file, dpi=110)
    pyplot.close(figure)


def _draw_method(axis: Any, runs: Sequence[RunResult], metric: str, index: int) -> None:
    colour, style = COLOURS[index % len(COLOURS)], STYLES[index % len(STYLES)]
    label = NAMES.get(runs[0].method, runs[0].method)
    turns, values = curve(runs, metric)
    if not len(turns):
        axis.plot([], [], color=colour, linestyle=style, label=label)
        return
    marker = "o" if len(turns) < 8 else None
    axis.plot(turns, _over_seeds(np.nanmean, values), color=colour, linestyle=style, lw=2.2, marker=marker, label=label)
    low, high = _over_seeds(np.nanmin, values), _over_seeds(np.nanmax, values)
    axis.fill_between(turns, low, high, color=colour, alpha=0.15, linewidth=0)
    if metric:
        _mark_alarms(axis, runs, metric, colour)


def _mark_alarms(axis: Any, runs: Sequence[RunResult], metric: str, colour: str) -> None:
    """A cross where the collapse alarm first rang for a run, on the metrics that had fallen then."""
    for run in runs:
        if run.collapse is not None and run.collapse.turns in run.turns and metric in run.collapse.seen_by:
            value = run.series[metric][list(run.turns).index(run.collapse.turns)]
            axis.plot([run.collapse.turns], [value], marker="X", ms=10, mec="white", color=colour, linestyle="none")


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

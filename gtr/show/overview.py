"""Everything the page's first view needs, as JSON values: the story, the curves and what they mean."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gtr.metrics.alarm import WATCHED
from gtr.metrics.table import METRICS, describe
from gtr.report import Run
from gtr.report.history import History, read_history
from gtr.report.methods import comparable, distinct, methods_of
from gtr.show.facts import facts, reached
from gtr.show.pair import questions, thought_pair
from gtr.show.story import story

SAMPLED = ("episode/", "reply/", "thought/", "distinct/", "action/", "reflection/", "relevance/")
"""Metrics of the turns that were trained on, unlike those of the panel."""
DIGITS = 5
"""Significant digits of a curve's values that the page gets."""


def overview(runs: Sequence[Run], study: bool = False, doing: Sequence[str] = ()) -> dict[str, Any]:
    """The story, the runs with their curves, and the meaning of every metric; `study`: whether there is a table.
    Before there is a run, `doing` tells what is done."""
    histories = [read_history(run) for run in runs]
    groups = comparable(runs)
    methods = _methods(runs, groups.values())
    played = {"panel/success"} if any(one.panel for one in histories) else set()
    names = sorted(played | {name for one in histories for name in one.series}, key=_place)
    return {
        "title": title(runs),
        "groups": [_group(name, members, histories, methods) for name, members in groups.items()],
        "runs": [_run(index, one, methods[index]) for index, one in enumerate(histories)],
        "metrics": {name: _metric(name) for name in names},
        "watched": [watch.metric for watch in WATCHED],
        "questions": questions(runs[0]) if runs else {},
        "doing": doing,
        "study": study,
    }


def _methods(runs: Sequence[Run], groups: Iterable[Sequence[int]]) -> dict[int, str]:
    """Each run's method, as told from the others of its group."""
    found: dict[int, str] = {}
    for members in groups:
        own = [runs[i] for i in members]
        found |= zip(members, distinct(own, methods_of(own)), strict=True)
    return found


def _group(
    name: str, members: Sequence[int], histories: Sequence[History], methods: Mapping[int, str]
) -> dict[str, Any]:
    """Runs that can be laid beside one another: what became of them, and a thought of theirs."""
    own, names = [histories[i] for i in members], [methods[i] for i in members]
    return {"name": name, "runs": members, "story": story(own, names), "pair": thought_pair(own, names, members)}


def title(runs: Sequence[Run]) -> str:
    """``points24: rl4vlm, gtr``."""
    if not runs:
        return "no run yet"
    games = dict.fromkeys(run.text("task.name") for run in runs)
    return f"{', '.join(games)}: {', '.join(dict.fromkeys(run.method for run in runs))}"


def version(runs: Sequence[Run]) -> str:
    """Changes whenever any of the runs has written something."""
    return " ".join(run.version() for run in runs)


def _run(index: int, history: History, method: str) -> dict[str, Any]:
    run, done = history.run, max([0, *history.updates])
    return {
        "id": index,
        "name": _name(run.path),
        "method": method,
        "seed": run.whole("seed"),
        "guided": run.guided,
        "task": run.text("task.name"),
        "turns_per_update": history.turns[done] // done if done in history.turns and done else run.turns_per_update,
        "clip": run.number("algo.clip", run.number("ppo.clip")),
        "done": done,
        "total": run.whole("train.updates"),
        "goes_on": run.goes_on(done),
        "only_played": run.only_played,
        "problems": run.problems,
        "facts": facts(history),
        "notes": [run.task_trouble] if run.task_trouble else [],
        "alarm": None if history.collapse is None else vars(history.collapse),
        "updates": list(history.updates),
        "reached": reached(history),
        "series": {name: list(map(rounded, values)) for name, values in history.series.items()},
        "panel": [
            {
                "update": one["update"],
                "name": one["panel"],
                **{key: one[key] for key in ("success", "successes", "episodes", "interval")},
                "health": {name: rounded(value) for name, value in one["health"].items()},
            }
            for one in history.panel
        ],
        "with_turns": run.updates_with_turns(),
        "probed": run.probed_updates(),
    }


def rounded(value: float) -> float | None:
    """A value as the page gets it; None where it was not measured."""
    return None if math.isnan(value) else float(f"{value:.{DIGITS}g}")


def _name(path: Path) -> str:
    return path.resolve().name


def _place(name: str) -> tuple[int, str]:
    """Where a metric stands in the table, those that are not in it last."""
    row = describe(_own(name))
    return (len(METRICS) if row is None else METRICS.index(row), name)


def _own(name: str) -> str:
    """The metric that is measured: ``panel/thought/plan`` is thought/plan on the panel."""
    return name.removeprefix("panel/") if name != "panel/success" else name


def _metric(name: str) -> dict[str, str] | None:
    """Formula, meaning, health and source of a metric, from the one table that defines it."""
    own = _own(name)
    row = describe(own)
    sampled = "sampled turns of training" if name.startswith(SAMPLED) else ""
    on = "greedy play of the fixed panel" if name.startswith("panel/") else sampled
    return None if row is None else {**vars(row), "on": on}

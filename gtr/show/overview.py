"""Everything the page's first view needs, as JSON values: the story, the curves and what they mean."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gtr.metrics.alarm import WATCHED
from gtr.metrics.table import METRICS, describe
from gtr.show.history import History, read_history, rounded
from gtr.show.pair import questions, thought_pair
from gtr.show.run import Run
from gtr.show.story import story


def overview(runs: Sequence[Run]) -> dict[str, Any]:
    """The story, the runs with their curves, and the meaning of every metric that occurs."""
    histories = [read_history(run) for run in runs]
    played = {"panel/success"} if any(one.panel for one in histories) else set()
    names = sorted(played | {name for one in histories for name in one.series}, key=_place)
    return {
        "title": title(runs),
        "story": story(histories),
        "pair": thought_pair(histories),
        "runs": [_run(index, one) for index, one in enumerate(histories)],
        "metrics": {name: _metric(name) for name in names},
        "watched": [watch.metric for watch in WATCHED],
        "questions": questions(runs[0]),
    }


def title(runs: Sequence[Run]) -> str:
    """``points24: rl4vlm, gtr``."""
    games = dict.fromkeys(str(run.setting("task.name", "?")) for run in runs)
    return f"{', '.join(games)}: {', '.join(dict.fromkeys(run.method for run in runs))}"


def version(runs: Sequence[Run]) -> str:
    """Changes whenever any of the runs has written something."""
    return " ".join(run.version() for run in runs)


def _run(index: int, history: History) -> dict[str, Any]:
    run, done = history.run, max([0, *history.updates])
    return {
        "id": index,
        "name": _name(run.path),
        "method": run.method,
        "seed": run.setting("seed"),
        "guided": run.guided,
        "task": run.setting("task.name", "?"),
        "turns_per_update": run.turns_per_update,
        "clip": run.setting("algo.clip"),
        "done": done,
        "total": run.setting("train.updates", 0),
        "goes_on": run.goes_on(done),
        "problems": [run.problems[about] for about in sorted(run.problems)],
        "notes": [run.task_trouble] if run.task_trouble else [],
        "alarm": None if history.alarm is None else vars(history.alarm),
        "updates": list(history.updates),
        "series": {name: list(map(rounded, values)) for name, values in history.series.items()},
        "panel": [
            {
                "update": one["update"],
                "name": one.get("panel", ""),
                "success": one.get("success"),
                "successes": one.get("successes"),
                "episodes": one.get("episodes"),
                "interval": one.get("interval"),
                "health": {name: rounded(value) for name, value in one["health"].items()},
            }
            for one in history.panel
        ],
        "with_turns": run.updates_with_turns(),
        "probed": run.probed_updates(),
    }


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
    return None if row is None else {**vars(row), "on": "the fixed panel" if own != name else ""}

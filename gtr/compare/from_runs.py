"""A comparison of runs that were trained before: which methods they are, and how far each run came."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from gtr.compare.results import RunResult, read_run
from gtr.compare.runner import State
from gtr.errors import RunError
from gtr.report.found import find_runs
from gtr.report.methods import distinct, methods_of
from gtr.report.owner import is_being_written
from gtr.report.run import Run


def read_existing(folders: Sequence[Path]) -> list[RunResult]:
    """The results of run folders, or of all runs in a folder, by game, method, starting agent and seed.

    Raises:
        RunError: no run there, or one without settings.
    """
    runs = find_runs(folders)
    for run in runs:
        if not run.config:
            raise RunError(f"{run.path} is not a run folder that can be compared: {'; '.join(run.problems)}")
    games = dict.fromkeys(run.text("task.name") for run in runs)
    return [one for game in games for one in _results([run for run in runs if run.text("task.name") == game])]


def _results(runs: Sequence[Run]) -> list[RunResult]:
    methods = distinct(runs, methods_of(runs))
    results = [read_run(run, methods[i], run.whole("seed"), state_of(run)) for i, run in enumerate(runs)]
    return sorted(results, key=lambda one: (methods.index(one.method), one.agent, one.seed))


def state_of(run: Run) -> State:
    """Whether a run reached its last update, which an alarm may have made earlier."""
    if is_being_written(run.path):
        return State.RUNNING
    lines = run.metrics()
    last: Mapping[str, float] = lines[-1] if lines else {"update": 0}
    by_alarm = run.setting("report.stop_on_alarm") is True and last.get("alarm/ringing") == 1
    return State.FINISHED if by_alarm or last["update"] >= run.whole("train.updates") else State.WAITING

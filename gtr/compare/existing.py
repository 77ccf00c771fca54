"""A comparison of runs that were trained before: which methods they are, and how far each run came."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gtr.compare.results import RunResult, read_run
from gtr.compare.runner import State
from gtr.config import Config
from gtr.config.io import changed_keys, settings_of
from gtr.errors import RunError
from gtr.report import RunFolder
from gtr.report.folder import is_being_written

NOT_THE_METHOD = ("seed", "runs", "name", "report.", "train.threads", "train.eval_every")
"""Settings in which two runs of one method may differ."""


def read_existing(folders: Sequence[Path]) -> list[RunResult]:
    """The results of run folders, or of all runs in a comparison's folder, by method and seed.

    Raises:
        RunError: no run there, a damaged one, runs of several tasks, or two runs of one method and seed.
    """
    runs = [RunFolder.open(folder, main=False) for folder in _run_folders(folders)]
    tasks = sorted({run.config.task.name for run in runs})
    if len(tasks) > 1:
        raise RunError(f"the runs are of several tasks ({', '.join(tasks)}): compare those of one task")
    methods = _methods([run.config for run in runs])
    results = [read_run(run, methods[i], run.config.seed, state_of(run)) for i, run in enumerate(runs)]
    seen: dict[tuple[str, int], str] = {}
    for one in results:
        other = seen.setdefault((one.method, one.seed), one.folder)
        if other != one.folder:
            raise RunError(f"{other} and {one.folder} are both {one.method}, seed {one.seed}: leave one of them out")
    return sorted(results, key=lambda one: (list(methods).index(one.method), one.seed))


def _run_folders(named: Sequence[Path]) -> list[Path]:
    """Each run once, in the order given; a comparison's folder stands for all its runs."""
    found: list[Path] = []
    for folder in named:
        inside = sorted(file.parent for file in folder.glob("runs/*/config.json") if _is_run(file.parent))
        found += [folder] if (folder / "config.json").exists() or not inside else inside
    return list({folder.resolve(): folder for folder in found}.values())


def _is_run(folder: Path) -> bool:
    return (folder / "checkpoints").is_dir()


def state_of(run: RunFolder) -> State:
    """Whether a run reached its last update, which an alarm may have made earlier."""
    if is_being_written(run.path):
        return State.RUNNING
    lines = run.read_metrics()
    last = lines[-1] if lines else {"update": 0}
    by_alarm = run.config.report.stop_on_alarm and last.get("alarm/ringing") == 1
    return State.FINISHED if by_alarm or last["update"] >= run.config.train.updates else State.WAITING


@dataclass
class _Group:
    """Runs that differ in nothing but their seed."""

    config: Config
    members: list[int] = field(default_factory=list)


def _methods(configs: Sequence[Config]) -> list[str]:
    """Each run's method: its preset, and where one preset was run with several settings, those that differ."""
    groups: list[_Group] = []
    for index, config in enumerate(configs):
        group = next((one for one in groups if config.preset == one.config.preset and not _differ(config, one)), None)
        if group is None:
            groups.append(group := _Group(config))
        group.members.append(index)
    names: dict[int, str] = {}
    for group in groups:
        namesakes = [one.config for one in groups if one.config.preset == group.config.preset]
        names |= dict.fromkeys(group.members, _name(group.config, namesakes))
    return [names[index] for index in range(len(configs))]


def _differ(config: Config, group: _Group) -> list[str]:
    return [key for key in changed_keys(config, group.config) if not key.startswith(NOT_THE_METHOD)]


def _name(config: Config, namesakes: Sequence[Config]) -> str:
    values: Mapping[str, object] = settings_of(config)
    keys = {key for other in namesakes for key in _differ(config, _Group(other))}
    shown = ", ".join(f"{key} {values[key]}" for key in values if key in keys)
    return f"{config.preset} ({shown})" if shown else config.preset

"""One run folder as the viewer sees it: read afresh when its files change, never written to."""

import os
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gtr import tasks
from gtr.config.io import config_from_dict
from gtr.errors import GtrError, RunError, nearest
from gtr.report.folder import EVALUATION_FILE, PROBE_FILE, TURNS_FILE
from gtr.show.read import Lines, read_metrics, read_record, read_turns
from gtr.tasks.task import Task

KEPT = 24
"""Transcripts held in memory; one of 400 turns takes about two megabytes."""
GOING_SECONDS = 900.0
"""A run that has not reached its last update counts as going on for so long after it last wrote something."""


class Run:
    """A run folder. Everything it cannot read it notes in `problems` and goes on without."""

    def __init__(self, path: Path, own_task: str | None = None) -> None:
        self.path = path
        self.config, trouble = read_record(path / "config.json")
        self.problems: dict[str, str] = {"config.json": trouble} if trouble else {}
        """What is missing or damaged, by the file it is about."""
        self.task, self.task_trouble = self._load_task(own_task)
        self._transcripts: OrderedDict[Path, tuple[float, Lines]] = OrderedDict()

    # -- what it is -----------------------------------------------------------------------------------------------
    def setting(self, key: str, otherwise: Any = None) -> Any:
        """A setting by its dotted key, as it stands in ``config.json``."""
        value: Any = self.config
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return otherwise if value is None else value

    @property
    def method(self) -> str:
        return str(self.setting("preset", self.path.name))

    @property
    def guided(self) -> bool:
        """Whether a corrector judges its thoughts and they are cloned."""
        return bool(self.setting("guidance.corrector", "none") != "none" and self.setting("guidance.weight", 0))

    @property
    def turns_per_update(self) -> int:
        return int(self.setting("train.envs", 1)) * int(self.setting("train.turns", 1))

    def _load_task(self, own: str | None) -> tuple[Task | None, str]:
        """The task that can judge thoughts again. A folder may come from anybody, so it cannot name code to run."""
        name = str(self.setting("task.name", ""))
        if not name or not (name in tasks.TASKS or name == own):
            return None, f"to judge its thoughts again, name its task: gtr show ... --task {name}" if name else ""
        try:
            return tasks.load(config_from_dict(self.config, [name]).task), ""
        except GtrError as error:
            return None, f"its task cannot be loaded ({error})"

    # -- what it holds --------------------------------------------------------------------------------------------
    def metrics(self) -> list[dict[str, Any]]:
        """One record per update, in order; a repeated update counts as last written."""
        found = read_metrics(self.path / "metrics.jsonl")
        self.note("metrics.jsonl", found.problem)
        lines = {line["update"]: line for line in found.records if isinstance(line.get("update"), int)}
        return [lines[update] for update in sorted(lines)]

    def updates_with_turns(self) -> list[int]:
        return _numbers(self.path / "turns", TURNS_FILE)

    def evaluated_updates(self) -> list[int]:
        return _numbers(self.path / "evaluations", EVALUATION_FILE)

    def probed_updates(self) -> list[int]:
        return _numbers(self.path / "probes", PROBE_FILE)

    def turns(self, update: int) -> list[dict[str, Any]]:
        """The turns of an update that can be read."""
        return self._transcript(_turns_file(update))

    def written(self, update: int) -> float:
        """When the turns of an update were last written."""
        return _changed(self.path / _turns_file(update))

    def evaluation(self, update: int) -> dict[str, Any]:
        return self._record(Path("evaluations") / f"update_{update:05d}.json")

    def panel(self, update: int) -> list[dict[str, Any]]:
        """The turns played in an evaluation; none where they were not kept."""
        file = Path("evaluations") / f"update_{update:05d}.jsonl.gz"
        return self._transcript(file) if (self.path / file).exists() else []

    def probe(self, update: int) -> dict[str, Any]:
        return self._record(Path("probes") / f"update_{update:05d}.json")

    def images(self) -> set[str]:
        """Names of the pictures in the folder."""
        return set(_listed(self.path / "images"))

    def _record(self, file: Path) -> dict[str, Any]:
        if not (self.path / file).exists():
            return {}
        record, trouble = read_record(self.path / file)
        self.note(str(file), trouble)
        return record

    def _transcript(self, file: Path) -> list[dict[str, Any]]:
        path = self.path / file
        stamp = _changed(path)
        held = self._transcripts.get(path)
        if held is None or held[0] != stamp:
            held = (stamp, read_turns(path))
            self._transcripts[path] = held
            self.note(str(file), held[1].problem)
        self._transcripts.move_to_end(path)
        while len(self._transcripts) > KEPT:
            self._transcripts.popitem(last=False)
        return held[1].records

    def note(self, about: str, problem: str) -> None:
        """Remembers what is wrong with a file, or that nothing is any more."""
        if problem:
            self.problems[about] = problem
        else:
            self.problems.pop(about, None)

    # -- whether it goes on ---------------------------------------------------------------------------------------
    def version(self) -> str:
        """Changes whenever something was written that a page shows."""
        watched = ("metrics.jsonl", "turns", "evaluations", "probes")
        return "-".join(f"{_changed(self.path / name):.3f}" for name in watched)

    def goes_on(self, done: int) -> bool:
        """Whether more is to be expected of a run that has done so many updates."""
        fresh = time.time() - max(_changed(self.path / name) for name in ("metrics.jsonl", "checkpoints", "turns"))
        return done < int(self.setting("train.updates", 0)) and fresh < GOING_SECONDS


def find_runs(paths: Sequence[Path], own_task: str | None = None) -> list[Run]:
    """The runs that the user named: run folders, a comparison's folder, or any folder whose folders are runs.

    Raises `RunError` for a path under which there is no run.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        inside = next((runs for runs in map(_runs_in, (path, path / "runs")) if runs), [])
        if not inside:
            known = sorted({run.name for run in _runs_in(path.parent)} | {run.name for run in _runs_in(Path("runs"))})
            hint = (
                nearest(path.name, known) if known else "train one first, for example: gtr train gtr"
            )
            raise RunError(f"{path} is no run folder and holds none: {hint}")
        found |= {run.resolve(): run for run in inside}
    return [Run(path, own_task) for path in found.values()]


def _runs_in(path: Path) -> list[Path]:
    """The folder itself if it is a run, else those of its folders that are."""
    if _is_run(path):
        return [path]
    return [path / name for name in sorted(_listed(path)) if _is_run(path / name)]


def _is_run(path: Path) -> bool:
    """A damaged run counts too; a model's folder has a config.json but nothing else of these."""
    kept = ("metrics.jsonl", "turns", "checkpoints", "evaluations")
    return path.is_dir() and any((path / name).exists() for name in kept)


def _turns_file(update: int) -> Path:
    return Path("turns") / f"update_{update:05d}.jsonl.gz"


def _numbers(folder: Path, name: Any) -> list[int]:
    return sorted(int(match[1]) for match in map(name.fullmatch, _listed(folder)) if match)


def _listed(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _changed(path: Path) -> float:
    """When a file or folder last changed; 0 where there is none."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0

"""A run is a folder that explains itself, written so that a crash loses at most the rollout in progress.

runs/gtr-points24-1/
  config.json          every setting; `config_from_dict` gives the same Config back
  fingerprint.json     versions, code, machine and start states, one entry per start of the run
  metrics.jsonl        one line per update
  turns/update_00012.jsonl.gz   every turn of that update
  probes/update_00012.json      how likely some of its thoughts are under one another's prompts
  evaluations/update_00030.json, .jsonl.gz   success on the fixed panel after that update, and its turns
  images/<hash>.png    the pictures the turns name
  tensorboard/         the same curves and one example per update
  trackers/, wandb/    what other trackers were told, and W&B's own files (see `gtr.report.trackers`)
  checkpoints/         see `gtr.checkpoint`
"""

import logging
import os
import re
import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from gtr.config import Config
from gtr.config.io import code_flags, config_from_dict, config_to_dict
from gtr.errors import ConfigError, GtrError, RunError, nearest
from gtr.report.files import append_line, drop_torn_line, encode, read_lines, remove_parts, write_whole
from gtr.report.fingerprint import differences, fingerprint
from gtr.report.inside import Unreadable, names_inside, parsed, read_inside
from gtr.report.layout import (
    CHECKPOINT,
    UPDATE_FOLDERS,
    evaluation_file,
    numbers_of,
    played_file,
    probe_file,
    turns_file,
    update_in,
)
from gtr.report.owner import beside, claim, lock
from gtr.report.records import update_of
from gtr.report.run import Run
from gtr.report.trackers import Tracker, open_trackers
from gtr.report.transcript import ImageStore, Trace, write_transcript
from gtr.tasks import load
from gtr.tasks.task import Task
from gtr.types import Turn

log = logging.getLogger("gtr")


class RunFolder:
    """One run on disk. Make it with `create` or `open`; use it in a ``with`` block, so that whatever ends the run
    says where it stands and how to go on.

    Only the main process of a run may write: the others `open` the same path with ``main=False``, which takes no lock
    and turns every write into nothing; so does anything that only reads.
    """

    def __init__(self, path: Path, config: Config, main: bool) -> None:
        self.path = path
        self.config = config
        self.main = main
        self.checkpoints = path / "checkpoints"
        self._metrics = path / "metrics.jsonl"
        self._images = ImageStore(path / "images")
        self._trackers: list[Tracker] | None = None
        self._lock = lock(path) if main else None
        self._new = False

    # -- coming and going -----------------------------------------------------------------------------------------
    @classmethod
    def create(cls, config: Config) -> Self:
        """A new folder ``<runs>/<name>``, numbered on when taken: a run never overwrites another.

        The folder appears with its settings inside, or not at all. Raises `RunError` where nothing can be written.
        """
        runs = Path(config.runs)
        try:
            with beside(runs / "new") as made:
                (made / "checkpoints").mkdir()
                write_whole(made / "config.json", encode(config_to_dict(config), indent=2))
                run = cls(claim(made, runs / run_name(config)), config, main=True)
            run._new = True
            return run
        except (PermissionError, FileExistsError, NotADirectoryError) as error:
            raise RunError(f"cannot write to {runs} ({error.strerror}): choose another folder with --runs") from error

    @classmethod
    def open(cls, path: Path | str, main: bool = True) -> Self:
        """A folder that exists, to go on with it (main) or beside the process that does. Drops what a crash tore.

        Raises `RunError` when there is no run at `path`, when it is damaged, or when another process writes it.
        """
        path = Path(path)
        config = read_config(path)
        if main:
            _refuse_links(path)
        folder = cls(path, config, main)
        if main:
            remove_parts(path)
            drop_torn_line(folder._metrics)
        return folder

    def close(self) -> None:
        """Ends writing and lets others write."""
        for tracker in self._trackers or ():
            tracker.close()
        self._trackers = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        mistaken = self._new and isinstance(error, GtrError) and not any(self.checkpoints.iterdir())
        if error is not None and self.main and not mistaken:
            error.add_note(self.standing())
        self.close()
        if mistaken:
            # There is nothing to go on with, and the same command should find its name free when it is put right.
            shutil.rmtree(self.path)

    def standing(self) -> str:
        """One sentence: how far the run is, and the command that goes on with it."""
        try:
            lines = self._lines()
        except (RunError, OSError) as error:
            return str(error)
        done, total = (lines[-1]["update"] if lines else 0), self.config.train.updates
        saved = numbers_of(names_inside(self.path, "checkpoints"), CHECKPOINT)
        done = min(done, max(saved, default=done))
        again = f"gtr train --resume {self.path}{code_flags(self.config)}"
        return f"{self.path} stands after update {done} of {total}; go on with: {again}"

    def _lines(self) -> list[dict[str, Any]]:
        """What was measured so far. Raises `RunError` for a line that no update can be told of."""
        lines = read_lines(self._metrics)
        for number, line in enumerate(lines, start=1):
            if update_of(line) is None:
                raise RunError(f"{self._metrics}, line {number} has no update: remove that line, or the run")
        return lines

    # -- writing --------------------------------------------------------------------------------------------------
    def connect(self) -> list[Tracker]:
        """Opens the trackers that the settings name, if they are not open: called before any work, it finds at once
        what is missing (see `gtr.report.trackers.open_trackers`)."""
        if self._trackers is None:
            self._trackers = open_trackers(self.path, self.config) if self.main else []
        return self._trackers

    def write_config(self, config: Config) -> None:
        """Replaces the settings, when a run is resumed with more updates."""
        self.config = config
        if self.main:
            write_whole(self.path / "config.json", encode(config_to_dict(config), indent=2))

    def write_fingerprint(
        self, task: Task | None = None, device: str | None = None, competence: Mapping[str, Any] | None = None
    ) -> list[str]:
        """Adds an entry for this start of the run; returns what differs from the first start (see `differences`)."""
        entry = fingerprint(self.config, task, device, competence)
        if not self.main:
            return []
        before = Run(self.path)
        entries = [*before.starts(), entry]
        for problem in before.problems:
            log.warning("%s", problem)
        write_whole(self.path / "fingerprint.json", encode(entries, indent=2))
        return differences(entries[0], entry)

    def write_metrics(self, update: int, values: Mapping[str, float]) -> None:
        """Adds an update's metrics: on disk when this returns."""
        if self.main:
            append_line(self._metrics, {"update": update, **values})
            for tracker in self.connect():
                tracker.scalars(update, values)

    def write_turns(
        self,
        update: int,
        turns: Sequence[Turn],
        advantages: Sequence[float | None] | None = None,
        traces: Sequence[Trace] | None = None,
    ) -> None:
        """Writes an update's turns; `advantages` and `traces` have one entry per turn, in order."""
        if self.main and turns:
            write_transcript(self.path / turns_file(update), turns, advantages, self._images, traces)
            for tracker in self.connect():
                tracker.examples(update, turns)

    def write_probe(self, update: int, record: Mapping[str, Any]) -> None:
        """Writes an update's matrix of thoughts against prompts (see `gtr.relevance.RelevanceMeter.last`)."""
        if self.main:
            write_whole(self.path / probe_file(update), encode(record))

    def write_evaluation(
        self, update: int, record: Mapping[str, Any], turns: Sequence[Turn] = (), traces: Sequence[Trace] | None = None
    ) -> None:
        """Writes how the agent did on the panel after `update` (0: before the first), and what it played there."""
        if self.main:
            if turns:
                played = self.path / played_file(update)
                write_transcript(played, turns, None, self._images, traces)
            write_whole(self.path / evaluation_file(update), encode(record, indent=1))

    def truncate_to(self, update: int) -> None:
        """Forgets everything after `update`, so that a run resumed from its checkpoint writes it anew."""
        if not self.main:
            return
        kept = [line for line in self._lines() if line["update"] <= update]
        if (lost := update - len({line["update"] for line in kept} - {0})) > 0:
            log.warning("%s has no line for %d of %d updates, which stay missing", self._metrics, lost, update)
        write_whole(self._metrics, b"".join(encode(line) for line in kept))
        for folder in UPDATE_FOLDERS:
            for name in names_inside(self.path, folder):
                if (written := update_in(name)) is not None and written > update:
                    (self.path / folder / name).unlink()
        for tracker in self.connect():
            tracker.rewind(update)


def run_name(config: Config) -> str:
    """The folder's name before numbering: what the user chose, or preset-task-seed.

    Raises `TaskError` for a task of the user's own that cannot be imported.
    """
    task = re.sub(r"[^A-Za-z0-9_.-]+", "_", load(config.task).name).strip("_.") or "task"
    return config.name or f"{config.preset}-{task.lower()}-{config.seed}"


def read_config(path: Path, code: Collection[str] = ()) -> Config:
    """The settings of the run at `path`; `code` holds what the user named, as in `config_from_dict`."""
    if not os.path.isfile(path / "config.json"):
        raise RunError(f"{path} is not a run folder (no config.json): {_known_runs(path)}")
    try:
        return config_from_dict(parsed(read_inside(path, "config.json")), code)
    except (Unreadable, ConfigError) as error:
        raise RunError(f"{path}/config.json is damaged, or made by another version of gtr: {error}") from error


def _refuse_links(path: Path) -> None:
    """A folder may come from anybody: what is written to it must not end elsewhere."""
    for name in sorted(os.listdir(path)):
        if (path / name).is_symlink():
            raise RunError(f"{path / name} is a link, and nothing is written through links: put what it names there")


def _known_runs(path: Path) -> str:
    beside = path.parent if os.path.isdir(path.parent) else Path()
    runs = [one.parent.name for one in beside.glob("*/config.json")]
    return nearest(path.name, runs) if runs else f"there are no runs in {beside}"

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

import fcntl
import json
import os
import re
import shutil
import socket
from collections.abc import Collection, Mapping, Sequence
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from gtr.config import Config
from gtr.config.io import config_from_dict, config_to_dict
from gtr.errors import ConfigError, GtrError, RunError, nearest
from gtr.report.files import append_line, drop_torn_line, encode, number, read_lines, write_whole
from gtr.report.fingerprint import differences, fingerprint
from gtr.report.trackers import Tracker, open_trackers
from gtr.report.transcript import ImageStore, Trace, read_transcript, write_transcript
from gtr.tasks.task import Task
from gtr.types import Turn

TURNS_FILE = re.compile(r"update_(\d+)\.jsonl\.gz")
CHECKPOINT = re.compile(r"update_(\d+)")
EVALUATION_FILE = re.compile(r"update_(\d+)\.json")
PROBE_FILE = EVALUATION_FILE


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
        self._turns = path / "turns"
        self._evaluations = path / "evaluations"
        self._probes = path / "probes"
        self._images = ImageStore(path / "images")
        self._trackers: list[Tracker] | None = None
        self._lock = _lock(path) if main else None
        self._new = False

    # -- coming and going -----------------------------------------------------------------------------------------
    @classmethod
    def create(cls, config: Config) -> Self:
        """A new folder ``<runs>/<name>``, numbered on when taken: a run never overwrites another.

        The folder appears with its settings inside, or not at all. Raises `RunError` where nothing can be written.
        """
        runs = Path(config.runs)
        beside = runs / f".new-{os.getpid()}"
        try:
            runs.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(beside, ignore_errors=True)
            (beside / "checkpoints").mkdir(parents=True)
            write_whole(beside / "config.json", encode(config_to_dict(config), indent=2))
            made = cls(_claim(beside, runs / run_name(config)), config, main=True)
            made._new = True
            return made
        except (PermissionError, FileExistsError, NotADirectoryError) as error:
            raise RunError(f"cannot write to {runs} ({error.strerror}): choose another folder with --runs") from error
        finally:
            shutil.rmtree(beside, ignore_errors=True)

    @classmethod
    def open(cls, path: Path | str, main: bool = True) -> Self:
        """A folder that exists, to go on with it (main) or to read it. Drops a line torn by a crash.

        Raises `RunError` when there is no run at `path`, when it is damaged, or when another process writes it.
        """
        path = Path(path)
        folder = cls(path, read_config(path), main)
        if main:
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
            lines = read_lines(self._metrics)
        except (RunError, OSError) as error:
            return str(error)
        done, total = (lines[-1]["update"] if lines else 0), self.config.train.updates
        saved = [int(match[1]) for path in self.checkpoints.iterdir() if (match := CHECKPOINT.fullmatch(path.name))]
        done = min(done, max(saved, default=done))
        return f"{self.path} stands after update {done} of {total}; go on with: gtr train --resume {self.path}"

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
        file = self.path / "fingerprint.json"
        entries = [*json.loads(file.read_bytes()), entry] if file.exists() else [entry]
        write_whole(file, encode(entries, indent=2))
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
            write_transcript(self._turns_file(update), turns, advantages, self._images, traces)
            for tracker in self.connect():
                tracker.examples(update, turns)

    def write_probe(self, update: int, record: Mapping[str, Any]) -> None:
        """Writes an update's matrix of thoughts against prompts (see `gtr.relevance.RelevanceMeter.last`)."""
        if self.main:
            write_whole(self._probe_file(update), encode(record))

    def write_evaluation(
        self, update: int, record: Mapping[str, Any], turns: Sequence[Turn] = (), traces: Sequence[Trace] | None = None
    ) -> None:
        """Writes how the agent did on the panel after `update` (0: before the first), and what it played there."""
        if self.main:
            if turns:
                write_transcript(self._evaluation_file(update, ".jsonl.gz"), turns, None, self._images, traces)
            write_whole(self._evaluation_file(update, ".json"), encode(record, indent=1))

    def truncate_to(self, update: int) -> None:
        """Forgets everything after `update`, so that a run resumed from its checkpoint writes it anew."""
        if not self.main:
            return
        kept = [line for line in read_lines(self._metrics) if line["update"] <= update]
        write_whole(self._metrics, b"".join(encode(line) for line in kept))
        for later in self.updates_with_turns():
            if later > update:
                self._turns_file(later).unlink()
        for later in _numbers(self._probes, PROBE_FILE):
            if later > update:
                self._probe_file(later).unlink()
        for later in self.evaluated_updates():
            if later > update:
                self._evaluation_file(later, ".json").unlink()
                self._evaluation_file(later, ".jsonl.gz").unlink(missing_ok=True)
        for tracker in self.connect():
            tracker.rewind(update)

    # -- reading --------------------------------------------------------------------------------------------------
    def read_fingerprints(self) -> list[dict[str, Any]]:
        """One entry per start of the run, the first start first (see `gtr.report.fingerprint`)."""
        file = self.path / "fingerprint.json"
        entries: list[dict[str, Any]] = json.loads(file.read_bytes()) if file.exists() else []
        return entries

    def read_metrics(self) -> list[dict[str, Any]]:
        """One dictionary per update with the key ``update``; a metric that was not measured is NaN."""
        return [{key: number(value) for key, value in line.items()} for line in read_lines(self._metrics)]

    def updates_with_turns(self) -> list[int]:
        """The updates whose turns are stored, in order."""
        return _numbers(self._turns, TURNS_FILE)

    def read_turns(self, update: int) -> list[dict[str, Any]]:
        """The records of an update's turns (see `gtr.report.transcript.turn_record`); raises `RunError` if unknown."""
        file = self._turns_file(update)
        if not file.exists():
            raise RunError(f"{self.path} holds no turns of update {update}; it has {self.updates_with_turns()}")
        return read_transcript(file)

    def evaluated_updates(self) -> list[int]:
        """The updates after which the agent was evaluated, in order; 0 is the start."""
        return _numbers(self._evaluations, EVALUATION_FILE)

    def read_evaluation(self, update: int) -> dict[str, Any]:
        """What `write_evaluation` was given as `record`."""
        record: dict[str, Any] = json.loads(self._evaluation_file(update, ".json").read_bytes())
        return record

    def read_evaluation_turns(self, update: int) -> list[dict[str, Any]]:
        """The records of the turns played in that evaluation; none where they were not kept."""
        file = self._evaluation_file(update, ".jsonl.gz")
        return read_transcript(file) if file.exists() else []

    def image(self, name: str) -> Path:
        """The file of a picture that a turn names."""
        return self._images.path / name

    def _turns_file(self, update: int) -> Path:
        return self._turns / f"update_{update:05d}.jsonl.gz"

    def _probe_file(self, update: int) -> Path:
        return self._probes / f"update_{update:05d}.json"

    def _evaluation_file(self, update: int, ending: str) -> Path:
        return self._evaluations / f"update_{update:05d}{ending}"


def run_name(config: Config) -> str:
    """The folder's name before numbering: what the user chose, or preset-task-seed."""
    task = re.sub(r"[^A-Za-z0-9_.-]+", "_", config.task.name.rpartition(":")[2]).strip("_.") or "task"
    return config.name or f"{config.preset}-{task.lower()}-{config.seed}"


def read_config(path: Path, code: Collection[str] = ()) -> Config:
    """The settings of the run at `path`; `code` holds what the user named, as in `config_from_dict`."""
    file = path / "config.json"
    if not file.is_file():
        raise RunError(f"{path} is not a run folder (no config.json): {_known_runs(path)}")
    try:
        return config_from_dict(json.loads(file.read_bytes()), code)
    except (ValueError, ConfigError) as error:
        raise RunError(f"{file} is damaged, or made by another version of gtr: {error}") from error


def is_being_written(path: Path) -> bool:
    """Whether a process holds the run at `path`."""
    try:
        os.close(_lock(path))
    except RunError:
        return True
    return False


def _numbers(folder: Path, name: re.Pattern[str]) -> list[int]:
    files = os.listdir(folder) if folder.exists() else []
    return sorted(int(match[1]) for match in map(name.fullmatch, files) if match)


def _known_runs(path: Path) -> str:
    beside = path.parent if path.parent.is_dir() else Path()
    runs = [one.parent.name for one in beside.glob("*/config.json")]
    return nearest(path.name, runs) if runs else f"there are no runs in {beside}"


def _claim(beside: Path, wanted: Path) -> Path:
    """Moves a finished folder to the first free name; another process that was faster just raises the number."""
    wanted.parent.mkdir(parents=True, exist_ok=True)
    for index in count(1):
        path = wanted if index == 1 else wanted.with_name(f"{wanted.name}-{index}")
        if path.exists():
            continue
        try:
            return beside.rename(path)
        except OSError:
            if not path.exists():
                raise
    raise AssertionError("unreachable: count() never ends")


def _lock(path: Path) -> int:
    """Takes the run for this process until it closes or dies, however it dies."""
    handle = os.open(path / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = os.read(handle, 200).decode() or "another process"
        os.close(handle)
        raise RunError(f"{path} is being written by {owner}: wait until it ends, or stop it") from error
    os.truncate(handle, 0)
    os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
    return handle

"""A run folder as everybody reads it: the viewer, comparisons, reports. It may be half written, damaged, or hostile.

`Run` is read afresh when its files change and never written to. What it cannot read it notes in `problems`, in words,
and goes on without.
"""

import time
from collections import OrderedDict
from collections.abc import Collection, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from gtr.report import judged, records
from gtr.report.inside import LARGEST, Unreadable, read_inside, unpacked
from gtr.report.layout import (
    EVALUATION_FILE,
    PROBE_FILE,
    TURNS_FILE,
    evaluation_file,
    numbers_of,
    played_file,
    probe_file,
    turns_file,
)
from gtr.report.read import Files
from gtr.report.records import PICTURE, Record, fitted
from gtr.report.settings import all_settings
from gtr.tasks.task import Task

KEPT_BYTES, TURN_BYTES = 512 << 20, 4 << 10
KEPT = 64
"""Transcripts held in memory, of all runs together, of so many bytes at most; one of 400 turns has four million, some
with every turn."""
MOST_PIXELS = 1 << 24
"""Of a picture: what a viewer or a model shows has less than a hundredth of it."""
GOING_SECONDS = 900.0
"""A run that has not reached its last update counts as going on for so long after it last wrote something."""
_HELD: "OrderedDict[tuple[Run, str], tuple[float, int, list[Record]]]" = OrderedDict()
"""Transcripts by their runs and files: when each was written, its size and its turns; the latest used last."""


class Run:
    """A run folder; `own_task` is a game of the user's own that the user named, whose code may judge thoughts."""

    def __init__(self, path: Path | str, own_task: str | None = None) -> None:
        self.path = Path(path)
        self.files = Files(self.path)
        self.config = self.files.record("config.json", "the run is read without its settings", needed=True)
        self._own_task = own_task

    # -- its settings ---------------------------------------------------------------------------------------------
    def setting(self, key: str, otherwise: Any = None) -> Any:
        """A setting by its dotted key, as it stands in ``config.json``: of any type."""
        value: Any = self.config
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return otherwise if value is None else value

    def text(self, key: str, otherwise: str = "?") -> str:
        """A setting that should be a text."""
        return records.text(self.setting(key)) or otherwise

    def number(self, key: str, otherwise: float = 0.0) -> float:
        """A setting that should be a finite number."""
        found = records.number(self.setting(key))
        return otherwise if found is None else found

    def whole(self, key: str, otherwise: int = 0) -> int:
        """A setting that should be a whole number, not negative."""
        found = records.whole(self.setting(key))
        return otherwise if found is None else found

    @cached_property
    def settings(self) -> dict[str, Any]:
        """All settings by dotted key; see `gtr.report.settings.all_settings`."""
        return all_settings(self.config)

    @property
    def method(self) -> str:
        """The preset it was trained by."""
        return self.text("preset", self.path.name)

    @property
    def guided(self) -> bool:
        """Whether a corrector judges its thoughts and they are cloned."""
        return self.setting("guidance.corrector", "none") != "none" and self.number("guidance.weight") != 0

    @property
    def turns_per_update(self) -> int:
        """Environment turns; 1 where the settings do not say."""
        turns = self.whole("train.envs", 1) * self.whole("train.turns", 1)
        return turns if 0 < turns < records.MOST_UPDATES else 1

    @property
    def problems(self) -> list[str]:
        """What was missing, damaged or unexpected so far, by file: "FILE, line N: what; what was done"."""
        return self.files.told()

    @property
    def task(self) -> Task | None:
        """The task that can judge its thoughts again; None where that cannot be had."""
        return self._task[0]

    @property
    def task_trouble(self) -> str:
        """Why there is no task, in words; else empty."""
        return self._task[1]

    @cached_property
    def _task(self) -> tuple[Task | None, str]:
        return judged.task_of(self.config, self.text("task.name", ""), self._own_task)

    # -- its numbers ----------------------------------------------------------------------------------------------
    def metrics(self) -> list[dict[str, float]]:
        """One record per update, in order: ``update`` and what was measured, finite, by the names of today.

        Of an update that stands there twice, the later line counts.
        """
        name, found = "metrics.jsonl", dict[float, dict[str, float]]()
        self.files.note(name, "")
        for number, line in self.files.lines(name, self.files.held(name, LARGEST)):
            place, update = f"{name}, line {number}", records.update_of(line)
            if update is None:
                self.files.note(name, f"{place}: has no update; it is left out")
                continue
            if update in found:
                self.files.note(name, f"{place}: update {update} stands there twice; the later line counts")
            if bad := records.not_numbers(line):
                self.files.note(name, f"{place}: has no number for {', '.join(bad[:3])}; it counts as not measured")
            found[update] = {**(records.metrics(line) or {}), "update": update}
        return [found[update] for update in sorted(found)]

    def evaluated_updates(self) -> list[int]:
        """The updates after which the agent was evaluated, in order; 0 is the start."""
        return numbers_of(self.files.names("evaluations"), EVALUATION_FILE)

    def evaluation(self, update: int) -> Record:
        """How the agent did on the panel: ``panel``, ``success``, ``successes``, ``episodes``, ``interval``, ``health``
        and more; empty where that cannot be read."""
        name = evaluation_file(update)
        record = self.files.record(name, "this evaluation is left out")
        if not record:
            return {}
        found, bad = records.evaluation(record)
        if bad:
            self.files.note(name, f"{name}: has no usable {', '.join(bad)}; this evaluation is left out")
        return {} if bad else found

    def starts(self) -> list[Record]:
        """What the run depended on at each of its starts, the first one first (see `gtr.report.fingerprint`)."""
        name = "fingerprint.json"
        value = self.files.value(name, "versions and machine are not known")
        if value is None:
            return []
        listed = value if isinstance(value, list) else []
        entries = [fitted(one, records.START)[0] for one in listed if isinstance(one, dict)]
        if not entries:
            self.files.note(name, f"{name}: is not a list of records; versions and machine are not known")
        return entries

    def probed_updates(self) -> list[int]:
        return numbers_of(self.files.names("probes"), PROBE_FILE)

    def probe(self, update: int) -> Record:
        """An update's matrix of thoughts against prompts: ``turns``, ``states``, ``scores``; empty without."""
        name = probe_file(update)
        record = self.files.record(name, "this matrix is left out")
        if not record:
            return {}
        found, bad = fitted(record, records.PROBE)
        if bad or not records.square(found):
            self.files.note(name, f"{name}: its rows and columns do not fit; this matrix is left out")
            return {}
        return found

    # -- its turns ------------------------------------------------------------------------------------------------
    def updates_with_turns(self) -> list[int]:
        """The updates whose turns are stored, in order."""
        return numbers_of(self.files.names("turns"), TURNS_FILE)

    def turns(self, update: int) -> list[Record]:
        """The turns of an update that can be read (see `gtr.report.records.TURN`)."""
        return self._transcript(turns_file(update))

    def written(self, update: int) -> float:
        """When the turns of an update were last written."""
        return self.files.changed(turns_file(update))

    def panel(self, update: int) -> list[Record]:
        """The turns played in an evaluation; none where they were not kept."""
        return self._transcript(played_file(update))

    def first_turns(self, update: int) -> dict[int, Record]:
        """The first turn of each episode of an evaluation, by its number in the panel."""
        return {turn["episode"]: turn for turn in self.panel(update) if turn["turn"] == 0}

    def _transcript(self, name: str) -> list[Record]:
        stamp = self.files.changed(name)
        held = _HELD.pop((self, name), None)
        if held is None or held[0] != stamp:
            held = (stamp, *self._read_turns(name))
        _HELD[self, name] = held
        while len(_HELD) > 1 and (len(_HELD) > KEPT or sum(size for _, size, _ in _HELD.values()) > KEPT_BYTES):
            _HELD.popitem(last=False)
        return held[2]

    def _read_turns(self, name: str) -> tuple[int, list[Record]]:
        """A transcript as far as it can be unpacked, and its size."""
        self.files.note(name, "")
        data, trouble = unpacked(packed) if (packed := self.files.held(name, LARGEST)) is not None else (b"", "")
        turns = []
        for number, line in self.files.lines(name, data, torn=bool(trouble)):
            turn, bad = fitted(line, records.TURN)
            if bad:
                self.files.note(name, f"{name}, line {number}: has no usable {', '.join(bad)}; it is shown without")
            turns.append(turn)
        if trouble:
            self.files.note(name, "")
            self.files.note(name, f"{name}: {trouble}; {len(turns)} turns of it can be read")
        return len(data) + TURN_BYTES * len(turns), turns

    # -- its pictures ---------------------------------------------------------------------------------------------
    def missing(self, names: Collection[str]) -> set[str]:
        """Which of these pictures are not in the folder, which may hold a million others."""
        return {name for name in names if not self.files.changed(f"images/{name}")}

    def picture(self, name: str) -> bytes | None:
        """A picture's file; None where it is missing, or nothing that may be shown."""
        try:
            return read_picture(self.path, name)
        except Unreadable:
            return None

    # -- whether it goes on ---------------------------------------------------------------------------------------
    def version(self) -> str:
        """Changes whenever something was written that a page shows."""
        watched = ("metrics.jsonl", "turns", "evaluations", "probes")
        return "-".join(f"{self.files.changed(name):.3f}" for name in watched)

    @property
    def only_played(self) -> bool:
        """Whether it is an evaluation that was kept (`gtr.evaluate.kept`), and nothing was trained."""
        trained = (self.path / "checkpoints").exists() or (self.path / "metrics.jsonl").exists()
        return not trained and bool(self.evaluated_updates())

    def goes_on(self, done: int) -> bool:
        """Whether more is to be expected of a run that has done so many updates."""
        last = max(self.files.changed(name) for name in ("metrics.jsonl", "checkpoints", "turns"))
        return not self.only_played and done < self.whole("train.updates") and time.time() - last < GOING_SECONDS


def read_picture(run: Path, name: str) -> bytes:
    """A picture's file in the run at `run`; raises `Unreadable` where there is none, or none that may be shown."""
    if PICTURE.fullmatch(name) is None:
        raise Unreadable("is not the name of a picture")
    data = read_inside(run, f"images/{name}")
    if not 0 < pixels(data) <= MOST_PIXELS:
        raise Unreadable("is not a PNG picture, or too large a one")
    return data


def pixels(data: bytes) -> int:
    """How many pixels a PNG file says it has, read from its head alone; 0 for anything else."""
    if data[:8] != b"\x89PNG\r\n\x1a\n" or data[12:16] != b"IHDR" or len(data) < 24:
        return 0
    return int.from_bytes(data[16:20]) * int.from_bytes(data[20:24])

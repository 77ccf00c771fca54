"""What a run has written survives a power cut at any moment, kills leave nothing behind, and files are the user's."""

import multiprocessing
import os
import stat
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from power import Cut, Disk
from show_cases import episode_of, evaluation, panel

from gtr import checkpoint
from gtr.algo.buffer import ThoughtBuffer
from gtr.algo.cloning import CLONING
from gtr.config import Config, ReportConfig
from gtr.config.presets import build
from gtr.errors import RunError
from gtr.report import Run, RunFolder
from gtr.report.files import JsonlFile, append_line, remove_parts, write_whole
from gtr.report.found import find_runs
from gtr.report.owner import YOUNG, beside
from gtr.types import Prompt, Sample

UPDATES = 3
CUTS = 200


def settings(folder: Path) -> Config:
    config = replace(build("gtr", "points24"), runs=str(folder), name="run", report=ReportConfig(trackers=()))
    return replace(config, train=replace(config.train, updates=UPDATES))


class Agent:
    """Writes a model as libraries do: some files and a folder, nothing synced."""

    def __init__(self, update: int) -> None:
        self.update = update

    def save(self, folder: Path, main: bool = True) -> None:
        assert main
        (folder / "inner").mkdir(parents=True)
        (folder / "weights").write_bytes(bytes([self.update]) * 5000)
        (folder / "inner" / "more").write_text(f"of update {self.update}")


@dataclass
class Promised:
    """What had returned before the power went."""

    metrics: list[int] = field(default_factory=list)
    turns: list[int] = field(default_factory=list)
    saved: list[int] = field(default_factory=list)
    evaluated: bool = False


def optimizer() -> torch.optim.Optimizer:
    weight = torch.nn.Parameter(torch.ones(3))
    made = torch.optim.Adam([weight])
    weight.grad = torch.full((3,), 0.5)
    made.step()
    return made


def lessons(update: int) -> list[Sample]:
    image = np.full((4, 4, 3), update, np.uint8)
    return [Sample(Prompt(image, f"prompt {update}"), (update, 2), {CLONING: (1.0, 0.0)})]


def train(folder: RunFolder, start: int, done: Promised) -> None:
    """Writes what training does, in its order, and notes what is safe."""
    made = optimizer()
    if start == 0:
        checkpoint.save(folder.checkpoints, 0, Agent(0), made, STATE, 2)  # type: ignore[arg-type]
        done.saved.append(0)
        folder.write_evaluation(0, evaluation(1, 0.5, 0.5), panel("x", False))
        done.evaluated = True
    for update in range(start + 1, UPDATES + 1):
        checkpoint.save_lessons(folder.path, update, lessons(update), 7)
        folder.write_turns(update, episode_of(f"update {update}", update, True, True))
        done.turns.append(update)
        folder.write_metrics(update, {"success": update / 10})
        done.metrics.append(update)
        checkpoint.save(folder.checkpoints, update, Agent(update), made, STATE, 2)  # type: ignore[arg-type]
        done.saved.append(update)


STATE: dict[str, Any] = {"ranks": [[]], "alarm": {}}


def resumed(path: Path) -> tuple[RunFolder, int]:
    """A run opened again, at its last checkpoint, everything of which is read."""
    folder = RunFolder.open(path)
    saved = checkpoint.to_resume(path)
    if saved is None:
        return folder, 0
    update = int(checkpoint.read_state(saved)["update"])
    assert saved.name == f"update_{update:05d}"
    checkpoint.restore_optimizer(saved, optimizer())
    assert (saved / "model" / "weights").read_bytes() == bytes([update]) * 5000
    assert (saved / "model" / "inner" / "more").read_text() == f"of update {update}"
    buffer = ThoughtBuffer(True)
    checkpoint.load_lessons(path, update, buffer)
    assert [lesson.prompt.text for lesson in buffer.samples] == [f"prompt {i}" for i in range(1, update + 1)]
    assert [int(lesson.prompt.image[0, 0, 0]) for lesson in buffer.samples] == list(range(1, update + 1))
    folder.truncate_to(update)
    return folder, update


def whole(path: Path) -> dict[str, Any]:
    """What a reader sees of a run."""
    run = Run(path)
    seen = {
        "metrics": run.metrics(),
        "turns": {update: run.turns(update) for update in run.updates_with_turns()},
        "pictures": sorted(file.name for file in (path / "images").glob("*.png")),
        "panel": run.panel(0),
        "saved": checkpoint.found(path / "checkpoints")[-1].name,
    }
    assert run.problems == []
    assert not list(path.rglob("*.part"))
    return seen


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads open files by their handles under /proc")
def test_no_power_cut_loses_what_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "once").mkdir()
    with monkeypatch.context() as patch:
        disk = Disk(tmp_path / "once", patch)
        with RunFolder.create(settings(tmp_path / "once")) as folder:
            train(folder, 0, Promised())
        calls = disk.calls
        disk.close()
    undisturbed = whole(tmp_path / "once" / "run")
    assert calls > 100
    random = Random(0)
    reached = set()
    for number in range(CUTS):
        reached.add(cut_once(tmp_path / f"cut{number}", random, random.randrange(calls), monkeypatch, undisturbed))
    assert len(reached) > UPDATES, "the cuts lie all over the run"


def cut_once(
    place: Path, random: Random, cut: int, monkeypatch: pytest.MonkeyPatch, undisturbed: dict[str, Any]
) -> int:
    """A run that loses power before call `cut`, is opened again and gone on with; returns from which update."""
    runs, done = place / "live", Promised()
    runs.mkdir(parents=True)
    created = False
    with monkeypatch.context() as patch:
        disk = Disk(runs, patch, cut)
        with pytest.raises(Cut):  # noqa: PT012
            folder = RunFolder.create(settings(runs))
            created = True
            with folder:
                train(folder, 0, done)
    disk.after_the_cut(place / "found", random)
    disk.close()
    path = place / "found" / "run"
    assert path.exists() >= created
    if not path.exists():
        return -1
    before = Run(path)
    assert [line["update"] for line in before.metrics()][: len(done.metrics)] == done.metrics
    assert set(done.turns) <= set(before.updates_with_turns())
    assert all(len(before.turns(update)) == 2 for update in done.turns)
    named = {turn["image"] for update in done.turns for turn in before.turns(update)}
    assert bool(named) is bool(done.turns)
    assert before.missing(named) == set()
    assert bool(before.evaluation(0)) >= done.evaluated
    folder, update = resumed(path)
    assert update >= max(done.saved, default=0)
    with folder:
        train(folder, update if done.saved or update else 0, Promised())
    if done.evaluated:
        assert whole(path) == undisturbed
    return update


# -- leftovers --------------------------------------------------------------------------------------------------------
def test_leftovers_of_kills_go_when_a_run_is_opened_to_be_written(tmp_path: Path) -> None:
    with RunFolder.create(settings(tmp_path)) as folder:
        train(folder, 0, Promised())
    path, before = folder.path, whole(folder.path)
    for name in (".config.json.12.part", "turns/.update_00004.jsonl.gz.7.part", f"images/.{'0' * 20}.png.9.part"):
        (path / name).write_bytes(b"half")
    partial = path / "checkpoints" / ".update_00004.part"
    Agent(4).save(partial / "model")
    kept = path / "notes.part"
    kept.write_text("the user's own")
    RunFolder.open(path, main=False)
    assert partial.exists(), "who only reads removes nothing"
    RunFolder.open(path).close()
    assert not list(path.rglob(".*.part"))
    assert kept.read_text() == "the user's own"
    kept.unlink()
    assert whole(path) == before


def test_a_link_among_leftovers_is_removed_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / ".x.part").write_text("stays")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path / "outside")
    remove_parts(tmp_path / "in")
    assert (tmp_path / "outside" / ".x.part").exists()


def begin(place: Path, ready: Path) -> None:
    """Makes half of a folder and waits to be killed."""
    with beside(place) as made:
        (made / "half").write_text("half")
        ready.touch()
        time.sleep(60)


@pytest.mark.parametrize("owner", ["alive", "killed"])
def test_half_made_folders_of_killed_processes_go(owner: str, tmp_path: Path) -> None:
    process = multiprocessing.get_context("fork").Process(target=begin, args=(tmp_path / "new", tmp_path / "ready"))
    process.start()
    while not (tmp_path / "ready").exists():
        time.sleep(0.01)
    if owner == "killed":
        process.kill()
        process.join()
    (part,) = tmp_path.glob(".new.*.part")
    with beside(tmp_path / "other"):
        assert part.exists(), "its owner may be about to lock it"
    long_ago = time.time() - 2 * YOUNG
    os.utime(part, (long_ago, long_ago))
    with beside(tmp_path / "other") as made:
        assert made.is_dir()
        assert part.exists() is (owner == "alive")
    assert not made.exists()
    process.kill()
    process.join()


def test_nothing_half_made_passes_for_a_run(tmp_path: Path) -> None:
    with RunFolder.create(settings(tmp_path)), beside(tmp_path / "new") as made:
        (made / "checkpoints").mkdir()
        assert [run.path.name for run in find_runs([tmp_path])] == ["run"]


@pytest.mark.parametrize("target", ["file", "nothing"])
def test_nothing_is_appended_through_a_link(tmp_path: Path, target: str) -> None:
    if target == "file":
        (tmp_path / target).write_text("{}\nhalf a line")
    link = tmp_path / "run" / "corrector" / "lines.jsonl"
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / target)
    with pytest.raises(RunError, match=r"lines\.jsonl is not a regular file"):
        JsonlFile(link)
    with pytest.raises(OSError, match="symbolic link"):
        append_line(link, {})
    assert not (tmp_path / "nothing").exists()
    assert target == "nothing" or (tmp_path / target).read_text() == "{}\nhalf a line"


# -- whose files they are ---------------------------------------------------------------------------------------------
@pytest.fixture(params=[0o077, 0o022, 0o007])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_files_follow_the_users_umask(tmp_path: Path, umask: int) -> None:
    with RunFolder.create(settings(tmp_path / "runs")) as folder:
        train(folder, 0, Promised())
        folder.write_fingerprint(device="cpu")
        folder.write_probe(1, {"turns": [], "states": [], "scores": []})
    append_line(folder.path / "lines", {})
    write_whole(folder.path / "deep" / "er" / "file", b"")
    found = {path: stat.S_IMODE(path.stat().st_mode) for path in folder.path.rglob("*")}
    assert len(found) > 20
    for path, mode in found.items():
        assert mode == (0o777 if path.is_dir() else 0o666) & ~umask, path


# -- checkpoints that are gone ----------------------------------------------------------------------------------------
def test_a_run_whose_checkpoints_are_gone_is_not_begun_anew(tmp_path: Path) -> None:
    with RunFolder.create(settings(tmp_path)) as folder:
        assert checkpoint.to_resume(folder.path) is None, "stopped before its first checkpoint"
        train(folder, 0, Promised())
    assert checkpoint.to_resume(folder.path) == folder.checkpoints / "update_00003"
    for saved in checkpoint.found(folder.checkpoints):
        saved.rename(tmp_path / saved.name)
    with pytest.raises(RunError, match=r"has metrics but no checkpoint .* begin anew in another folder .*run-anew"):
        checkpoint.to_resume(folder.path)

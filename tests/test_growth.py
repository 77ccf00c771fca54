"""A long run: neither time nor memory of an update grows with the updates done, but by what must be kept."""

import gc
import os
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import numpy as np
import pytest
from toys import CountTask, Scripted, count_of, say

from gtr import checkpoint
from gtr.algo.buffer import ThoughtBuffer
from gtr.config import Config
from gtr.metrics import health
from gtr.metrics.alarm import Alarm
from gtr.report.folder import RunFolder
from gtr.report.history import read_history
from gtr.report.run import Run
from gtr.rollout import Collector
from gtr.types import Prompt, Sample

Settings = Callable[..., Config]
UPDATES, EARLY = 10_000, 2_000
LISTED: list[str] = []
"""Folders that were listed while somebody watched."""
WATCHING = [False]


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if WATCHING[0] and event in ("os.listdir", "os.scandir"):
        LISTED.append(str(arguments[0]))


sys.addaudithook(_watch)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Listings are noted, and nobody waits for the disk."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    LISTED.clear()
    WATCHING[0] = True
    yield
    WATCHING[0] = False


def picture(update: int) -> np.ndarray:
    return np.random.default_rng(update).integers(0, 256, (8, 8, 3), dtype=np.uint8)


def taught(update: int) -> Sample:
    return Sample(Prompt(picture(update), "now"), (1000 + update, 1), {"cloning": (1.0, 0.0)})


def bytes_of_a_lesson() -> float:
    """What a buffer takes of one: the sample, its tokens and weights, and its picture as PNG."""
    before, alone = tracemalloc.get_traced_memory()[0], ThoughtBuffer()
    for update in range(1, 2001):
        alone.add([taught(update)], 2)
    gc.collect()
    return (tracemalloc.get_traced_memory()[0] - before) / len(alone)


@pytest.mark.slow
def test_ten_thousand_updates_grow_by_what_must_be_kept(settings: Settings, watched: None) -> None:
    config = settings(**{"train.envs": 1, "train.turns": 2})
    task, alarm, buffer, latest = CountTask(), Alarm(), ThoughtBuffer(), ThoughtBuffer(keep_run=False)
    collector = Collector(task, Scripted(lambda p, _: say("win" if count_of(p) == 2 else "go")), None, config)
    sizes, seconds = {}, {0: time.process_time()}
    with RunFolder.create(config) as folder:
        tracemalloc.start()
        must = bytes_of_a_lesson()
        for update in range(1, UPDATES + 1):
            rollout = collector.collect()
            lesson = taught(update)
            buffer.add([lesson], 2)
            latest.add([lesson], 2)
            buffer.draw(2, np.random.default_rng(update))
            values = health(rollout, task, 0)
            values |= alarm.observe(update, values).metrics()
            checkpoint.save_lessons(folder.path, update, [lesson], 2)
            if update % 50 == 0:
                folder.write_turns(update, rollout.flat())
            folder.write_metrics(update, values)
            if update % EARLY == 0:
                gc.collect()
                sizes[update], seconds[update] = tracemalloc.get_traced_memory()[0], time.process_time()
        tracemalloc.stop()
        # The median of the stretches: Python's own table of names of files is enlarged once, by megabytes.
        grown = median((sizes[mark + EARLY] - sizes[mark]) / EARLY for mark in range(EARLY, UPDATES, EARLY))
        assert grown < must + 50, f"{grown:.0f} bytes an update, of which the buffer takes {must:.0f}"
        assert len(latest) == len(latest._pictures) == 1
        spent = [seconds[mark] - seconds[mark - EARLY] for mark in range(EARLY, UPDATES + 1, EARLY)]
        assert max(spent) < 2 * min(spent), spent
        assert not [name for name in LISTED if name.startswith(str(folder.path))], "no folder is listed"
        path = folder.path
    started = time.process_time()
    history = read_history(Run(path))
    assert len(history.updates) == UPDATES
    assert time.process_time() - started < 30
    again = ThoughtBuffer()
    checkpoint.load_lessons(path, 500, again)
    assert all(np.array_equal(again.samples[i - 1].prompt.image, picture(i)) for i in (1, 250, 500))


def test_pictures_come_back_as_they_were(tmp_path: Path) -> None:
    """Of any shape and content, equal ones held once, through the buffer and the disk."""
    shapes = [picture(1), np.zeros((3, 5, 3), np.uint8), np.full((300, 300, 3), 7, np.uint8), picture(1).copy()]
    lessons = [Sample(Prompt(one, str(i)), (i,), {"cloning": (1.0,)}) for i, one in enumerate(shapes)]
    buffer = ThoughtBuffer()
    buffer.add(lessons)
    assert len({id(png) for (png,), _ in buffer._rows}) == 3
    checkpoint.save_lessons(tmp_path, 1, lessons, 4)
    back = ThoughtBuffer()
    checkpoint.load_lessons(tmp_path, 1, back)
    assert len({id(png) for (png,), _ in back._rows}) == 3
    for one in (buffer, back):
        assert [sample.prompt.image.tobytes() for sample in one.samples] == [shape.tobytes() for shape in shapes]
    assert [png for png, _ in buffer._rows] == [png for png, _ in back._rows], "the bytes of the disk are kept"


def test_resuming_decodes_a_picture_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gtr.checkpoint import lessons as room

    for update in (1, 2, 3):
        taught = [Sample(Prompt(picture(i % 2), str(i)), (i,), {"cloning": (1.0,)}) for i in range(6)]
        checkpoint.save_lessons(tmp_path, update, taught, 6)
    decoded: list[int] = []
    decode = room.from_png
    monkeypatch.setattr(room, "from_png", lambda data: decoded.append(1) or decode(data))
    buffer = ThoughtBuffer()
    checkpoint.load_lessons(tmp_path, 3, buffer)
    assert (len(buffer), len(decoded)) == (18, 2)

"""The thought buffer on disk: its growth, one file per update and process; pictures by name."""

import gzip
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gtr.algo.buffer import NO_PICTURE, Packed, ThoughtBuffer
from gtr.algo.cloning import CLONING
from gtr.errors import RunError
from gtr.policy.pictures import from_png
from gtr.report import records
from gtr.report.files import UNUSABLE, encode, write_whole
from gtr.report.inside import LARGEST, Unreadable, parsed, read_inside, unpacked
from gtr.report.run import read_picture
from gtr.report.transcript import ImageStore
from gtr.types import Exchange, Prompt, Sample

NAME = re.compile(r"update_(\d+)(?:\.process(\d+))?\.jsonl\.gz")
MOST_TURNS, MOST_PROCESSES = 10**9, 10**5


def save_lessons(
    run: Path, update: int, lessons: Sequence[Sample], turns: int, rank: int = 0, processes: int = 1
) -> None:
    """Writes the lessons of one update of one process of so many, which came of so many turns; pictures once and
    losslessly."""
    images = ImageStore(run / "images")
    lines = [encode({"turns": turns, "processes": processes})] + [
        encode(
            {
                "image": images.add(lesson.prompt.image),
                "prompt": lesson.prompt.text,
                **({"past": [_exchange(one, images) for one in lesson.prompt.past]} if lesson.prompt.past else {}),
                "tokens": list(lesson.tokens),
                "weights": list(lesson.weights[CLONING]),
            }
        )
        for lesson in lessons
    ]
    images.sync()
    write_whole(_file(run, update, rank), gzip.compress(b"".join(lines), mtime=0))


def load_lessons(
    run: Path,
    update: int,
    buffer: ThoughtBuffer,
    rank: int = 0,
    processes: int = 1,
    before: int | None = None,
    can_say: Callable[[Sequence[int]], bool] = lambda tokens: True,
) -> None:
    """Fills a buffer with what was learnt up to `update`, in order; later files are removed.

    Where an update was played by as many processes as there are now, each takes what was its own; else all lessons of
    the update, process by process, are dealt round.

    Args:
        run: the run's folder.
        update: the last update that counts.
        buffer: where to.
        rank: of this process.
        processes: how many there are now.
        before: how many there were where a file does not say, by default as many as now.
        can_say: which tokens a lesson may hold.

    Raises:
        RunError: a file is missing or damaged: the run could not go on as if it had never stopped.
    """
    pictures: dict[str, bytes] = {}
    for number in range(1, update + 1):
        played = _processes(run, number, before or processes)
        own = [rank] if played == processes else range(played)
        parts = [_lessons(run, number, one, buffer, pictures, can_say) for one in own]
        rows, turns = [row for part, _ in parts for row in part], sum(count for _, count in parts)
        if played != processes:
            rows, turns = rows[rank::processes], len(range(rank, turns, processes))
        buffer.add_packed(rows, turns)
    _forget_after(run, update, rank, processes)


def _forget_after(run: Path, update: int, rank: int, processes: int) -> None:
    """Removes this process's part of the files of later updates, whichever process wrote them."""
    for file in (run / "lessons").glob("update_*.jsonl.gz"):
        found = NAME.fullmatch(file.name)
        if found and int(found[1]) > update and int(found[2] or 0) % processes == rank:
            file.unlink()


def _processes(run: Path, update: int, otherwise: int) -> int:
    """How many processes played an update; files of version 0.1 do not say."""
    head = _records(run, update, 0)[:1]
    count = records.whole(head[0].get("processes")) if head and isinstance(head[0], dict) else None
    return count if count and count <= MOST_PROCESSES else otherwise


def _lessons(
    run: Path,
    update: int,
    rank: int,
    buffer: ThoughtBuffer,
    pictures: dict[str, bytes],
    can_say: Callable[[Sequence[int]], bool],
) -> tuple[list[Packed], int]:
    """The lessons of one process in one update, and of how many turns they came."""
    lines, file = _records(run, update, rank), _file(run, update, rank)
    try:
        # Files of version 0.1 do not say how many turns there were.
        turns = _turns(lines.pop(0)) if lines and "turns" in lines[0] else len(lines)
        shown = [[one["image"] for one in (*line.get("past", ()), line)] for line in lines]
        for name in dict.fromkeys(name for names in shown for name in names if name not in pictures):
            data = read_picture(run, name)
            pictures[name] = buffer.packed(from_png(data), data)
        rows = zip(shown, lines, strict=True)
        return [(tuple(pictures[name] for name in names), _lesson(line, can_say)) for names, line in rows], turns
    except (Unreadable, OSError, *UNUSABLE) as error:
        raise _damaged(file, error) from error


def _turns(line: Mapping[str, Any]) -> int:
    turns = records.whole(line["turns"])
    if turns is None or turns > MOST_TURNS:
        raise ValueError("it has no number of turns")
    return turns


def _lesson(line: Mapping[str, Any], can_say: Callable[[Sequence[int]], bool]) -> Sample:
    tokens, weights = records.several(records.whole)(line["tokens"]), records.several(records.number)(line["weights"])
    if not tokens or not weights or min(weights) < 0 or len(tokens) != len(weights) or not can_say(tokens):
        raise ValueError("tokens and weights of a lesson do not fit")
    past = tuple(Exchange(NO_PICTURE, one["prompt"] + "", one["reply"] + "") for one in line.get("past", ()))
    return Sample(Prompt(NO_PICTURE, line["prompt"] + "", past), tuple(tokens), {CLONING: tuple(weights)})


def _exchange(one: Exchange, images: ImageStore) -> dict[str, str]:
    return {"image": images.add(one.image), "prompt": one.text, "reply": one.reply}


def _records(run: Path, update: int, rank: int) -> list[Any]:
    file = _file(run, update, rank)
    try:
        data, trouble = unpacked(read_inside(run, str(file.relative_to(run)), LARGEST))
        if trouble:
            raise Unreadable(trouble)
        return [parsed(line, exact=True) for line in data.splitlines()]
    except (Unreadable, OSError, ValueError) as error:
        raise _damaged(file, error) from error


def _damaged(file: Path, error: Exception) -> RunError:
    return RunError(
        f"the lessons in {file}, or their pictures, cannot be read ({error}); put them back from a copy, or start a "
        "new run"
    )


def _file(run: Path, update: int, rank: int) -> Path:
    process = f".process{rank}" if rank else ""
    return run / "lessons" / f"update_{update:05d}{process}.jsonl.gz"

"""Checkpoints from which a run goes on exactly as if it had never stopped.

    checkpoints/update_00012/
      model/                  what `gtr eval` and transformers load: safetensors, processor, value head
      optimizer.safetensors   the optimiser's moments
      state.json              where every episode stands, the corrector's memory, the alarm's
    lessons/update_00012.jsonl.gz   the thought buffer's growth, one file per update and process; pictures by name

Random numbers need no saving: every update seeds its own from (seed, rank, update).
"""

import gzip
import io
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image as Pillow
from safetensors.torch import load_file, save_file

from gtr.algo.buffer import ThoughtBuffer
from gtr.algo.cloning import CLONING
from gtr.errors import RunError
from gtr.policy.policy import Policy
from gtr.report import records
from gtr.report.files import UNUSABLE, encode, make_folder, move_whole, write_whole
from gtr.report.inside import LARGEST, Unreadable, parsed, read_inside, unpacked
from gtr.report.run import Run, read_picture
from gtr.report.transcript import ImageStore
from gtr.types import Prompt, Sample

NAME = re.compile(r"update_(\d+)")
MOMENTS = {"step", "exp_avg", "exp_avg_sq"}
"""What Adam keeps of a weight (`gtr.learner.make_optimizer`)."""
MOST_TURNS = 10**9


def save(
    folder: Path,
    update: int,
    policy: Policy,
    optimizer: torch.optim.Optimizer,
    state: Mapping[str, Any],
    keep: int,
) -> Path:
    """Writes a checkpoint, whole or not at all, and removes all but the `keep` latest and the first."""
    target = folder / f"update_{update:05d}"
    partial = folder / f".{target.name}.part"
    shutil.rmtree(partial, ignore_errors=True)
    make_folder(partial)
    policy.save(partial / "model")
    save_file(_flat(optimizer), partial / "optimizer.safetensors")
    write_whole(partial / "state.json", encode({**state, "update": update}))
    shutil.rmtree(target, ignore_errors=True)
    move_whole(partial, target)
    for old in found(folder)[1:-keep]:
        shutil.rmtree(old)
    return target


def found(folder: Path) -> list[Path]:
    """All finished checkpoints, oldest first."""
    if not folder.is_dir():
        return []
    inside = (path for path in folder.iterdir() if NAME.fullmatch(path.name))
    return sorted(path for path in inside if path.is_dir() and not path.is_symlink())


def latest(folder: Path) -> Path | None:
    """The last finished checkpoint."""
    return next(reversed(found(folder)), None)


def to_resume(run: Path) -> Path | None:
    """The checkpoint from which the run at `run` goes on; None for one that was stopped before its first.

    Raises `RunError` where there is none though updates were done: going on would overwrite them from the start.
    """
    saved = latest(run / "checkpoints")
    if saved is None and Run(run).metrics():
        raise RunError(
            f"{run} has metrics but no checkpoint in {run / 'checkpoints'}: put one back from a copy, or begin anew in "
            f"another folder with the same settings: gtr train ... --name {run.name}-anew"
        )
    return saved


def read_state(checkpoint: Path) -> dict[str, Any]:
    """What `save` was given as `state`, and the update."""
    file = checkpoint / "state.json"
    try:
        state: dict[str, Any] = parsed(read_inside(checkpoint, file.name, LARGEST), exact=True)
        if not isinstance(state["ranks"], list) or not isinstance(state["alarm"], dict):
            raise TypeError("it is not what a checkpoint holds")
        if f"update_{state['update']:05d}" != checkpoint.name:
            raise ValueError(f"it is of update {state['update']}")
    except (Unreadable, KeyError, TypeError, ValueError) as error:
        raise RunError(f"{file} cannot be read ({error}); {_before(checkpoint)}") from error
    return state


@contextmanager
def used(checkpoint: Path) -> Iterator[None]:
    """RunError where the state of a checkpoint, which may be damaged anywhere, cannot be gone on with."""
    try:
        yield
    except UNUSABLE as error:
        why = f"{type(error).__name__}: {error}"
        raise RunError(f"{checkpoint / 'state.json'} cannot be used ({why}); {_before(checkpoint)}") from error


def _before(checkpoint: Path) -> str:
    return f"remove {checkpoint} and resume again to go on from the one before"


def restore_optimizer(checkpoint: Path, optimizer: torch.optim.Optimizer) -> None:
    """Takes back the optimiser's moments.

    Raises:
        RunError: the file is missing, damaged, or of a network with other weights.
    """
    file = checkpoint / "optimizer.safetensors"
    try:
        stored = load_file(file)
    except Exception as error:
        raise RunError(f"{file} cannot be read ({error}); {_before(checkpoint)}") from error
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for i, parameter in enumerate(parameters):
        names = {name.partition(".")[2]: value for name, value in stored.items() if name.startswith(f"{i}.")}
        if names.keys() not in (set(), MOMENTS) or not all(value.is_floating_point() for value in names.values()):
            raise RunError(f"{file} lacks moments of weight {i}; {_before(checkpoint)}")
        moments = [value for value in names.values() if value.dim()]
        if any(value.shape != parameter.shape for value in moments):
            raise RunError(f"{file} belongs to another model: weight {i} has shape {tuple(parameter.shape)} here")
        if names:
            optimizer.state[parameter] = {
                name: value.to(parameter.device) if value.dim() else value for name, value in names.items()
            }


def _flat(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """The optimiser's state as named tensors: ``<index>.<name>``."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    return {
        f"{i}.{name}": torch.as_tensor(value).detach().contiguous().cpu()
        for i, parameter in enumerate(parameters)
        for name, value in optimizer.state.get(parameter, {}).items()
    }


# -- the thought buffer -------------------------------------------------------------------------------------------
def save_lessons(run: Path, update: int, lessons: Sequence[Sample], turns: int, rank: int = 0) -> None:
    """Writes the lessons of one update of one process, which came of so many turns; pictures once and losslessly."""
    images = ImageStore(run / "images")
    lines = [encode({"turns": turns})] + [
        encode(
            {
                "image": images.add(lesson.prompt.image),
                "prompt": lesson.prompt.text,
                "tokens": list(lesson.tokens),
                "weights": list(lesson.weights[CLONING]),
            }
        )
        for lesson in lessons
    ]
    images.sync()
    write_whole(_lessons_file(run, update, rank), gzip.compress(b"".join(lines), mtime=0))


def load_lessons(
    run: Path,
    update: int,
    buffer: ThoughtBuffer,
    rank: int = 0,
    can_say: Callable[[Sequence[int]], bool] = lambda tokens: True,
) -> None:
    """Fills a buffer with what a process learnt up to `update`, in order; later files are removed. `can_say` tells
    which tokens a lesson may hold.

    Raises:
        RunError: a file is missing or damaged: the run could not go on as if it had never stopped.
    """
    for number in range(1, update + 1):
        file = _lessons_file(run, number, rank)
        try:
            lines = list(_lines(run, file))
            # Files of version 0.1 do not say how many turns there were.
            turns = _turns(lines.pop(0)) if lines and "turns" in lines[0] else None
            buffer.add([_lesson(run, line, can_say) for line in lines], turns)
        except (Unreadable, OSError, *UNUSABLE) as error:
            raise RunError(
                f"the lessons in {file}, or their pictures, cannot be read ({error}); put them back from a copy, or "
                f"start a new run"
            ) from error
    number = update + 1
    while (later := _lessons_file(run, number, rank)).exists():
        later.unlink()
        number += 1


def _lines(run: Path, file: Path) -> Iterator[Any]:
    data, trouble = unpacked(read_inside(run, str(file.relative_to(run)), LARGEST))
    if trouble:
        raise Unreadable(trouble)
    return (parsed(line, exact=True) for line in data.splitlines())


def _turns(line: Mapping[str, Any]) -> int:
    turns = records.whole(line["turns"])
    if turns is None or turns > MOST_TURNS:
        raise ValueError("it has no number of turns")
    return turns


def _lesson(run: Path, line: Mapping[str, Any], can_say: Callable[[Sequence[int]], bool]) -> Sample:
    tokens, weights = records.several(records.whole)(line["tokens"]), records.several(records.number)(line["weights"])
    if not tokens or weights is None or len(tokens) != len(weights) or not can_say(tokens):
        raise ValueError("tokens and weights of a lesson do not fit")
    data = read_picture(run, line["image"])
    image = np.asarray(Pillow.open(io.BytesIO(data), formats=("PNG",)).convert("RGB"))
    return Sample(Prompt(image, line["prompt"] + ""), tuple(tokens), {CLONING: tuple(weights)})


def _lessons_file(run: Path, update: int, rank: int) -> Path:
    process = f".process{rank}" if rank else ""
    return run / "lessons" / f"update_{update:05d}{process}.jsonl.gz"

"""Checkpoints from which a run goes on exactly as if it had never stopped.

    checkpoints/update_00012/
      model/                  what `gtr eval` and transformers load: safetensors, processor, value head
      optimizer.safetensors   the optimiser's moments (optimizer/ where they are sharded)
      algorithm.safetensors   the algorithm's own tensors, where it has some: a merged teacher
      state.json              where every episode stands, the corrector's memory, the alarm's
    lessons/update_00012.jsonl.gz   the thought buffer's growth, one file per update and process; pictures by name

Random numbers need no saving: every update seeds its own from (seed, rank, update).
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from gtr.checkpoint.lessons import load_lessons, save_lessons
from gtr.checkpoint.optimizer import loaded, restore_optimizer, save_optimizer, the_one_before
from gtr.errors import RunError
from gtr.policy.models import checkpoints_in as found
from gtr.policy.policy import Policy
from gtr.report.files import UNUSABLE, encode, make_folder, move_whole, write_whole
from gtr.report.inside import LARGEST, Unreadable, parsed, read_inside, refuse_links
from gtr.report.run import Run

__all__ = (
    "found", "latest", "load_lessons", "read_state", "read_tensors", "restore_optimizer", "save", "save_lessons",
    "to_resume", "used",
)  # fmt: skip

TENSORS = "algorithm.safetensors"


def save(
    folder: Path,
    update: int,
    policy: Policy,
    optimizer: torch.optim.Optimizer,
    state: Mapping[str, Any],
    keep: int,
    tensors: Mapping[str, torch.Tensor] | None = None,
    main: bool = True,
) -> Path:
    """Writes a checkpoint, whole or not at all, and removes all but the `keep` latest and the first.

    All processes must call it. The `main` one writes, and where weights are sharded each its share of the moments.
    """
    target = folder / f"update_{update:05d}"
    partial = folder / f".{target.name}.part"
    if main:
        shutil.rmtree(partial, ignore_errors=True)
        make_folder(partial)
    # Sharded, no process is past this before the main one has come to it, and so made the folder.
    policy.save(partial / "model", main)
    save_optimizer(partial, optimizer, main)
    if not main:
        return target
    if tensors:
        save_file({name: value.contiguous() for name, value in tensors.items()}, partial / TENSORS)
    write_whole(partial / "state.json", encode({**state, "update": update}))
    shutil.rmtree(target, ignore_errors=True)
    move_whole(partial, target)
    for old in found(folder)[1:-keep]:
        shutil.rmtree(old)
    return target


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
        refuse_links(checkpoint)
        state: dict[str, Any] = parsed(read_inside(checkpoint, file.name, LARGEST), exact=True)
        if not isinstance(state["ranks"], list) or not isinstance(state["alarm"], dict):
            raise TypeError("it is not what a checkpoint holds")
        if f"update_{state['update']:05d}" != checkpoint.name:
            raise ValueError(f"it is of update {state['update']}")
    except (Unreadable, KeyError, TypeError, ValueError) as error:
        raise RunError(f"{file} cannot be read ({error}); {the_one_before(checkpoint)}") from error
    return state


@contextmanager
def used(checkpoint: Path) -> Iterator[None]:
    """RunError where the state of a checkpoint, which may be damaged anywhere, cannot be gone on with."""
    try:
        yield
    except UNUSABLE as error:
        why = f"{type(error).__name__}: {error}"
        raise RunError(f"{checkpoint / 'state.json'} cannot be used ({why}); {the_one_before(checkpoint)}") from error


def read_tensors(checkpoint: Path) -> dict[str, torch.Tensor]:
    """What `save` was given as `tensors`. RunError where the file is damaged."""
    file = checkpoint / TENSORS
    return loaded(file) if file.exists() else {}

"""The optimiser's state on disk, read back by any number of processes.

optimizer.safetensors   where every process holds all of it
optimizer/              where each holds a share, written by each: torch's distributed checkpoint
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch import distributed as dist
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.distributed.tensor import DTensor

from gtr.checkpoint.shards import Reader
from gtr.errors import RunError
from gtr.policy.sharding import as_sharded

WHOLE, SHARDS = "optimizer.safetensors", "optimizer"
MOMENTS = {"step", "exp_avg", "exp_avg_sq"}
"""What Adam keeps of a weight (`gtr.learner.make_optimizer`)."""


def save_optimizer(folder: Path, optimizer: torch.optim.Optimizer, main: bool = True) -> None:
    """Writes the moments; sharded, every process must call it."""
    state = _flat(optimizer)
    if any(isinstance(p, DTensor) for p in _parameters(optimizer)):
        save(state, checkpoint_id=folder / SHARDS)
    elif main:
        save_file(state, folder / WHOLE)


def restore_optimizer(checkpoint: Path, optimizer: torch.optim.Optimizer) -> None:
    """Takes back the optimiser's moments, written by however many processes; all must call it.

    Raises:
        RunError: the file is missing, damaged, or of a network with other weights.
    """
    file = checkpoint / (SHARDS if (checkpoint / SHARDS).is_dir() else WHOLE)
    parameters = _parameters(optimizer)
    stored = _shards(file, parameters) if file.name == SHARDS else loaded(file)
    _check(file, {name: value.shape for name, value in stored.items()}, parameters)
    for i, parameter in enumerate(parameters):
        names = {name.partition(".")[2]: value for name, value in stored.items() if name.startswith(f"{i}.")}
        if names.keys() not in (set(), MOMENTS) or not all(value.is_floating_point() for value in names.values()):
            raise RunError(f"{file} lacks moments of weight {i}; {the_one_before(checkpoint)}")
        if names:
            optimizer.state[parameter] = {
                name: value if not value.dim() or isinstance(value, DTensor) else as_sharded(value, parameter)
                for name, value in names.items()
            }


def loaded(file: Path) -> dict[str, Tensor]:
    """A checkpoint's file of tensors; RunError where it is damaged."""
    with _readable(file):
        found: dict[str, Tensor] = load_file(file)
    return found


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise RunError(f"{file} cannot be read ({error}); {the_one_before(file.parent)}") from error


def the_one_before(checkpoint: Path) -> str:
    """What mends a run whose checkpoint is damaged."""
    return f"remove {checkpoint} and resume again to go on from the one before"


def _shards(folder: Path, parameters: list[Tensor]) -> dict[str, Tensor]:
    """This process's shares of what was written, whatever shares those were."""
    with _readable(folder):
        written = Reader(folder).read_metadata().state_dict_metadata
    sizes = {name: one.size for name, one in written.items() if isinstance(one, TensorStorageMetadata)}
    _check(folder, sizes, parameters)
    state = {
        name: torch.zeros_like(parameters[int(name.partition(".")[0])]) if size else torch.zeros(())
        for name, size in sizes.items()
    }
    with _readable(folder):
        load(state, storage_reader=Reader(folder), no_dist=not dist.is_initialized())
    return state


def _check(file: Path, sizes: Mapping[str, torch.Size], parameters: list[Tensor]) -> None:
    for name, size in sizes.items():
        i = int(name.partition(".")[0]) if name[:1].isdecimal() else len(parameters)
        shape = tuple(parameters[i].shape) if i < len(parameters) else None
        if size and tuple(size) != shape:
            raise RunError(f"{file} belongs to another model: weight {i} has shape {shape} here, {tuple(size)} there")


def _parameters(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"]]


def _flat(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's state as named tensors, ``<index>.<name>``: whole ones on the CPU, shares where they are."""
    return {
        f"{i}.{name}": value if isinstance(value, DTensor) else torch.as_tensor(value).detach().contiguous().cpu()
        for i, parameter in enumerate(_parameters(optimizer))
        for name, value in optimizer.state.get(parameter, {}).items()
    }

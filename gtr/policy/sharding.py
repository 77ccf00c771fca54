"""Sharded training: every process holds a share of each weight, its gradient and its moments (torch's FSDP2).

Two states, which all processes enter together:

    gathered    every process holds all weights: sampling and scoring without gradients, no process waits for another
    scattered   every process holds its share: while learning and saving

`torch.distributed.fsdp.fully_shard` is called directly; launchers (torchrun, accelerate) only start the processes.
"""

import warnings
from collections.abc import Iterator
from typing import Any

from accelerate import Accelerator
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import get_model_state_dict
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor

from gtr.errors import RunError
from gtr.policy.network import Network


def distributed(network: Network, accelerator: Accelerator, shard: str, per_node: int = 1) -> nn.Module:
    """What passes with a gradient go through: the network itself, its DDP wrapper, or the network cut into shards.

    Args:
        network: whole, and the same in every process.
        accelerator: this process's.
        shard: `train.shard`.
        per_node: processes of one node, among which "hybrid" shards; nodes hold copies of one another.

    Raises:
        RunError: weights were not sharded.
    """
    if shard == "none":
        whole: nn.Module = accelerator.prepare(network)
        return whole
    processes = accelerator.num_processes
    kind = accelerator.device.type
    if shard == "hybrid":
        mesh = init_device_mesh(kind, (processes // per_node, per_node), mesh_dim_names=("node", "within"))
    else:
        mesh = init_device_mesh(kind, (processes,))
    cut(network, mesh)
    return network


def cut(network: Network, mesh: DeviceMesh) -> None:
    """Cuts a network into shards in place, layer by layer; `scattered` afterwards. An optimiser is built after it."""
    for layer in layers_of(network.model):
        fully_shard(layer, mesh=mesh)
    fully_shard(network, mesh=mesh)
    register_fsdp_forward_method(network, "idle")
    # Values are views of the head's output, and nobody writes into them.
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view")
    whole = [name for name, p in network.named_parameters() if not isinstance(p, DTensor)]
    if whole or mesh.size() < 2:
        raise RunError(f"train.shard: {len(whole)} weights are not sharded over {mesh.size()} processes, {whole[:1]}")


def layers_of(model: nn.Module) -> Iterator[nn.Module]:
    """The layers that are gathered one at a time: members of the outermost lists, decoder and vision tower alike."""
    for child in model.children():
        if isinstance(child, nn.ModuleList):
            yield from child
        else:
            yield from layers_of(child)


def is_sharded(network: Network) -> bool:
    """Whether `cut` was called on it."""
    return isinstance(network, FSDPModule)


def is_gathered(network: Network) -> bool:
    """Whether this process holds all weights now."""
    return not any(isinstance(p, DTensor) for p in network.parameters())


def gather(network: Network) -> None:
    """Brings all weights to every process until `scatter`: all must call it; nothing where nothing is sharded."""
    if not isinstance(network, FSDPModule):
        return
    # Before its first forward pass FSDP has no state to gather by; a pass that computes nothing gives it one.
    network.idle()
    for part in _parts(network):
        part.set_reshard_after_forward(False, recurse=False)
        part.unshard()


def scatter(network: Network) -> None:
    """Leaves every process with its share, the gathered copies dropped with whatever was written to them."""
    if not isinstance(network, FSDPModule):
        return
    for part in _parts(network):
        part.set_reshard_after_forward(part is not network, recurse=False)
        part.reshard()


def _parts(network: nn.Module) -> list[FSDPModule]:
    return [module for module in network.modules() if isinstance(module, FSDPModule)]


def full_weights(network: Network, adapters: bool) -> dict[str, Tensor]:
    """By name, whole weights on the CPU: of the adapters and the value head alone, or all. All processes must call it.

    Weights that are one under two names stay one.
    """
    gathered = is_gathered(network)
    scatter(network)
    found: dict[int, Tensor] = {}
    state = get_model_state_dict(network)
    wanted = {name: value for name, value in state.items() if not adapters or "lora_" in name or "value_head" in name}
    for value in wanted.values():
        found[id(value)] = found[id(value)] if id(value) in found else _full(value)
    if gathered:
        gather(network)
    return {name: found[id(value)] for name, value in wanted.items()}


def whole_state(module: nn.Module) -> dict[str, Tensor]:
    """A gathered module's ``state_dict``, which asked for by itself would scatter it; no other process is needed."""
    found: dict[str, Tensor] = dict(module.named_parameters(remove_duplicate=False))
    for prefix, part in module.named_modules(remove_duplicate=False):
        for name, value in part.named_buffers(recurse=False):
            if name not in part._non_persistent_buffers_set:
                found[f"{prefix}.{name}" if prefix else name] = value
    return found


def _full(value: Any) -> Tensor:
    whole: Tensor = value.full_tensor() if isinstance(value, DTensor) else value
    return whole.detach().cpu().contiguous()


def whole_number(value: Tensor | float) -> float:
    """A number that processes may hold in parts."""
    return float(value.full_tensor() if isinstance(value, DTensor) else value)


def as_sharded(value: Tensor, like: Tensor) -> Tensor:
    """A whole tensor cut as another one is; on its device."""
    value = value.to(like.device)
    if not isinstance(like, DTensor):
        return value
    return distribute_tensor(value, like.device_mesh, like.placements)

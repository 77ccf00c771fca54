"""Merging an agent's past selves into one (GTR-Turbo, arXiv 2512.13043), in the space of weights as they take effect.

Those are the weights themselves or, under LoRA, what an adapter adds to its layer: ``scaling * B @ A``. Merging A and B
apart is something else: the product of sums is no sum of products. Nor is PEFT's own "ties" a mean: it divides by the
number of terms, not by their weights, so that copies of one adapter merge into a fraction of it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gtr.errors import PolicyError
from gtr.policy.policy import Policy
from gtr.policy.reference import FrozenPolicy, replaced

Mode = Literal["mean", "ema", "ties"]


def trimmed(vector: Tensor, density: float) -> Tensor:
    """The `density` share of largest magnitude, at least one entry; the rest is 0."""
    kept = max(1, round(density * vector.numel()))
    if kept >= vector.numel():
        return vector
    magnitude = vector.abs()
    least = magnitude.flatten().kthvalue(vector.numel() - kept + 1).values
    return torch.where(magnitude >= least, vector, torch.zeros_like(vector))


def ties(vectors: Sequence[Tensor], weights: Sequence[float], density: float) -> Tensor:
    """TIES-merging (arXiv 2306.01708) of task vectors of one shape, each a tensor's difference from the base.

    Each is trimmed; the sign of an entry is that of the weighted sum; merged is the weighted mean over those that have
    this sign. Divided by their weights, as mergekit does, so that at density 1 copies merge into the copy.
    """
    cut = [trimmed(vector, density) for vector in vectors]
    total = sum((weight * one for weight, one in zip(weights, cut, strict=True)), torch.zeros_like(cut[0]))
    agreeing = [weight * (one.sign() == total.sign()) for weight, one in zip(weights, cut, strict=True)]
    share = sum(agreeing, torch.zeros_like(total))
    merged = sum((part * one for part, one in zip(agreeing, cut, strict=True)), torch.zeros_like(total))
    return torch.where((share > 0) & (total != 0), merged / share.clamp(min=1e-12), torch.zeros_like(total))


class MergedPolicy(FrozenPolicy):
    """A running merge of an agent's past selves, in float32; the agent as it is now, until one was merged.

    The first one merged takes its place, unless it is a `member`: then it counts as the first of them.

    - "mean": of all of them; "ema": ``alpha`` of the newest. Both are exact with one stored set of tensors.
    - "ties": the running merge and the newest, weighted as in the mean, by TIES against the agent of the start, of
      which a second set is kept. Not what TIES would make of all of them at once: what was trimmed before is gone.

    Under LoRA a set has a matrix per adapted layer, larger than the adapter: a merge of adapters has no small rank.
    """

    def __init__(
        self,
        policy: Policy,
        mode: Mode = "mean",
        alpha: float = 0.5,
        density: float = 0.8,
        device: str | None = None,
        member: bool = False,
    ) -> None:
        self._mode, self._alpha, self._density = mode, alpha, density
        self._device = policy.device if device is None else torch.device(device)
        self._merged = {name: value.to(self._device) for name, value in effective(policy)}
        self._base = {name: value.clone() for name, value in self._merged.items()} if mode == "ties" else {}
        self.count = int(member)
        """How many selves have been merged; that of now among them, if it is a `member`."""

    def add(self, policy: Policy) -> None:
        """Merges the agent as it is now."""
        self.count += 1
        for name, value in effective(policy):
            self._merged[name] = self._with(name, value.to(self._device))

    def _with(self, name: str, new: Tensor) -> Tensor:
        if self.count == 1:
            return new
        old, share = self._merged[name], self._alpha if self._mode == "ema" else 1 / self.count
        if self._mode == "ties":
            base = self._base[name]
            return base + ties([old - base, new - base], [1 - share, share], self._density)
        return old + share * (new - old)

    def swapped(self, policy: Policy) -> AbstractContextManager[Policy]:
        return adapted(policy, self._merged) if adapters(policy) else replaced(policy, self._merged)

    def distance(self, policy: Policy) -> float:
        """The Euclidean distance from an agent, over all weights that learn, as they take effect."""
        squares = [float((self._merged[name].to(value) - value).square().sum()) for name, value in effective(policy)]
        return float(sum(squares) ** 0.5)

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint must hold, beside `count`."""
        sets = {"merged": self._merged, "base": self._base}
        return {f"{kind}/{name}": value for kind, found in sets.items() for name, value in found.items()}

    def restore(self, tensors: Mapping[str, Tensor], count: int) -> None:
        """Takes back what `tensors` gave; KeyError where one is missing."""
        self.count = count
        for kind, found in (("merged", self._merged), ("base", self._base)):
            for name in found:
                found[name] = tensors[f"{kind}/{name}"].to(self._device, copy=True)


def effective(policy: Policy) -> Iterator[tuple[str, Tensor]]:
    """The weights that learn, as they take effect: by name, new tensors in float32, one after another.

    Raises `PolicyError` for an adapter whose effect is more than ``scaling * B @ A`` on linear layers.
    """
    with torch.no_grad():
        if layers := adapters(policy):
            for name, (layer, key) in layers.items():
                a, b = layer.lora_A[key].weight.float(), layer.lora_B[key].weight.float()
                yield name, layer.scaling[key] * (b @ a)
        else:
            for name, parameter in policy.network.model.named_parameters():
                if parameter.requires_grad:
                    yield name, parameter.detach().to(torch.float32, copy=True)


def adapters(policy: Policy) -> dict[str, tuple[Any, str]]:
    """The LoRA layers that learn, by name, each with its adapter's key; empty where the weights themselves learn."""
    from peft.tuners.lora import LoraLayer

    model: nn.Module = policy.network.model
    found: dict[str, tuple[Any, str]] = {}
    known: set[str] = set()
    for name, module in model.named_modules():
        if isinstance(module, LoraLayer):
            for key in module.lora_A:
                pair = {f"{name}.lora_{side}.{key}.weight" for side in "AB"}
                known |= pair
                if module.lora_A[key].weight.requires_grad:
                    found[name] = (module, key)
    if known:
        _check(model, found, known)
    return found


def _check(model: nn.Module, found: Mapping[str, tuple[Any, str]], known: set[str]) -> None:
    """Refuses what would be merged wrongly, or not at all."""
    kinds = {"magnitude": "DoRA", "bias": "trained biases", "embedding": "adapted embeddings"}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and name not in known:
            what = next((words for part, words in kinds.items() if part in name), "whole modules beside LoRA")
            raise PolicyError(f"merging: the adapter trains {name}: {what} cannot be merged; use LoRA on linear layers")
    for name, (layer, key) in found.items():
        if not isinstance(layer.base_layer, nn.Linear) or layer.active_adapters != [key]:
            raise PolicyError(
                f"merging: {name} is a {type(layer.base_layer).__name__} with the adapters {layer.active_adapters}: "
                "only one active adapter on linear layers can be merged"
            )


@contextmanager
def adapted(policy: Policy, deltas: Mapping[str, Tensor]) -> Iterator[Policy]:
    """Within, adapted layers add ``x @ delta.T`` to what their frozen part says, in place of their adapters' own.

    Added to outputs, not to weights, so that the frozen weights are neither copied nor rounded.
    """
    layers = adapters(policy)
    scaling = {name: layer.scaling[key] for name, (layer, key) in layers.items()}
    handles = []
    try:
        for name, (layer, key) in layers.items():
            layer.scaling[key] = 0.0
            delta = deltas[name].to(layer.lora_A[key].weight)
            handles.append(layer.register_forward_hook(_adding(delta)))
        yield policy
    finally:
        for handle in handles:
            handle.remove()
        for name, (layer, key) in layers.items():
            layer.scaling[key] = scaling[name]


def _adding(delta: Tensor) -> Callable[..., Tensor]:
    def hook(_layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return output + F.linear(inputs[0].to(delta.dtype), delta).to(output.dtype)

    return hook

"""The policy as it once was, to measure or to limit how far it moves."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from gtr.policy.policy import Policy


class ReferencePolicy:
    """A copy, in the CPU's memory, of all weights of a policy that learn, as they are when this is made."""

    def __init__(self, policy: Policy) -> None:
        weights = policy.network.model.named_parameters()
        self._then = {name: p.detach().to("cpu", copy=True) for name, p in weights if p.requires_grad}

    @contextmanager
    def swapped(self, policy: Policy) -> Iterator[None]:
        """Within, the policy has the reference's weights."""
        weights = dict(policy.network.model.named_parameters())
        now = {name: weights[name].detach().clone() for name in self._then}
        try:
            _put(weights, self._then)
            yield
        finally:
            _put(weights, now)


def _put(weights: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    with torch.no_grad():
        for name, value in values.items():
            weights[name].copy_(value)

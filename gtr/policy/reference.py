"""The agent as it was: what its distance from now is measured against, and what it is held to."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from gtr.policy.policy import Policy
from gtr.types import Sample

BATCH = 32
"""Samples scored at a time."""


class ReferencePolicy:
    """A copy, in the CPU's memory, of all weights that learn, swapped in where the agent of then is asked."""

    def __init__(self, policy: Policy) -> None:
        weights = policy.network.model.named_parameters()
        self._then = {name: p.detach().to("cpu", copy=True) for name, p in weights if p.requires_grad}

    @contextmanager
    def swapped(self, policy: Policy) -> Iterator[None]:
        """Within, the policy is the agent as it was."""
        weights = dict(policy.network.model.named_parameters())
        now = {name: weights[name].detach().clone() for name in self._then}
        try:
            _put(weights, self._then)
            yield
        finally:
            _put(weights, now)

    def logprobs(self, policy: Policy, samples: Sequence[Sample]) -> list[tuple[float, ...]]:
        """The log-probability of each token of each sample under the agent as it was, in nats."""
        found: list[tuple[float, ...]] = []
        policy.network.eval()
        with self.swapped(policy), torch.no_grad():
            for first in range(0, len(samples), BATCH):
                part = samples[first : first + BATCH]
                scores = policy.score(
                    [sample.prompt for sample in part],
                    [sample.tokens for sample in part],
                    temperatures=[sample.temperature for sample in part],
                )
                rows = zip(scores.logprobs.tolist(), part, strict=True)
                found += [tuple(row[: len(sample.tokens)]) for row, sample in rows]
        return found


def _put(weights: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    with torch.no_grad():
        for name, value in values.items():
            weights[name].copy_(value)

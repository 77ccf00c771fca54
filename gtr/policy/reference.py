"""Other policies beside the agent that score and write as it does: the agent as it was, and other models."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gtr.policy.policy import BATCH, Policy
from gtr.types import Prompt, Reply, Sample

Likely = tuple[NDArray[np.int64], NDArray[np.float32]]
"""(L, k) the likeliest tokens at each place of a reply, and their log-probabilities (see `gtr.types.Sample.likely`)."""


class FrozenPolicy(ABC):
    """A policy that no gradient reaches."""

    most: int | None = None
    """Likeliest tokens that it can tell of at each place; None: all."""

    @abstractmethod
    def swapped(self, policy: Policy) -> AbstractContextManager[Policy]:
        """Within, what is given is the frozen policy: the agent's network under other weights, or another model."""

    def logprobs(self, policy: Policy, samples: Sequence[Sample]) -> list[tuple[float, ...]]:
        """The log-probability of each token of each sample, in nats."""
        return [row for row, _ in self.likeliest(policy, samples, 0)]

    def likeliest(
        self, policy: Policy, samples: Sequence[Sample], count: int
    ) -> list[tuple[tuple[float, ...], Likely]]:
        """As `logprobs`, and so many of the tokens that it finds likeliest at each place, beside what it then holds."""
        found: list[tuple[tuple[float, ...], Likely]] = []
        with self.swapped(policy) as frozen, torch.no_grad():
            frozen.network.eval()
            for first in range(0, len(samples), BATCH):
                part = samples[first : first + BATCH]
                scores = frozen.score(
                    [sample.prompt for sample in part],
                    [sample.tokens for sample in part],
                    temperatures=[sample.temperature for sample in part],
                    likely=count,
                )
                ids, likely = scores.likely_ids.cpu().numpy(), scores.likely.float().cpu().numpy()
                for i, (row, sample) in enumerate(zip(scores.logprobs.tolist(), part, strict=True)):
                    length = len(sample.tokens)
                    found.append((tuple(row[:length]), (ids[i, :length], likely[i, :length])))
        return found

    def replies(self, policy: Policy, prompts: Sequence[Prompt], greedy: bool = False) -> list[Reply]:
        """One reply per prompt; draws from torch's global generator unless greedy."""
        with self.swapped(policy) as frozen:
            parts = [prompts[first : first + BATCH] for first in range(0, len(prompts), BATCH)]
            return [reply for part in parts for reply in frozen.generate(part, greedy)]


class ReferencePolicy(FrozenPolicy):
    """The agent as it was: what its distance from now is measured against, and what it is held to.

    A copy, in the CPU's memory, of all weights that learn.
    """

    def __init__(self, policy: Policy) -> None:
        weights = policy.network.model.named_parameters()
        self._then = {name: p.detach().to("cpu", copy=True) for name, p in weights if p.requires_grad}

    def swapped(self, policy: Policy) -> AbstractContextManager[Policy]:
        return replaced(policy, self._then)


class OtherPolicy(FrozenPolicy):
    """A model beside the agent's, or the agent itself as it is now."""

    def __init__(self, other: Policy) -> None:
        self._other = other

    @contextmanager
    def swapped(self, policy: Policy) -> Iterator[Policy]:
        yield self._other


@contextmanager
def replaced(policy: Policy, values: Mapping[str, Tensor]) -> Iterator[Policy]:
    """Within, weights of the model have other values, by name. The agent's own are put aside, not copied."""
    weights = dict(policy.network.model.named_parameters())
    now = {name: weights[name].data for name in values}
    try:
        for name, value in values.items():
            weights[name].data = value.to(now[name])
        yield policy
    finally:
        for name, own in now.items():
            weights[name].data = own

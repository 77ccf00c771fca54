"""The learner: one optimiser loop for every algorithm. It knows samples, weights and losses, and no method.

    samples -> minibatches, beside each as many as the algorithm draws -> one forward pass -> losses -> one step

Each loss is normalised by its own count over the whole optimiser step and over all processes, so neither the split
into forward passes nor the number of processes changes the gradient.
"""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from numpy.typing import NDArray
from torch import Tensor

from gtr.algo.base import Algorithm, Term
from gtr.config import TrainConfig
from gtr.engine.correction import corrected
from gtr.errors import DivergenceError
from gtr.losses import LOSSES, Rows
from gtr.losses.fit import check_fit
from gtr.losses.ppo import explained_variance
from gtr.policy.network import Scores
from gtr.policy.policy import Policy
from gtr.policy.sharding import whole_number
from gtr.policy.tokens import stacked
from gtr.types import Sample

Order = NDArray[np.int64]


@dataclass(frozen=True)
class Learnt:
    """What one update did."""

    metrics: Mapping[str, float]
    logprobs: Sequence[Sequence[float]]
    """By sample, the log-probability of each of its tokens in the last pass over it."""


def learning_rate(train: TrainConfig, update: int) -> float:
    """Cosine from `lr` at update 0 to `lr_final`: at the last update, or after `lr_updates`, past which it rises again
    as torch's CosineAnnealingLR does (reference code)."""
    progress = min(1.0, update / max(1, train.updates - 1)) if train.lr_updates is None else update / train.lr_updates
    return train.lr_final + 0.5 * (train.lr - train.lr_final) * (1 + math.cos(math.pi * progress))


def make_optimizer(policy: Policy, train: TrainConfig) -> torch.optim.Optimizer:
    """AdamW over all trainable weights, or shares of them (Adam when weight_decay is 0, as in the reference code)."""
    # Gathered weights are copies that are thrown away: an optimiser over them would train nothing.
    policy.scatter()
    value_scale = (train.value_lr or train.lr) / train.lr
    groups = [
        {"params": [p for p in module.parameters() if p.requires_grad], "scale": scale}
        for module, scale in ((policy.network.model, 1.0), (policy.network.value_head, value_scale))
    ]
    return torch.optim.AdamW(
        groups, lr=train.lr, betas=train.adam_betas, eps=train.adam_eps, weight_decay=train.weight_decay
    )


def learn(
    samples: Sequence[Sample],
    algorithm: Algorithm,
    policy: Policy,
    optimizer: torch.optim.Optimizer,
    train: TrainConfig,
    accelerator: Accelerator,
    rng: np.random.Generator,
) -> Learnt:
    """Runs all epochs of the update that `algorithm` has made these samples for.

    Raises:
        DivergenceError: a loss or the gradient is not finite, and no step was taken with it; or the weights are not.
    """
    started = time.perf_counter()
    rate = learning_rate(train, algorithm.update)
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]
    policy.scatter()
    policy.network.learning()
    weighted, mismatch = corrected(samples, algorithm.config.engine)
    rows = _as_many_everywhere(weighted)
    learner = _Learner(rows, algorithm, policy, optimizer, train, accelerator)
    for _ in range(train.epochs):
        for chosen in _chunks(rng.permutation(len(rows)), train.minibatch * train.accumulation):
            learner.step(chosen, rng)
    policy.gather()
    if not all(bool(torch.isfinite(p).all()) for p in policy.network.parameters() if p.requires_grad):
        raise DivergenceError("weights are no longer finite after this update; lower train.lr, or raise train.adam_eps")
    metrics = {
        **learner.means(),
        **_critic(samples),
        **mismatch,
        "update/learning_rate": rate,
        "update/logprob_mismatch": learner.mismatch,
        "count/gradient_tokens": float(learner.tokens),
        "seconds/learn": time.perf_counter() - started,
    }
    return Learnt(metrics, [row.tolist() for row in learner.logprobs[: len(samples)]])


def _as_many_everywhere(samples: Sequence[Sample]) -> list[Sample]:
    """Samples filled up with rows of no weight to as many as the process with the most has: all step together."""
    most = max(gather_object([len(samples)]))
    return [*samples, *[replace(samples[0], weights={}, old=(), sampled=(), target=None)] * (most - len(samples))]


def _critic(samples: Sequence[Sample]) -> dict[str, float]:
    judged = [sample for sample in samples if sample.target is not None]
    if not judged:
        return {}
    values, targets = (torch.tensor([x for s in judged for x in _listed(getattr(s, n))]) for n in ("value", "target"))
    return {"update/explained_variance": explained_variance(values, targets)}


def _chunks(order: Order, size: int) -> Iterator[Order]:
    for start in range(0, len(order), size):
        yield order[start : start + size]


@dataclass
class _Learner:
    """What one update's optimiser steps share."""

    samples: Sequence[Sample]
    algorithm: Algorithm
    policy: Policy
    optimizer: torch.optim.Optimizer
    train: TrainConfig
    accelerator: Accelerator

    def __post_init__(self) -> None:
        self.terms = self.algorithm.losses()
        check_fit(self.samples, self.terms, LOSSES)
        self.mismatch = 0.0
        """Largest difference between sampled and scored log-probabilities before the first step, in nats."""
        self.logprobs = [torch.zeros(len(sample.tokens)) for sample in self.samples]
        self.tokens = 0
        """Reply tokens that a gradient has gone through, in all passes."""
        self._steps, self._sums = 0, dict.fromkeys((f"loss/{name}" for name in self.terms), 0.0)

    def means(self) -> dict[str, float]:
        """Every loss and its metrics, as means over the optimiser steps."""
        return {name: total / max(1, self._steps) for name, total in self._sums.items()}

    def step(self, chosen: Order, rng: np.random.Generator) -> None:
        """One optimiser step over the samples `chosen` and those drawn beside, in forward passes of `minibatch`."""
        beside = list(self.algorithm.beside(len(chosen), rng))
        norms = self._normalisers([*(self.samples[i] for i in chosen), *beside])
        if not any(norms.values()):
            return
        size = self.train.minibatch
        parts = list(_chunks(chosen, size))
        self.optimizer.zero_grad(set_to_none=True)
        rows = [[*(self.samples[i] for i in part), *beside[n * size :][: len(part)]] for n, part in enumerate(parts)]
        for i, part in enumerate(parts):
            if i + 1 < len(parts):
                self.policy.prompts.ahead([sample.prompt for sample in rows[i + 1]])
            with self._sync(i == len(parts) - 1):
                self._backward(part, rows[i], norms)
        self._descend()

    def _sync(self, last: bool) -> AbstractContextManager[None]:
        """Processes exchange gradients once per optimiser step, in its last backward pass."""
        return nullcontext() if last else self.accelerator.no_sync(self.policy.scorer)

    def _normalisers(self, samples: Sequence[Sample]) -> Mapping[str, float]:
        """Counts over the whole step, averaged over processes because their gradients are averaged too."""
        counts = [LOSSES[name].count(_weights(name, samples), **term.options) for name, term in self.terms.items()]
        together = self.accelerator.reduce(torch.tensor(counts, device=self.policy.device), reduction="mean")
        return dict(zip(self.terms, together.tolist(), strict=True))

    def _backward(self, part: Order, samples: Sequence[Sample], norms: Mapping[str, float]) -> None:
        """One forward and backward pass over some samples, the first of them the rollout's numbered in `part`."""
        scores = self.policy.score(
            [sample.prompt for sample in samples],
            [sample.tokens for sample in samples],
            self.terms["entropy"].weight > 0 if "entropy" in self.terms else False,
            [sample.temperature for sample in samples],
            self.algorithm.value_gradient,
            any("value" in sample.weights for sample in samples),
            [sample.likely[0] if sample.likely else None for sample in samples],
        )
        self.tokens += sum(len(sample.tokens) for sample in samples)
        self._note(part, scores)
        losses = {name: self._loss(name, term, samples, scores, norms[name]) for name, term in self.terms.items()}
        whole = sum(losses.values(), torch.zeros((), device=scores.logprobs.device))
        self.accelerator.backward(whole if self.accelerator.num_processes == 1 else whole + _nothing_of(scores))

    def _note(self, part: Order, scores: Scores) -> None:
        """Keeps each sample's log-probabilities and, before the first step, how far they are from the sampled ones."""
        for row, i in enumerate(part):
            sample = self.samples[i]
            now = scores.logprobs[row, : len(sample.tokens)].detach().cpu()
            self.logprobs[i] = now
            if self._steps == 0 and sample.old:
                self.mismatch = max(self.mismatch, float((now - torch.tensor(sample.old)).abs().max()))

    def _loss(self, name: str, term: Term, samples: Sequence[Sample], scores: Scores, normaliser: float) -> Tensor:
        seen = [i for i, sample in enumerate(samples) if _sees(name, sample)]
        if not seen:
            return torch.zeros((), device=scores.logprobs.device)
        loss, metrics = LOSSES[name].loss(_rows(name, samples, seen, scores), normaliser, **term.options)
        weighted = term.weight * loss
        self._check(name, weighted)
        self._add(f"loss/{name}", weighted.detach())
        for metric, value in metrics.items():
            self._add(f"update/{metric}", value)
        return weighted

    def _add(self, name: str, value: Tensor | float) -> None:
        self._sums[name] = self._sums.get(name, 0.0) + float(value)

    def _check(self, name: str, loss: Tensor) -> None:
        if not bool(torch.isfinite(loss)):
            raise DivergenceError(
                f"the {name} loss became {loss.item()} at optimiser step {self._steps} of this update; "
                "lower train.lr or train.grad_norm, or raise train.adam_eps"
            )

    def _descend(self) -> None:
        parts = [group["params"] for group in self.optimizer.param_groups]
        if self.train.clip_together:
            parts = [[parameter for part in parts for parameter in part]]
        norms = [whole_number(self.accelerator.clip_grad_norm_(part, self.train.grad_norm)) for part in parts]
        if not all(map(math.isfinite, norms)):
            raise DivergenceError(
                f"the gradient's norms became {norms} (model, value head; or one of both) at "
                f"optimiser step {self._steps} of this update though every loss was finite; lower train.lr, or set "
                "policy.dtype to float32"
            )
        self.optimizer.step()
        self._add("update/grad_norm", norms[0])
        self._steps += 1


def _nothing_of(scores: Scores) -> Tensor:
    """0, with every output behind it: DDP waits for the gradient of all, also where no loss asks for one."""
    outputs = (scores.logprobs, scores.entropy, scores.values, scores.token_values)
    return sum((0.0 * torch.nan_to_num(one).sum() for one in outputs), torch.zeros((), device=scores.logprobs.device))


def _sees(name: str, sample: Sample) -> bool:
    return sample.target is not None if name == "value" else name in sample.weights


def _weights(name: str, samples: Sequence[Sample]) -> Tensor:
    """(row, token) the weights of the samples that a loss sees."""
    rows = [sample.weights.get(name, ()) for sample in samples if _sees(name, sample)]
    return _padded(rows) if rows else torch.zeros(0, 1)


def _rows(name: str, samples: Sequence[Sample], seen: Sequence[int], scores: Scores) -> Rows:
    """What a loss sees of a forward pass: tensors of the samples `seen`, as long as the longest of them."""
    chosen = [samples[i] for i in seen]
    length = max(len(sample.tokens) for sample in chosen)
    device = scores.logprobs.device
    rows = slice(seen[0], seen[-1] + 1) if seen[-1] - seen[0] + 1 == len(seen) else torch.tensor(seen, device=device)

    def padded(values: Sequence[Sequence[float]]) -> Tensor:
        return _padded(values, length).to(device)

    def column(field: str) -> Tensor:
        """(n,) numbers of rows, or (n, L) where tokens have numbers of their own."""
        found = [getattr(sample, field) for sample in chosen]
        if any(isinstance(one, tuple) for one in found):
            sizes = [len(sample.tokens) for sample in chosen]
            return padded([one if isinstance(one, tuple) else (one,) * n for one, n in zip(found, sizes, strict=True)])
        return torch.tensor(found, dtype=torch.float32, device=device)

    teacher = stacked([sample.likely and sample.likely[1] for sample in chosen], length, np.float32)
    return Rows(
        weights=padded([sample.weights.get(name, ()) for sample in chosen]),
        new=scores.logprobs[rows, :length],
        old=padded([sample.old for sample in chosen]),
        reference=padded([sample.reference for sample in chosen]),
        entropy=scores.entropy[rows, :length],
        advantages=column("advantage"),
        values=scores.token_values[rows, :length] if "value" in chosen[0].weights else scores.values[rows],
        old_values=column("value"),
        targets=column("target") if name == "value" else torch.zeros(len(chosen), device=device),
        likely=scores.likely[rows, :length],
        teacher=torch.from_numpy(teacher).to(device),
    )


def _listed(one: float | tuple[float, ...]) -> tuple[float, ...]:
    return one if isinstance(one, tuple) else (one,)


def _padded(rows: Sequence[Sequence[float]], length: int | None = None) -> Tensor:
    longest = length or max(1, *(len(row) for row in rows))
    return torch.tensor([[*row, *[0.0] * (longest - len(row))] for row in rows], dtype=torch.float32)

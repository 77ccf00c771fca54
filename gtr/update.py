"""One update: several epochs over a rollout, PPO and thought cloning in the same optimiser step (paper section 3.3).

    rollout -> advantages -> minibatch of turns + as many lessons -> one forward pass -> losses -> one step

Each loss is normalised by its own count over the whole optimiser step and over all processes, so neither the split
into forward passes nor the number of processes changes the gradient.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from gtr.buffer import ThoughtBuffer
from gtr.config import Config
from gtr.errors import DivergenceError
from gtr.losses.cloning import cloning_loss
from gtr.losses.ppo import entropy_bonus, policy_normaliser, ppo_loss, value_loss
from gtr.losses.returns import Advantages, explained_variance, gae, normalise
from gtr.policy.policy import Policy
from gtr.policy.tokens import touching
from gtr.rollout import cut_short
from gtr.types import Ending, Lesson, Rollout, Span, Turn


@dataclass(frozen=True)
class Batch:
    """A rollout as flat tensors; row i is ``turns[i]``, tokens padded on the right."""

    turns: Sequence[Turn]
    old: Tensor
    """(n, L) log-probabilities when sampled."""
    weights: Tensor
    """(n, L) PPO weight of each token: 1 action, lambda thought, 0 elsewhere."""
    advantages: Tensor
    """(n,) normalised if the settings say so."""
    returns: Tensor
    values: Tensor


@dataclass
class _Totals:
    """Sums over the optimiser steps of an update, for the log."""

    steps: int = 0
    sums: dict[str, float] = field(default_factory=dict)

    def add(self, name: str, value: Tensor | float) -> None:
        self.sums[name] = self.sums.get(name, 0.0) + float(value)

    def means(self) -> dict[str, float]:
        return {name: value / max(1, self.steps) for name, value in self.sums.items()}


def learning_rate(config: Config, update: int) -> float:
    """Cosine from `lr` at update 0 to `lr_final` at the last one (reference code)."""
    train = config.train
    progress = update / max(1, train.updates - 1)
    return train.lr_final + 0.5 * (train.lr - train.lr_final) * (1 + math.cos(math.pi * min(1.0, progress)))


def cloning_weight(config: Config, update: int) -> float:
    """The weight of thought cloning at an update, annealed linearly to 0 if the settings say so."""
    guidance = config.guidance
    if guidance.anneal_updates:
        return guidance.weight * max(0.0, 1 - update / guidance.anneal_updates)
    return guidance.weight


def make_optimizer(policy: Policy, config: Config) -> torch.optim.Optimizer:
    """AdamW over all trainable weights (Adam when weight_decay is 0, as in the reference code)."""
    train = config.train
    value_scale = (train.value_lr or train.lr) / train.lr
    groups = [
        {"params": [p for p in module.parameters() if p.requires_grad], "scale": scale}
        for module, scale in ((policy.network.model, 1.0), (policy.network.value_head, value_scale))
    ]
    return torch.optim.AdamW(
        groups, lr=train.lr, betas=train.adam_betas, eps=train.adam_eps, weight_decay=train.weight_decay
    )


def advantages_of(rollout: Rollout, config: Config) -> Advantages:
    """GAE over the turns of a rollout, (env, time): rewards of game and judge, the format's where the settings say."""
    ppo = config.ppo
    rows = rollout.turns

    def table(values: Sequence[Sequence[float]]) -> Tensor:
        return torch.tensor(values, dtype=torch.float64)

    early = ppo.format_reward_in == "reward"
    rewards = table([[t.reward + t.judge_reward + (t.format_reward if early else 0.0) for t in row] for row in rows])
    cut = cut_short(config)
    result = gae(
        rewards,
        table([[t.reply.value for t in row] for row in rows]),
        table([[t.bootstrap for t in row] for row in rows]),
        table([[float(t.ending is not Ending.RUNNING) for t in row] for row in rows]),
        table([[float(t.ending in cut) for t in row] for row in rows]),
        ppo.gamma,
        ppo.gae_lambda,
    )
    if early:
        return result
    late = table([[t.format_reward for t in row] for row in rows])
    return Advantages(result.advantages + late, result.returns + late)


def token_weights(turn: Turn, policy: Policy, config: Config) -> list[float]:
    """PPO's weight of each reply token: 1 on the action, lambda on the thought before it.

    The sign that closes the action counts as part of it: where to stop is a choice too, and the only one in an empty
    action. A reply in which no action can be found is all thought.
    """
    ppo = config.ppo
    spans = policy.offsets(turn.reply.tokens)
    action = _action_span(turn, ppo.action_tokens)
    chosen = touching(spans, action)
    if ppo.action_tokens == "field" and action is not None:
        chosen = [hit or start >= action[0] for hit, (start, _) in zip(chosen, spans, strict=True)]
    before = len(turn.reply.text) if action is None else action[0]
    return [
        1.0 if hit else ppo.thought_weight if start < before else 0.0
        for hit, (start, _) in zip(chosen, spans, strict=True)
    ]


def _action_span(turn: Turn, what: str) -> Span | None:
    span = turn.parsed.action_span
    if span is None:
        return None
    if what == "value":
        return span[0], span[1] + 1
    return turn.reply.text.rfind('"action"', 0, span[0]), len(turn.reply.text)


def batch_of(rollout: Rollout, policy: Policy, config: Config, accelerator: Accelerator | None = None) -> Batch:
    """A rollout as flat tensors on the policy's device."""
    turns = rollout.flat()
    result = advantages_of(rollout, config)
    advantages = result.advantages.flatten()
    if config.ppo.normalise:
        everyone = advantages.float().to(policy.device)
        among = accelerator.gather(everyone) if accelerator else everyone
        advantages = normalise(advantages, among.cpu().double(), config.ppo.normalise_floor)
    device = policy.device
    return Batch(
        turns,
        _padded([t.reply.logprobs for t in turns]).to(device),
        _padded([token_weights(t, policy, config) for t in turns]).to(device),
        advantages.float().to(device),
        result.returns.flatten().float().to(device),
        torch.tensor([t.reply.value for t in turns], device=device),
    )


def _padded(rows: Sequence[Sequence[float]]) -> Tensor:
    longest = max(1, *(len(row) for row in rows))
    return torch.tensor([[*row, *[0.0] * (longest - len(row))] for row in rows])


def learn(
    rollout: Rollout,
    buffer: ThoughtBuffer,
    policy: Policy,
    optimizer: torch.optim.Optimizer,
    config: Config,
    update: int,
    accelerator: Accelerator,
    rng: np.random.Generator,
    scored: list[list[float]] | None = None,
) -> dict[str, float]:
    """Runs all epochs of one update and returns what to log.

    `scored`, if given, is filled with one row per turn of `rollout.flat()`: the log-probability of each token of its
    reply in the last pass over it.

    Raises:
        DivergenceError: a loss or the gradient is not finite, and no step was taken with it; or the weights are not.
    """
    batch = batch_of(rollout, policy, config, accelerator)
    rate = learning_rate(config, update)
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]
    policy.network.learning()
    totals = _Totals()
    learner = _Learner(batch, buffer, policy, optimizer, config, cloning_weight(config, update), accelerator, totals)
    for _ in range(config.train.epochs):
        for rows in _chunks(rng.permutation(len(batch.turns)), config.train.minibatch * config.train.accumulation):
            learner.step(rows, rng)
    if not all(bool(torch.isfinite(p).all()) for p in policy.network.parameters() if p.requires_grad):
        raise DivergenceError("weights are no longer finite after this update; lower train.lr, or raise train.adam_eps")
    if scored is not None:
        passed = zip(learner.scored.tolist(), batch.turns, strict=True)
        scored.extend(row[: len(turn.reply.tokens)] for row, turn in passed)
    return {
        **totals.means(),
        "update/learning_rate": rate,
        "update/logprob_mismatch": learner.gap,
        "update/explained_variance": explained_variance(batch.values, batch.returns),
        "update/lessons": float(len(buffer)),
    }


def _chunks(order: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for start in range(0, len(order), size):
        yield order[start : start + size]


class _Learner:
    """What one update's optimiser steps share."""

    def __init__(
        self,
        batch: Batch,
        buffer: ThoughtBuffer,
        policy: Policy,
        optimizer: torch.optim.Optimizer,
        config: Config,
        weight: float,
        accelerator: Accelerator,
        totals: _Totals,
    ) -> None:
        self.batch, self.buffer, self.policy, self.optimizer = batch, buffer, policy, optimizer
        self.config, self.weight, self.accelerator, self.totals = config, weight, accelerator, totals
        self.gap = 0.0
        """Largest difference between sampled and scored log-probabilities before the first step, in nats."""
        self.scored = batch.old.clone()
        """(n, L) log-probabilities in the latest pass over each turn."""

    def step(self, rows: np.ndarray, rng: np.random.Generator) -> None:
        """One optimiser step over the turns `rows` and as many lessons, in forward passes of `minibatch`."""
        lessons = self.buffer.sample(len(rows), rng) if self.weight > 0 else []
        norms = self._normalisers(rows, lessons)
        parts = list(_chunks(rows, self.config.train.minibatch))
        self.optimizer.zero_grad(set_to_none=True)
        for i, part in enumerate(parts):
            first = i * self.config.train.minibatch
            with self._sync(i == len(parts) - 1):
                self._backward(part, lessons[first : first + len(part)], norms)
        self._descend()

    def _sync(self, last: bool) -> AbstractContextManager[None]:
        """Processes exchange gradients once per optimiser step, in its last backward pass."""
        context: AbstractContextManager[None] = nullcontext() if last else self.accelerator.no_sync(self.policy.scorer)
        return context

    def _normalisers(self, rows: np.ndarray, lessons: Sequence[Lesson]) -> Mapping[str, float]:
        """Counts over the whole step, averaged over processes because their gradients are averaged too."""
        ppo = self.config.ppo
        weights = self.batch.weights[rows]
        counts = torch.tensor(
            [
                policy_normaliser(weights, ppo.ratio),
                float(weights.sum()),
                float(len(rows)),
                float(sum(sum(lesson.weights) for lesson in lessons)),
            ],
            device=self.policy.device,
        )
        counts = self.accelerator.reduce(counts, reduction="mean")
        return dict(zip(("policy", "tokens", "turns", "lessons"), counts.tolist(), strict=True))

    def _backward(self, part: np.ndarray, lessons: Sequence[Lesson], norms: Mapping[str, float]) -> None:
        """One forward and backward pass over some turns and some lessons together."""
        batch, ppo = self.batch, self.config.ppo
        turns = [batch.turns[i] for i in part]
        prompts = [t.prompt for t in turns] + [lesson.prompt for lesson in lessons]
        replies = [t.reply.tokens for t in turns] + [lesson.tokens for lesson in lessons]
        heat = [self.config.policy.temperature] * len(turns) + [1.0] * len(lessons)
        scores = self.policy.score(prompts, replies, ppo.entropy_weight > 0, heat, ppo.value_gradient == "flow")
        n, length = len(turns), max(len(t.reply.tokens) for t in turns)
        new, values = scores.logprobs[:n, :length], scores.values[:n]
        rows = torch.as_tensor(part, device=new.device)
        old, weights = batch.old[rows, :length], batch.weights[rows, :length]
        self.scored[rows, :length] = new.detach().to(self.scored.dtype)
        if self.totals.steps == 0:
            self.gap = max(self.gap, float((new.detach() - old).abs().max()))
        policy = ppo_loss(
            new, old, weights, batch.advantages[rows], clip=ppo.clip, ratio=ppo.ratio, normaliser=norms["policy"]
        )
        value = value_loss(
            values, batch.values[rows], batch.returns[rows], clip=ppo.value_clip, normaliser=norms["turns"]
        )
        entropy = entropy_bonus(scores.entropy[:n, :length], weights, normaliser=norms["tokens"])
        cloning = self._cloning(scores.logprobs[n:], lessons, norms["lessons"])
        terms = {
            "policy": ppo.policy_weight * policy.loss,
            "value": ppo.value_weight * value.loss,
            "entropy": -ppo.entropy_weight * entropy,
            "cloning": self.weight * cloning,
        }
        self._check(terms)
        self.accelerator.backward(sum(terms.values(), torch.zeros((), device=new.device)))
        for name, term in terms.items():
            self.totals.add(f"loss/{name}", term.detach())
        self.totals.add("update/clip_frac", policy.clip_share)
        self.totals.add("update/kl", policy.kl_k3)

    def _cloning(self, logprobs: Tensor, lessons: Sequence[Lesson], normaliser: float) -> Tensor:
        if not lessons:
            return torch.zeros((), device=logprobs.device)
        weights = _padded([lesson.weights for lesson in lessons]).to(logprobs.device)
        return cloning_loss(logprobs[:, : weights.shape[1]], weights, normaliser=normaliser)

    def _check(self, terms: Mapping[str, Tensor]) -> None:
        for name, term in terms.items():
            if not bool(torch.isfinite(term)):
                raise DivergenceError(
                    f"the {name} loss became {term.item()} at optimiser step {self.totals.steps} of this update; "
                    "lower train.lr or train.grad_norm, or raise train.adam_eps"
                )

    def _descend(self) -> None:
        # Clipped apart: the critic's gradient is often the larger by far and would scale the policy's away.
        norms = [
            self.accelerator.clip_grad_norm_(group["params"], self.config.train.grad_norm)
            for group in self.optimizer.param_groups
        ]
        norm = torch.as_tensor(norms[0])
        if not all(bool(torch.isfinite(torch.as_tensor(n))) for n in norms):
            raise DivergenceError(
                f"the gradient's norms became {[float(n) for n in norms]} (model, value head) at optimiser step "
                f"{self.totals.steps} of this update though every loss was finite; lower train.lr, or set "
                "policy.dtype to float32"
            )
        self.optimizer.step()
        self.totals.add("update/grad_norm", norm)
        self.totals.steps += 1

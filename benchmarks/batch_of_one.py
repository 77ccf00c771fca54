"""gtr beside a loop of one environment that works as GTR's public code does, on the same agent and turns.

That loop generates for one prompt, then makes a second forward pass over the reply for its log-probabilities and value;
it learns from one turn per forward pass, and from a lesson in another. What both sides need is billed to both: one
bootstrap pass at the end of a rollout of equal length, and no padding beyond a pass's own longest row.
"""

import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace

import numpy as np
import torch
from accelerate import Accelerator

from gtr import tasks
from gtr.algo.ppo import PPO
from gtr.config import Config
from gtr.guidance import make_corrector
from gtr.learner import learn, make_optimizer
from gtr.losses.cloning import cloning_loss
from gtr.losses.ppo import ppo_loss, value_loss
from gtr.policy.policy import Policy
from gtr.rollout import Collector
from gtr.types import Rollout, Sample

TIMED = 48
"""Turns that the loop's updates are timed on."""


def collector(config: Config, policy: Policy, envs: int) -> Collector:
    config = replace(config, train=replace(config.train, envs=envs))
    task = tasks.load(config.task)
    return Collector(task, policy, make_corrector(config, task), config)


def timed_rollout(ready: Collector) -> tuple[float, Rollout]:
    """Processor seconds per turn of the next rollout, and the rollout."""
    started = time.process_time()
    rollout = ready.collect()
    return (time.process_time() - started) / len(rollout.flat()), rollout


def loop_rollout(ready: Collector) -> float:
    """Processor seconds per turn of one environment, with the second pass over each reply."""
    started = time.process_time()
    turns = ready.collect().flat()
    for turn in turns:
        with torch.no_grad():
            ready.policy.score([turn.prompt], [turn.reply.tokens])
    return (time.process_time() - started) / len(turns)


def timed_update(policy: Policy, algorithm: PPO, samples: Sequence[Sample], config: Config) -> float:
    """Processor seconds per turn of one epoch of `learn`, a lesson beside each turn."""
    policy = deepcopy(policy)
    train, optimizer = replace(config.train, epochs=1), make_optimizer(policy, config.train)
    started = time.process_time()
    learn(samples, algorithm, policy, optimizer, train, Accelerator(), np.random.default_rng(0))
    return (time.process_time() - started) / len(samples)


def loop_update(policy: Policy, samples: Sequence[Sample], lessons: Sequence[Sample], config: Config) -> float:
    """Processor seconds per turn with one turn per forward pass and another pass for its lesson."""
    policy = deepcopy(policy)
    optimizer = make_optimizer(policy, config.train)
    policy.network.learning()
    started = time.process_time()
    for i in range(TIMED):
        loss = _turn_loss(policy, samples[i]) + _lesson_loss(policy, lessons[i % len(lessons)])
        loss.backward()
    optimizer.step()
    return (time.process_time() - started) / TIMED


def _turn_loss(policy: Policy, turn: Sample) -> torch.Tensor:
    scores = policy.score([turn.prompt], [turn.tokens])
    advantage, value, target = (torch.tensor([one]).float() for one in (turn.advantage, turn.value, turn.target))
    old, weights = torch.tensor([turn.old]), torch.tensor([turn.weights["policy"]])
    chosen = {"clip": 0.1, "normaliser": TIMED}
    loss = ppo_loss(scores.logprobs, old, weights, advantage, ratio="turn", **chosen).loss
    return loss + value_loss(scores.values, value, target, **chosen).loss


def _lesson_loss(policy: Policy, lesson: Sample) -> torch.Tensor:
    weights = lesson.weights["cloning"]
    logprobs = policy.score([lesson.prompt], [lesson.tokens]).logprobs
    return cloning_loss(logprobs, torch.tensor([weights]), normaliser=TIMED * sum(weights))

"""A task's own expert on its way through an episode: where demonstrations and known thoughts come from."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from gtr.tasks.steps import picture, reset, step
from gtr.tasks.task import Task
from gtr.types import Expert, Observation, Truth


@dataclass(frozen=True)
class ExpertState:
    """One state that the expert passes through, and what it thinks there."""

    observation: Observation
    truth: Truth
    expert: Expert


def expert_episode(task: Task, env: gymnasium.Env[Any, Any], rng: np.random.Generator) -> Iterator[ExpertState]:
    """The states of one episode that the expert plays to its end, or until nothing helps any more.

    `rng` draws the start state, and nothing else. Empty where the task has no expert, or the start is unsolvable.
    """
    image, info = reset(env, task.reset_arguments(rng))
    target: str | None = None
    for _ in range(task.max_turns):
        observation, truth = task.observe(picture(image), info), task.truth(info)
        expert = task.expert(truth, target)
        if expert is None:
            return
        yield ExpertState(observation, truth, expert)
        target = expert.target
        image, _, terminated, truncated, info = step(env, task.to_env(expert.action, observation))
        if terminated or truncated:
            return

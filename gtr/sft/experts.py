"""What there is to learn from: states of expert episodes, their replies, and what their pictures show."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gtr.errors import TaskError
from gtr.tasks.expert import ExpertState, expert_episode
from gtr.tasks.steps import reset
from gtr.tasks.task import Task
from gtr.types import Exchange, Prompt, Truth

ALIKE = 64
"""Start states after which their pictures are taken to show the same."""


@dataclass(frozen=True)
class Example:
    """One state that the expert passed through."""

    prompt: Prompt
    truth: Truth
    reply: str
    reading: str
    """The reply up to the end of what it says it sees; empty for tasks that do not say."""


def expert_examples(task: Task, episodes: int, rng: np.random.Generator) -> list[Example]:
    """States of expert episodes with the expert's replies; unsolvable starts are passed over."""
    env = task.make_env()
    examples = [one for _ in range(episodes) for one in _episode(task, expert_episode(task, env, rng))]
    env.close()
    if not examples:
        raise TaskError(
            f"task '{task.name}' has no expert to learn from: define Task.expert, or add --sft.enabled False"
        )
    return examples


def _episode(task: Task, states: Iterator[ExpertState]) -> Iterator[Example]:
    past: deque[Exchange] = deque(maxlen=task.config.history_turns)
    for state in states:
        prompt = Prompt(state.observation.image, task.prompt(state.observation), tuple(past))
        reply = task.write(state.expert.thought, state.expert.action)
        yield Example(prompt, state.truth, reply, _reading_part(task, state.expert.thought))
        past.append(Exchange(prompt.image, prompt.text, reply))


def _reading_part(task: Task, thought: Any) -> str:
    """The reply's beginning, up to the end of the keys that say what is seen."""
    seen = {key: thought[key] for key in task.reading_keys if key in thought}
    return task.reply_format.begin(seen) if seen else ""


def readings(task: Task, count: int, rng: np.random.Generator) -> tuple[list[Prompt], Tensor]:
    """Pictures of start states and what they show; of expert episodes where all starts show the same."""
    env = task.make_env()
    prompts, labels = [], []
    for _ in range(count):
        image, info = reset(env, task.reset_arguments(rng))
        prompts.append(Prompt(np.asarray(image), ""))
        labels.append(task.visual_labels(task.truth(info)))
        if len(labels) == ALIKE and len(set(labels)) == 1:
            break
    env.close()
    if len(set(labels)) == 1:
        examples = expert_examples(task, max(1, count // 10), rng)
        chosen = [examples[i] for i in rng.permutation(len(examples))[:count]]
        prompts = [Prompt(example.prompt.image, "") for example in chosen]
        labels = [task.visual_labels(example.truth) for example in chosen]
    return prompts, torch.tensor(labels)

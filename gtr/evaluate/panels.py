"""Fixed lists of start states."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gtr import tasks
from gtr.config import TaskConfig
from gtr.tasks.steps import reset

Split = str
"""One of the task's own (`Task.splits`)."""
PANEL_SEED = 20_250_308
"""Added to a panel's seed, so that no panel repeats the start states that a run of the same seed trains on."""


@dataclass(frozen=True)
class Panel:
    """A fixed list of start states of one task and split, under one set of rules.

    Example name: ``points24-same-100-3f9a1c``, the last part a hash of the start states and pictures themselves and of
    the rules: how illegal replies are met, how long a game may last and whatever else `Task.rules` names.
    """

    name: str
    task: TaskConfig
    split: Split
    starts: Sequence[Mapping[str, Any]]
    """Arguments of `env.reset`, one per episode."""


def make_panel(task_config: TaskConfig, split: Split, episodes: int, seed: int) -> Panel:
    """A panel that the same arguments always give again.

    However an agent was trained, it is measured by the same rules (`Task.strict`): a reply that is not a legal action
    is penalised and changes nothing, and what a game accepts by accident it does not accept here.
    """
    strict = tasks.load(task_config).strict()
    config = tasks.load(strict).for_split(split)
    task = tasks.load(config)
    rng = np.random.default_rng([PANEL_SEED, seed])
    starts = [task.reset_arguments(rng) for _ in range(episodes)]
    digest = hashlib.sha256(json.dumps(task.rules(), sort_keys=True, default=str).encode())
    env = task.make_env()
    for start in starts:
        image, info = reset(env, start)
        digest.update(np.asarray(image).tobytes() + task.state_key(task.truth(info)).encode())
    env.close()
    return Panel(f"{task.name}-{split}-{episodes}-{digest.hexdigest()[:6]}", config, split, starts)

"""Fixed lists of start states."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gtr import tasks
from gtr.config import TaskConfig

Split = str
"""One of the task's own (`Task.splits`)."""
PANEL_SEED = 20_250_308
"""Added to a panel's seed, so that no panel repeats the start states that a run of the same seed trains on."""


@dataclass(frozen=True)
class Panel:
    """A fixed list of start states of one task and split.

    Example name: ``points24-same-100-3f9a1c``, the last part a hash of the start states and pictures themselves.
    """

    name: str
    task: TaskConfig
    split: Split
    starts: Sequence[Mapping[str, Any]]
    """Arguments of `env.reset`, one per episode."""


def make_panel(task_config: TaskConfig, split: Split, episodes: int, seed: int) -> Panel:
    """A panel that the same arguments always give again."""
    config = tasks.load(task_config).for_split(split)
    task = tasks.load(config)
    rng = np.random.default_rng([PANEL_SEED, seed])
    starts = [task.reset_arguments(rng) for _ in range(episodes)]
    env = task.make_env()
    digest = hashlib.sha256(task.name.encode())
    for start in starts:
        image, info = env.reset(**start)
        digest.update(np.asarray(image).tobytes() + task.state_key(task.truth(info)).encode())
    env.close()
    return Panel(f"{task.name}-{split}-{episodes}-{digest.hexdigest()[:6]}", config, split, starts)

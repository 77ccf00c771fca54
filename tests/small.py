"""What test files share beside fixtures: settings with a few replaced, pictures of noise, a critic with opinions."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from gtr.config import Config
from gtr.policy.policy import Policy

IMAGE_SIZE = 96


def changed(config: Config, **settings: Any) -> Config:
    """A config with dotted settings replaced: ``changed(config, **{"train.lr": 1e-3})``."""
    for key, value in settings.items():
        room, dot, name = key.rpartition(".")
        if dot:
            config = replace(config, **{room: replace(getattr(config, room), **{name: value})})
        else:
            config = replace(config, **{name: value})
    return config


def draw_pictures() -> list[np.ndarray]:
    """Eight pictures of noise, always the same."""
    rng = np.random.default_rng(3)
    return [rng.integers(0, 256, (IMAGE_SIZE, IMAGE_SIZE, 3), dtype=np.uint8) for _ in range(8)]


def opinionated_head(policy: Policy) -> Policy:
    """Gives a new critic, which would say 0 to everything, random weights."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in policy.network.value_head.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return policy

"""What a game brings to the presets: how it was trained in the paper, and what a tiny agent needs on it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from gtr.config.guidance import Stop


@dataclass(frozen=True)
class Published:
    """What the paper's code sets for a game, and what of it suits a game that it does not have."""

    turns_per_update: int = 1024
    """Turns of one rollout."""
    updates: int = 15
    """Rollouts: as many as hold all of `steps`."""
    steps: int = 15_000
    """Environment steps of the code's run, whose last, begun rollout it never plays."""
    thought_weight: float = 0.5
    """RL4VLM's lambda: weight of the thought's log-prob in the ratio."""
    stop_early: bool = True
    """Whether the corrector ends episodes; a game that cuts them itself says no."""
    stop_on: tuple[Stop, ...] = ("unsolvable", "loss")
    """What ends its episodes there (see `guidance.stop_on`)."""
    truncated_is: Literal["termination", "truncation"] = "termination"
    """How its GAE sees a time limit."""
    reference: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the game under which it plays as the code's does, its slips included."""


@dataclass(frozen=True)
class Tiny:
    """What a tiny agent needs to start where the paper's agent starts, and to be trained in minutes."""

    sft_target: float | None = None
    """Success at which SFT stops; None as in `sft.target`."""
    reading: float = 0.98
    """Share of pictures read exactly before whole replies are taught."""
    check_episodes: int = 128
    updates: int = 30
    temperature: float = 0.6
    lr: float = 2e-4
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the game."""

"""GSPO (arXiv 2507.18071): GRPO with one ratio per reply, the geometric mean of its tokens', clipped narrowly."""

from dataclasses import dataclass
from typing import Literal

from gtr.algo.grpo import GRPO, GRPOSettings
from gtr.config.section import Clip


@dataclass(frozen=True)
class GSPOSettings(GRPOSettings):
    """GSPO's."""

    ratio: Literal["turn", "token", "turn_mean"] = "turn_mean"
    """One importance ratio per turn, the geometric mean of its tokens'."""
    clip: Clip = 0.0003
    """Clip range of the ratio below 1."""
    clip_high: Clip | None = 0.0004
    """Clip range of the ratio above 1."""


class GSPO(GRPO):
    """Group-relative advantages, weighed by the whole reply."""

    Settings = GSPOSettings

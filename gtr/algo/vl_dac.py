"""VL-DAC (arXiv 2508.04280): PPO per token of the whole reply, with a critic over turns that leaves the model alone."""

from dataclasses import dataclass
from typing import Literal

from gtr.algo.ppo import PPO
from gtr.config import PPOConfig


@dataclass(frozen=True)
class VLDACSettings(PPOConfig):
    """VL-DAC's, as its code has them."""

    thought_weight: float = 1.0
    """Weight of the thought's tokens beside the action's: no lambda at all."""
    action_tokens: Literal["value", "field"] = "field"
    """What counts as the action."""
    ratio: Literal["turn", "token", "turn_mean"] = "token"
    """One importance ratio per token, each with its turn's advantage."""
    ratio_cap: float | None = 10.0
    """Ratio above which the clipped one is taken."""
    value_gradient: Literal["flow", "stop"] = "stop"
    """The critic's loss stops at its head."""
    kl_weight: float = 0.04
    """Weight of the KL divergence to the starting agent."""
    value_updates: int = 2
    """Updates at the start in which the critic alone is trained."""


class VLDAC(PPO):
    """Decoupled: tokens for the policy, turns for the critic."""

    Settings = VLDACSettings

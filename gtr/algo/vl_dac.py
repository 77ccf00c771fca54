"""VL-DAC (arXiv 2508.04280): PPO per token of the whole reply, with a critic over turns that leaves the model alone."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Le

from gtr.algo.ppo import PPO, PPOSettings
from gtr.config.section import Share, Weight


@dataclass(frozen=True)
class VLDACSettings(PPOSettings):
    """VL-DAC's, as its code has them."""

    thought_weight: Share = 1.0
    """Weight of the thought's tokens beside the action's: no lambda at all."""
    action_tokens: Literal["value", "field"] = "field"
    """What counts as the action."""
    ratio: Literal["turn", "token", "turn_mean"] = "token"
    """One importance ratio per token, each with its turn's advantage."""
    ratio_cap: Annotated[float, Ge(1), Le(1e6)] | None = 10.0
    """Ratio above which the clipped one is taken."""
    value_gradient: Literal["flow", "stop"] = "stop"
    """The critic's loss stops at its head."""
    kl_weight: Weight = 0.04
    """Weight of the KL divergence to the starting agent."""
    value_updates: Annotated[int, Ge(0), Le(10_000_000)] = 2
    """Updates at the start in which the critic alone is trained."""


class VLDAC(PPO):
    """Decoupled: tokens for the policy, turns for the critic."""

    Settings = VLDACSettings

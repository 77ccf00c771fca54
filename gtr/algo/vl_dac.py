"""VL-DAC (arXiv 2508.04280): PPO per token of the whole reply, with a critic over turns that leaves the model alone."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Le

from gtr.algo.policy_gradient import WholeReplySettings
from gtr.algo.ppo import PPO, PPOSettings
from gtr.config.section import Weight


@dataclass(frozen=True)
class VLDACSettings(WholeReplySettings, PPOSettings):
    """VL-DAC's, as its code has them."""

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

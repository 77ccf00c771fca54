"""RL4VLM (arXiv 2405.10292): PPO on the whole reply, the thought at a weight of lambda; the outcome alone teaches."""

from dataclasses import dataclass
from typing import Literal

from gtr.algo.ppo import PPO, PPOSettings
from gtr.config.section import Share


@dataclass(frozen=True)
class RL4VLMSettings(PPOSettings):
    """RL4VLM's."""

    thought_weight: Share = 0.5
    """lambda: weight of the thought's log-prob in the ratio (0.5 on cards, 0.2 on household tasks)."""
    action_tokens: Literal["value", "field"] = "field"
    """What counts as the action: its value alone, or everything from its key to the end of the reply."""


class RL4VLM(PPO):
    """PPO on thought and action."""

    Settings = RL4VLMSettings

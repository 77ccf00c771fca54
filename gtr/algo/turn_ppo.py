"""Turn-PPO (arXiv 2512.17008): PPO whose steps are turns, on the whole reply, with a long horizon."""

from dataclasses import dataclass
from typing import Literal

from gtr.algo.ppo import PPO
from gtr.config import PPOConfig


@dataclass(frozen=True)
class TurnPPOSettings(PPOConfig):
    """Turn-PPO's. Its critic learns faster than its actor: set train.value_lr above train.lr."""

    thought_weight: float = 1.0
    """Weight of the thought's tokens beside the action's: the whole reply is the action."""
    action_tokens: Literal["value", "field"] = "field"
    """What counts as the action."""
    ratio: Literal["turn", "token", "turn_mean"] = "token"
    """One importance ratio per token, each with its turn's advantage."""
    clip: float = 0.2
    """Clip range of the importance ratio."""
    gamma: float = 0.99
    """Discount per turn."""
    gae_lambda: float = 0.9
    """Lambda of generalised advantage estimation."""


class TurnPPO(PPO):
    """PPO in the Markov decision process of turns."""

    Settings = TurnPPOSettings

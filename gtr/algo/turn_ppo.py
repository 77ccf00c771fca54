"""Turn-PPO (arXiv 2512.17008): PPO whose steps are turns, on the whole reply, with a long horizon."""

from dataclasses import dataclass

from gtr.algo.policy_gradient import WholeReplySettings
from gtr.algo.ppo import PPO, PPOSettings
from gtr.config.section import Clip, Share


@dataclass(frozen=True)
class TurnPPOSettings(WholeReplySettings, PPOSettings):
    """Turn-PPO's. Its critic learns faster than its actor: set train.value_lr above train.lr."""

    clip: Clip = 0.2
    """Clip range of the importance ratio."""
    gamma: Share = 0.99
    """Discount per turn."""
    gae_lambda: Share = 0.9
    """Lambda of generalised advantage estimation."""


class TurnPPO(PPO):
    """PPO in the Markov decision process of turns."""

    Settings = TurnPPOSettings

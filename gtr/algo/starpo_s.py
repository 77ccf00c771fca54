"""StarPO-S (arXiv 2504.20073): PPO on the start states whose outcome is most uncertain, clipped higher above 1."""

from dataclasses import dataclass, replace
from typing import Literal

from gtr.algo.filters import most_signal, most_uncertain, only, unbroken
from gtr.algo.policy_gradient import WholeReplySettings
from gtr.algo.ppo import PPO, PPOSettings
from gtr.config.section import Clip, Group, Share, Weight
from gtr.types import Rollout, RolloutSpec


@dataclass(frozen=True)
class StarPOSSettings(WholeReplySettings, PPOSettings):
    """StarPO-S's, as RAGEN's code has them."""

    clip: Clip = 0.2
    """Clip range of the importance ratio below 1."""
    clip_high: Clip | None = 0.28
    """Clip range of the importance ratio above 1."""
    entropy_weight: Weight = 0.001
    """Weight of the entropy bonus."""
    gamma: Share = 1.0
    """Discount per turn."""
    gae_lambda: Share = 1.0
    """Lambda of generalised advantage estimation."""
    group: Group = 8
    """Environments dealt the same start state (RAGEN: 16)."""
    filter: Literal["uncertain", "signal"] = "uncertain"
    """Keep a share of the start states (StarPO-S), or those that hold a share of all deviation (RAGEN-2)."""
    kept: Share = 0.25
    """That share (StarPO-S: 0.25; RAGEN-2: 0.9)."""


class StarPOS(PPO):
    """PPO with a critic on the groups that the filter keeps."""

    Settings = StarPOSSettings
    settings: StarPOSSettings

    @property
    def rollout(self) -> RolloutSpec:
        return replace(super().rollout, episodes=True, group=self.settings.group)

    def chosen(self, rollout: Rollout) -> Rollout:
        rollout = unbroken(rollout)
        keep = most_uncertain if self.settings.filter == "uncertain" else most_signal
        return only(rollout, keep(self.returns(rollout.trajectories), self.settings.kept))

"""REINFORCE++ (arXiv 2501.03262): no critic and no groups; returns whitened over all tokens of the batch."""

from dataclasses import dataclass

import numpy as np

from gtr.algo.credit import PerTurn, grouped, whiten
from gtr.algo.groups import EpisodeGroups, GroupSettings
from gtr.config.section import Group
from gtr.types import Rollout


@dataclass(frozen=True)
class ReinforcePPSettings(GroupSettings):
    """REINFORCE++'s."""

    group: Group = 1
    """Environments dealt the same start state; above 1 the group's mean return is subtracted before whitening (the
    baseline variant)."""


class ReinforcePP(EpisodeGroups):
    """Every token of an episode shares its return, whitened over the tokens of all processes."""

    Settings = ReinforcePPSettings
    settings: ReinforcePPSettings

    def advantages(self, rollout: Rollout) -> list[PerTurn]:
        trajectories = rollout.trajectories
        returns = np.array([self.rewards(trajectory).sum() for trajectory in trajectories])
        if self.settings.group > 1:
            returns = grouped(returns, [trajectory.group for trajectory in trajectories], "mean", "none")
        tokens = [float(sum(len(turn.reply.tokens) for turn in one.turns)) for one in trajectories]
        found = whiten(returns, self.everyone(returns.tolist()), self.everyone(tokens))
        return [np.full(len(one.turns), score) for one, score in zip(trajectories, found, strict=True)]

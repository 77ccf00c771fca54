"""An algorithm of one's own: GRPO that compares an episode with the best of its group instead of the mean.

    gtr train --algo examples/own_algorithm.py:BestOfGroup --task ezpoints --algo.margin 0.5

Everything else is GRPO's: episodes in groups of one start state, the clipped loss, the flags --algo.*. An algorithm
that shares nothing with it derives from `gtr.algo.base.Algorithm` and makes its own samples.
"""

from dataclasses import dataclass

import numpy as np

from gtr.algo.credit import PerTurn
from gtr.algo.grpo import GRPO, GRPOSettings
from gtr.config.section import Weight
from gtr.types import Rollout


@dataclass(frozen=True)
class BestOfGroupSettings(GRPOSettings):
    """Its flags, in `gtr train --algo ... --help`."""

    margin: Weight = 0.0
    """How much worse than the group's best an episode may be and still be encouraged, in the unit of the reward."""


class BestOfGroup(GRPO):
    """An episode's advantage is its return less the group's best, plus the margin."""

    Settings = BestOfGroupSettings
    settings: BestOfGroupSettings

    def advantages(self, rollout: Rollout) -> list[PerTurn]:
        best = {group: max(returns) for group, returns in self.returns(rollout.trajectories).items()}
        lead = [self.rewards(one).sum() - best[one.group] + self.settings.margin for one in rollout.trajectories]
        return [np.full(len(one.turns), score) for one, score in zip(rollout.trajectories, lead, strict=True)]

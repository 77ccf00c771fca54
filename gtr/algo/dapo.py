"""DAPO (arXiv 2503.14476): GRPO that clips higher above 1, leaves groups of equal returns out and plays on for others,
averages over tokens, and marks down replies that grow too long."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from annotated_types import Ge, Le

from gtr.algo.credit import PerTurn
from gtr.algo.filters import informative, only
from gtr.algo.grpo import GRPO, GRPOSettings
from gtr.config.section import Clip, Share
from gtr.types import Rollout, RolloutSpec, Trajectory


@dataclass(frozen=True)
class DAPOSettings(GRPOSettings):
    """DAPO's."""

    clip_high: Clip | None = 0.28
    """Clip range of the importance ratio above 1."""
    most_rollouts: Annotated[int, Ge(1), Le(10_000)] = 10
    """Rollouts' worth of turns after which an update learns from what it has (verl-agent: 10)."""
    overlong_tokens: Share = 0.2
    """Share of policy.max_new_tokens at a reply's end over which its reward falls linearly by 1 (the paper's soft
    punishment: 4,096 of 20,480 tokens); 0 turns it off."""


class DAPO(GRPO):
    """GRPO on groups that say something."""

    Settings = DAPOSettings
    settings: DAPOSettings

    @property
    def rollout(self) -> RolloutSpec:
        return replace(super().rollout, keep=self._informative, most=self.settings.most_rollouts)

    def _informative(self, trajectories: Sequence[Trajectory]) -> Sequence[Trajectory]:
        return self.chosen(Rollout(trajectories)).trajectories

    def chosen(self, rollout: Rollout) -> Rollout:
        whole = super().chosen(rollout)
        return only(whole, informative(self.returns(whole.trajectories)))

    def rewards(self, trajectory: Trajectory) -> PerTurn:
        limit = self.config.policy.max_new_tokens
        buffer = self.settings.overlong_tokens * limit
        lengths = np.array([len(turn.reply.tokens) for turn in trajectory.turns], dtype=np.float64)
        over = np.clip((lengths - (limit - buffer)) / buffer, 0.0, 1.0) if buffer else np.zeros(len(lengths))
        return super().rewards(trajectory) - over

"""Turbo-KL (GTR-Turbo, arXiv 2512.13043): a turn's reward falls as its thought leaves the teacher.

The teacher is the agent's own past, merged; no corrector is asked. The paper's form is one scalar a turn, the mean over
the thought's tokens of what is positive of ``log p - log p_teacher``, taken off the reward before GAE, so that it also
reaches the turns before. The author's later port takes the difference, unclipped, off each token's advantage instead
(`per_token`).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from gtr.algo.credit import PerTurn
from gtr.algo.divergence import Divergence
from gtr.algo.scored import ScoredPPO, ScoredSettings
from gtr.config.section import Share
from gtr.types import Rollout, Sample, Trajectory, Turn


@dataclass(frozen=True)
class TurboKLSettings(ScoredSettings):
    """Turbo-KL's."""

    thought_weight: Share = 0.5
    """lambda: weight of the thought's log-prob in the ratio (0.5 on cards, 0.2 on household tasks)."""
    action_tokens: Literal["value", "field"] = "field"
    """What counts as the action: its value alone, or everything from its key to the end of the reply."""
    divergence: Divergence = "clipped"
    """Estimate of the divergence from the teacher: clipped at 0 (paper), k1 (not clipped), abs, k3, or forward."""
    per_token: bool = False
    """Take the divergence off each token's normalised advantage, not off the turn's reward; with ratio token."""


class TurboKL(ScoredPPO):
    """PPO on thought and action, held to the teacher."""

    Settings = TurboKLSettings
    settings: TurboKLSettings

    def rewards(self, trajectory: Trajectory) -> PerTurn:
        rewards = super().rewards(trajectory)
        if self.settings.per_token:
            return rewards
        return rewards - self.settings.beta * np.array([self.cost(turn) for turn in trajectory.turns])

    def cost(self, turn: Turn) -> float:
        """The mean divergence over the tokens that the teacher scores; 0 where there are none."""
        counted = self.apart(turn, self.settings.divergence)[self.scored(turn)]
        return float(counted.mean()) if len(counted) else 0.0

    def made(self, rollout: Rollout) -> list[Sample]:
        made, settings = super().made(rollout), self.settings
        if not settings.per_token:
            return made
        return self.drawn(made, rollout, lambda turn: -settings.beta * self.apart(turn, settings.divergence))

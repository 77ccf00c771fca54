"""Turbo-KL (GTR-Turbo, arXiv 2512.13043): a turn's reward falls as its thought leaves the teacher.

The teacher is the agent's own past, merged; no corrector is asked. The paper's form is one scalar a turn, the mean over
the thought's tokens of what is positive of ``log p - log p_teacher``, taken off the reward before GAE, so that it also
reaches the turns before. The author's later port takes the difference, unclipped, off each token's advantage instead
(`per_token`).
"""

from dataclasses import dataclass

import numpy as np

from gtr.algo.credit import PerTurn
from gtr.algo.divergence import Divergence
from gtr.algo.rl4vlm import RL4VLMSettings
from gtr.algo.scored import ScoredPPO, ScoredSettings
from gtr.types import Rollout, Sample, Trajectory, Turn


@dataclass(frozen=True)
class TurboKLSettings(RL4VLMSettings, ScoredSettings):
    """Turbo-KL's; the policy loss sees what RL4VLM's does."""

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
        counted = self.counted(turn, self.settings.divergence)
        return float(counted.mean()) if len(counted) else 0.0

    def made(self, rollout: Rollout) -> list[Sample]:
        made, settings = super().made(rollout), self.settings
        if not settings.per_token:
            return made
        return self.drawn(made, rollout, lambda turn: -settings.beta * self.apart(turn, settings.divergence))

"""GRPO (arXiv 2402.03300): episodes of one start state are compared with one another; no critic.

With other settings also Dr.GRPO (`scale none`), OPO (`baseline length`), MaxRL (`scale mean`), GRPO pass@k (`baseline
second_best`), and the turn-level form of verl-agent (`moments turns`).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from gtr.algo.credit import Baseline, PerTurn, Scale, grouped, returns_to_go
from gtr.algo.policy_gradient import PolicyGradient
from gtr.config import PolicySettings
from gtr.types import Rollout, RolloutSpec, Trajectory


@dataclass(frozen=True)
class GroupSettings(PolicySettings):
    """Of algorithms that compare episodes dealt the same start state."""

    thought_weight: float = 1.0
    """Weight of the thought's tokens beside the action's: the whole reply is the action."""
    action_tokens: Literal["value", "field"] = "field"
    """What counts as the action: its value alone, or everything from its key to the end of the reply."""
    ratio: Literal["turn", "token", "turn_mean"] = "token"
    """One importance ratio per turn, per token (GRPO), or per turn the geometric mean of its tokens' (GSPO)."""
    clip: float = 0.2
    """Clip range of the importance ratio (GRPO: 0.2)."""
    group: int = 8
    """Environments dealt the same start state (GiGPO: 8); train.envs must be a multiple of it."""


@dataclass(frozen=True)
class GRPOSettings(GroupSettings):
    """GRPO's."""

    level: Literal["trajectory", "turn"] = "trajectory"
    """Compare whole episodes, or what each turn and those after it earned with the group's turns of the same number."""
    gamma: float = 1.0
    """Discount per turn of what is earned later (turn level only)."""
    moments: Literal["trajectories", "turns"] = "trajectories"
    """Mean and deviation over a group's episodes, or over all its turns, so that long episodes weigh more
    (verl-agent)."""
    baseline: Baseline = "mean"
    """What is subtracted: the group's mean, the mean of the others (RLOO), weighted by length (OPO), or only the best
    episode moves, by its lead (pass@k)."""
    scale: Scale = "std"
    """What is divided by: the group's deviation (GRPO), its mean (MaxRL), or nothing (Dr.GRPO)."""
    eps: float = 1e-6
    """Added to the deviation (verl: 1e-6, TRL: 1e-4)."""


class GRPO(PolicyGradient):
    """Group-relative advantages of whole episodes."""

    Settings = GRPOSettings
    settings: GRPOSettings

    @property
    def rollout(self) -> RolloutSpec:
        return RolloutSpec(critic=False, episodes=True, group=self.settings.group)

    def advantages(self, rollout: Rollout) -> list[PerTurn]:
        settings, trajectories = self.settings, rollout.trajectories
        by_turn = settings.level == "turn" or settings.moments == "turns"
        scores = [self._scores(trajectory) for trajectory in trajectories]
        rows = np.concatenate(scores) if by_turn else np.array([one[0] for one in scores])
        groups = [
            (trajectory.group, t if settings.level == "turn" else 0)
            for trajectory in trajectories
            for t in range(len(trajectory.turns) if by_turn else 1)
        ]
        lengths = [sum(len(turn.reply.tokens) for turn in one.turns) for one in trajectories]
        found = grouped(rows, groups, settings.baseline, settings.scale, eps=settings.eps, lengths=lengths)
        sizes = [len(trajectory.turns) for trajectory in trajectories]
        return list(np.split(found if by_turn else np.repeat(found, sizes), np.cumsum(sizes)[:-1]))

    def _scores(self, trajectory: Trajectory) -> PerTurn:
        """What each turn is compared by."""
        rewards = self.rewards(trajectory)
        if self.settings.level == "turn":
            return returns_to_go(rewards, self.settings.gamma)
        return np.full(len(rewards), rewards.sum())

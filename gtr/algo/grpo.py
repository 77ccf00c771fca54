"""GRPO (arXiv 2402.03300): episodes of one start state are compared with one another; no critic.

With other settings also Dr.GRPO (`scale none`), OPO (`baseline length`), MaxRL (`scale mean`), pass@k (`baseline
second_best`), and verl-agent's form (`moments turns`).
"""

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Le

from gtr.algo.credit import Baseline, PerTurn, Scale, grouped, returns_to_go
from gtr.algo.groups import EpisodeGroups, GroupSettings
from gtr.config.section import Share
from gtr.types import Rollout, Trajectory


@dataclass(frozen=True)
class GRPOSettings(GroupSettings):
    """GRPO's."""

    level: Literal["trajectory", "turn"] = "trajectory"
    """Compare whole episodes, or what each turn and those after it earned with the group's turns of the same number."""
    gamma: Share = 1.0
    """Discount per turn of what is earned later (turn level only)."""
    moments: Literal["trajectories", "turns"] = "trajectories"
    """Mean and deviation over a group's episodes, or over its turns, so that long episodes weigh more (verl-agent)."""
    baseline: Baseline = "mean"
    """What is subtracted: the mean, that of the others (RLOO) or by length (OPO), or all but the best's lead."""
    scale: Scale = "std"
    """What is divided by: the group's deviation (GRPO), its mean (MaxRL), or nothing (Dr.GRPO)."""
    eps: Annotated[float, Ge(0), Le(1)] = 1e-6
    """Added to the deviation (verl: 1e-6, TRL: 1e-4)."""


class GRPO(EpisodeGroups):
    """Group-relative advantages of whole episodes."""

    Settings = GRPOSettings
    settings: GRPOSettings

    def advantages(self, rollout: Rollout) -> list[PerTurn]:
        settings, episodes = self.settings, rollout.trajectories
        by_turn = settings.level == "turn" or settings.moments == "turns"
        rows = [self._scores(one)[: None if by_turn else 1] for one in episodes]
        number = int(settings.level == "turn")
        keys = [(one.group, t * number) for one, row in zip(episodes, rows, strict=True) for t in range(len(row))]
        lengths = [sum(len(turn.reply.tokens) for turn in one.turns) for one in episodes]
        how = (settings.baseline, settings.scale)
        found = grouped(np.concatenate(rows), keys, *how, eps=settings.eps, lengths=lengths)
        sizes = [len(one.turns) for one in episodes]
        return list(np.split(found if by_turn else np.repeat(found, sizes), np.cumsum(sizes)[:-1]))

    def _scores(self, trajectory: Trajectory) -> PerTurn:
        """What each turn is compared by."""
        rewards = self.rewards(trajectory)
        if self.settings.level == "turn":
            return returns_to_go(rewards, self.settings.gamma)
        return np.full(len(rewards), rewards.sum())

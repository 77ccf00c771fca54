"""GiGPO (arXiv 2505.10978): beside whole episodes, turns that met the same state are compared with one another."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from gtr.algo.credit import PerTurn, Scale, grouped, returns_to_go
from gtr.algo.grpo import GRPO, GRPOSettings
from gtr.config.section import Share, Weight
from gtr.policy.pictures import image_hash
from gtr.types import Rollout, Trajectory, Turn


@dataclass(frozen=True)
class GiGPOSettings(GRPOSettings):
    """GiGPO's, as its code has them for visual tasks."""

    gamma: Share = 0.95
    """Discount per turn of what a turn earned later."""
    scale: Scale = "none"
    """What differences are divided by: nothing (visual tasks), or the group's deviation, std (ALFWorld)."""
    episode_weight: Weight = 1.0
    """Weight of the advantage among whole episodes."""
    step_weight: Weight = 1.0
    """Weight of the advantage among turns that met the same state."""
    kl_weight: Weight = 0.01
    """Weight of the KL divergence to the starting agent (K3)."""


class GiGPO(GRPO):
    """An episode's advantage plus that of its turns among all that met the same state of the same start."""

    Settings = GiGPOSettings
    settings: GiGPOSettings

    def advantages(self, rollout: Rollout) -> list[PerTurn]:
        steps = self.step_advantages(rollout)
        sizes = [len(trajectory.turns) for trajectory in rollout.trajectories]
        apart = np.split(steps, np.cumsum(sizes)[:-1])
        return [
            self.settings.episode_weight * episode + self.settings.step_weight * step
            for episode, step in zip(super().advantages(rollout), apart, strict=True)
        ]

    def step_advantages(self, rollout: Rollout) -> PerTurn:
        """Of all turns, one after the other."""
        settings = self.settings
        keys = [(one.group, *state_of(turn)) for one in rollout.trajectories for turn in one.turns]
        return grouped(self.earned(rollout.trajectories), keys, "mean", settings.scale, eps=settings.eps)

    def earned(self, trajectories: Sequence[Trajectory]) -> PerTurn:
        """What each turn and those after it earned, discounted."""
        return np.concatenate([returns_to_go(self.rewards(one), self.settings.gamma) for one in trajectories])


def state_of(turn: Turn) -> tuple[Hashable, ...]:
    """What two turns must share to be compared: the picture and the prompt of now, whatever came before."""
    return image_hash(turn.prompt.image), turn.prompt.text

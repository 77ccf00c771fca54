"""HGPO (arXiv 2602.22817): GiGPO whose groups of turns also share the last states before, the longer the weightier."""

from dataclasses import dataclass

from gtr.algo.credit import PerTurn, anchored
from gtr.algo.gigpo import GiGPO, GiGPOSettings, state_of
from gtr.types import Rollout


@dataclass(frozen=True)
class HGPOSettings(GiGPOSettings):
    """HGPO's."""

    history: int = 2
    """States before a turn that its narrowest group shares."""
    alpha: float = 1.0
    """A group of the last k states weighs (k + 1) ** alpha."""
    episode_weight: float = 0.0
    """Weight of the advantage among whole episodes."""


class HGPO(GiGPO):
    """Advantages among turns with the same last states."""

    Settings = HGPOSettings
    settings: HGPOSettings

    def step_advantages(self, rollout: Rollout) -> PerTurn:
        settings = self.settings
        histories = []
        for one in rollout.trajectories:
            states = [state_of(turn) for turn in one.turns]
            histories += [(one.group, *states[: t + 1]) for t in range(len(states))]
        scores = self.earned(rollout.trajectories)
        return anchored(scores, histories, settings.history + 1, settings.alpha, settings.scale, settings.eps)

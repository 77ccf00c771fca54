"""What algorithms share that compare episodes of one start state and need no critic."""

from dataclasses import dataclass

from gtr.algo.filters import unbroken
from gtr.algo.policy_gradient import PolicyGradient, WholeReplySettings
from gtr.config.section import Clip, Group
from gtr.types import Rollout, RolloutSpec


@dataclass(frozen=True)
class GroupSettings(WholeReplySettings):
    """Of algorithms that compare episodes dealt the same start state."""

    clip: Clip = 0.2
    """Clip range of the importance ratio (GRPO: 0.2)."""
    group: Group = 8
    """Environments dealt the same start state (GiGPO: 8); train.envs must be a multiple of it."""


class EpisodeGroups(PolicyGradient):
    """Whole episodes in groups; one whose environment broke is compared with none."""

    Settings = GroupSettings
    settings: GroupSettings

    @property
    def rollout(self) -> RolloutSpec:
        return RolloutSpec(critic=False, episodes=True, group=self.settings.group)

    def chosen(self, rollout: Rollout) -> Rollout:
        return unbroken(rollout)

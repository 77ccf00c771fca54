"""What algorithms share that compare episodes of one start state and need no critic."""

from dataclasses import dataclass
from typing import Literal

from gtr.algo.filters import unbroken
from gtr.algo.policy_gradient import PolicyGradient, PolicySettings
from gtr.config.section import Clip, Group, Share
from gtr.types import Rollout, RolloutSpec


@dataclass(frozen=True)
class GroupSettings(PolicySettings):
    """Of algorithms that compare episodes dealt the same start state."""

    thought_weight: Share = 1.0
    """Weight of the thought's tokens beside the action's: the whole reply is the action."""
    action_tokens: Literal["value", "field"] = "field"
    """What counts as the action: its value alone, or everything from its key to the end of the reply."""
    ratio: Literal["turn", "token", "turn_mean"] = "token"
    """One importance ratio per turn, per token (GRPO), or per turn the geometric mean of its tokens' (GSPO)."""
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

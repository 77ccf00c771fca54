"""PPO with a critic over turns (arXiv 1707.06347), as RL4VLM (arXiv 2405.10292) and GTR train their agents."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Le

from gtr.algo.base import Term
from gtr.algo.credit import PerTurn, gae, normalise
from gtr.algo.policy_gradient import PolicyGradient, PolicySettings
from gtr.config.section import Share, Weight
from gtr.types import Ending, Rollout, RolloutSpec, Sample, Trajectory


@dataclass(frozen=True)
class PPOSettings(PolicySettings):
    """PPO's, as RL4VLM's and GTR's code have them."""

    value_weight: Weight = 0.5
    """Weight of the value loss (code: 0.5, of a loss that has a further factor of a half: 0.25 here)."""
    value_clip: Annotated[float, Ge(0), Le(1e6)] = 0.1
    """Clip range of the value's change; 0 turns it off."""
    value_gradient: Literal["flow", "stop"] = "flow"
    """Whether the critic's loss also shapes the model below its head (code), or stops at the head (VL-DAC)."""
    gamma: Share = 0.9
    """Discount per turn (code: 0.9)."""
    gae_lambda: Share = 0.95
    """Lambda of generalised advantage estimation over turns (code: 0.95)."""
    normalise: bool = True
    """Normalise advantages over the rollout to mean 0 and standard deviation 1."""
    normalise_floor: Annotated[float, Ge(1e-12), Le(1e6)] = 1e-5
    """Smallest standard deviation of advantages, in the unit of the reward, that is scaled up to 1: where no episode
    succeeded, normalising with a tiny floor turns noise into a gradient."""
    stopped_is: Literal["termination", "truncation"] = "termination"
    """How GAE sees an episode that the corrector stopped."""
    truncated_is: Literal["termination", "truncation"] = "truncation"
    """How GAE sees an episode that a time limit cut: value may follow, or none does (code, on card games)."""
    value_updates: Annotated[int, Ge(0), Le(10_000_000)] = 0
    """Updates at the start in which the critic alone is trained (VL-DAC: 2)."""


class PPO(PolicyGradient):
    """Advantages by GAE over the turns of each trajectory, a turn being one step."""

    Settings = PPOSettings
    settings: PPOSettings

    @property
    def rollout(self) -> RolloutSpec:
        ends = {Ending.STOPPED: self.settings.stopped_is, Ending.TRUNCATED: self.settings.truncated_is}
        # A broken environment says nothing of the turn it broke in.
        return RolloutSpec(frozenset({Ending.ABORTED, *(end for end, seen in ends.items() if seen == "truncation")}))

    def advantages(self, rollout: Rollout) -> list[PerTurn]:
        """In the unit of the reward."""
        return [self._advantages(trajectory) for trajectory in rollout.trajectories]

    def _advantages(self, trajectory: Trajectory) -> PerTurn:
        settings, last = self.settings, trajectory.turns[-1]
        follows = last.ending is Ending.RUNNING or last.ending in self.rollout.bootstrapped
        following = last.bootstrap if follows else 0.0
        found = gae(self.rewards(trajectory), values_of(trajectory), following, settings.gamma, settings.gae_lambda)
        late = settings.format_reward_in == "return"
        return found + self.format_rewards(trajectory.turns) if late else found

    def made(self, rollout: Rollout) -> list[Sample]:
        """With the critic's targets, advantages plus values, and advantages normalised."""
        made = super().made(rollout)
        if not made:
            return []
        advantages = np.array([sample.advantage for sample in made])
        targets = advantages + [sample.value for sample in made]
        rows = zip(made, self.scaled(advantages).tolist(), targets.tolist(), strict=True)
        return [replace(sample, advantage=advantage, target=target) for sample, advantage, target in rows]

    def scaled(self, advantages: PerTurn) -> PerTurn:
        """As they are learnt from: normalised over all processes, if the settings say so."""
        if not self.settings.normalise:
            return advantages
        # Processes exchange single precision, and every one must scale alike.
        among = self.everyone(advantages.astype(np.float32).tolist())
        return normalise(advantages, among, self.settings.normalise_floor)

    def losses(self) -> Mapping[str, Term]:
        settings, others = self.settings, dict(super().losses())
        if self.update < settings.value_updates:
            actor = [name for name in ("policy", "entropy", "kl") if name in others]
            others |= {name: replace(others[name], weight=0.0) for name in actor}
        value = Term(settings.value_weight, {"clip": settings.value_clip})
        return {"policy": others.pop("policy"), "value": value, **others}

    @property
    def value_gradient(self) -> bool:
        return self.settings.value_gradient == "flow"


def values_of(trajectory: Trajectory) -> PerTurn:
    """The critic's estimates when the turns were played."""
    return np.array([turn.reply.value for turn in trajectory.turns])

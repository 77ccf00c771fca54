"""PPO with a critic over turns (arXiv 1707.06347), as RL4VLM (arXiv 2405.10292) and GTR train their agents."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from gtr.algo.base import Term
from gtr.algo.credit import PerTurn, gae, normalise
from gtr.algo.policy_gradient import PolicyGradient
from gtr.config import PPOConfig
from gtr.types import Ending, Rollout, RolloutSpec, Sample, Trajectory


class PPO(PolicyGradient):
    """Advantages by GAE over the turns of each trajectory, a turn being one step."""

    Settings = PPOConfig
    settings: PPOConfig

    @property
    def rollout(self) -> RolloutSpec:
        # A broken environment says nothing of the turn it broke in.
        stopped = {Ending.STOPPED} if self.settings.stopped_is == "truncation" else set()
        return RolloutSpec(frozenset({Ending.TRUNCATED, Ending.ABORTED} | stopped))

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

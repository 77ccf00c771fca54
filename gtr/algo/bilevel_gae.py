"""Bi-level GAE (VAGEN, arXiv 2510.16907): credit over turns first, then over the tokens within each turn."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gtr.algo.credit import PerRow, bilevel_gae
from gtr.algo.filters import unbroken
from gtr.algo.policy_gradient import WholeReplySettings
from gtr.algo.ppo import PPO, PPOSettings
from gtr.config.section import Clip, Share
from gtr.types import Rollout, RolloutSpec, Sample, Trajectory


@dataclass(frozen=True)
class BilevelGAESettings(WholeReplySettings, PPOSettings):
    """VAGEN's."""

    clip: Clip = 0.2
    """Clip range of the importance ratio."""
    gamma_turn: Share = 0.95
    """Discount per turn."""
    gamma: Share = 1.0
    """Discount per token within a turn."""
    gae_lambda: Share = 1.0
    """Lambda of both levels."""


class BilevelGAE(PPO):
    """PPO whose critic values every token of whole episodes."""

    Settings = BilevelGAESettings
    settings: BilevelGAESettings

    @property
    def rollout(self) -> RolloutSpec:
        return RolloutSpec(critic=False, episodes=True)

    def chosen(self, rollout: Rollout) -> Rollout:
        return unbroken(rollout)

    def made(self, rollout: Rollout) -> list[Sample]:
        turns = rollout.flat()
        values = self.policy.token_values([turn.prompt for turn in turns], [turn.reply.tokens for turn in turns])
        taken = iter([np.array(row) for row in values])
        apart = [[next(taken) for _ in trajectory.turns] for trajectory in rollout.trajectories]
        whole = [self._tokens(one, known) for one, known in zip(rollout.trajectories, apart, strict=True)]
        found = [row for rows in whole for row in rows]
        learnt = self.scaled(np.concatenate(found))
        cuts = np.split(learnt, np.cumsum([len(row) for row in found])[:-1])
        return [
            self._token_sample(self.sample(turn, tuple(row.tolist())), raw, np.array(known))
            for turn, row, raw, known in zip(turns, cuts, found, values, strict=True)
        ]

    def _tokens(self, trajectory: Trajectory, values: Sequence[PerRow]) -> list[PerRow]:
        settings = self.settings
        rewards = self.rewards(trajectory)
        return bilevel_gae(rewards, values, settings.gamma_turn, settings.gamma, settings.gae_lambda)

    def _token_sample(self, sample: Sample, advantages: PerRow, values: PerRow) -> Sample:
        """A critic's target for every token."""
        weights = {**sample.weights, "value": (1.0,) * len(sample.tokens)}
        targets = tuple((advantages + values).tolist())
        return replace(sample, weights=weights, value=tuple(values.tolist()), target=targets)

"""PPO on the tokens of a turn's reply, with a critic over turns (arXiv 1707.06347; RL4VLM, arXiv 2405.10292).

`action_tokens`, `thought_weight` and `ratio` say what the policy loss sees: the action alone (GTR's paper), the whole
reply with the thought at a weight of lambda (RL4VLM and GTR's code), one ratio per turn or one per token (VL-DAC).
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from gtr.algo.base import Algorithm, Term
from gtr.algo.cloning import CLONING
from gtr.algo.credit import Turns, gae, normalise
from gtr.config import PPOConfig
from gtr.policy.tokens import touching
from gtr.types import Ending, ReplyStatus, Rollout, RolloutSpec, Sample, Span, Trajectory, Turn

if TYPE_CHECKING:
    from gtr.policy.policy import Policy


class PPO(Algorithm):
    """Turns become samples whose advantages come from GAE over the turns of each trajectory."""

    @property
    def settings(self) -> PPOConfig:
        return self.config.ppo

    @property
    def rollout(self) -> RolloutSpec:
        # A broken environment says nothing of the turn it broke in.
        stopped = {Ending.STOPPED} if self.settings.stopped_is == "truncation" else set()
        return RolloutSpec(frozenset({Ending.TRUNCATED, Ending.ABORTED} | stopped))

    def samples(self, rollout: Rollout, update: int) -> list[Sample]:
        self.update = update
        self.cloning.add(rollout.flat())
        advantages = np.concatenate(self.advantages(rollout))
        values = np.array([turn.reply.value for turn in rollout.flat()])
        learnt = self._scaled(advantages)
        rows = zip(rollout.flat(), learnt.tolist(), (advantages + values).tolist(), strict=True)
        return [self.sample(turn, advantage, target) for turn, advantage, target in rows]

    def advantages(self, rollout: Rollout) -> list[Turns]:
        """One array per trajectory: how much better each turn went than expected, in the unit of the reward."""
        return [self._advantages(trajectory) for trajectory in rollout.trajectories]

    def _advantages(self, trajectory: Trajectory) -> Turns:
        settings, turns = self.settings, trajectory.turns
        values = np.array([turn.reply.value for turn in turns])
        last = turns[-1]
        follows = last.ending is Ending.RUNNING or last.ending in self.rollout.bootstrapped
        following = last.bootstrap if follows else 0.0
        found = gae(self.rewards(trajectory), values, following, settings.gamma, settings.gae_lambda)
        late = settings.format_reward_in == "return"
        return found + self.format_rewards(turns) if late else found

    def rewards(self, trajectory: Trajectory) -> Turns:
        """The reward of each turn: the game's, a judge's and, where it belongs to the reward, the format's."""
        rewards = np.array([turn.reward + turn.judge_reward for turn in trajectory.turns])
        early = self.settings.format_reward_in == "reward"
        return rewards + self.format_rewards(trajectory.turns) if early else rewards

    def format_rewards(self, turns: Sequence[Turn]) -> Turns:
        """The bonus of each reply with all required keys (code: 5)."""
        complete = [turn.parsed.status is ReplyStatus.COMPLETE for turn in turns]
        return np.where(complete, self.settings.format_reward, 0.0)

    def _scaled(self, advantages: Turns) -> Turns:
        if not self.settings.normalise:
            return advantages
        # Processes exchange single precision, and every one must scale alike.
        among = self.everyone(advantages.astype(np.float32).tolist())
        return normalise(advantages, among, self.settings.normalise_floor)

    def sample(self, turn: Turn, advantage: float, target: float | None) -> Sample:
        """A turn as a row that is learnt from."""
        weights = tuple(token_weights(turn, self.policy, self.settings))
        losses = {"policy": weights, **({"entropy": weights} if self.settings.entropy_weight > 0 else {})}
        return Sample(
            turn.prompt,
            turn.reply.tokens,
            losses,
            old=turn.reply.logprobs,
            advantage=advantage,
            value=turn.reply.value,
            target=target,
            temperature=self.config.policy.temperature,
            place=(turn.env, turn.episode, turn.index),
        )

    def losses(self) -> Mapping[str, Term]:
        settings = self.settings
        return {
            "policy": Term(settings.policy_weight, {"clip": settings.clip, "ratio": settings.ratio}),
            "value": Term(settings.value_weight, {"clip": settings.value_clip}),
            "entropy": Term(settings.entropy_weight),
            CLONING: Term(self.cloning.weight(self.update)),
        }

    @property
    def value_gradient(self) -> bool:
        return self.settings.value_gradient == "flow"


def token_weights(turn: Turn, policy: "Policy", settings: PPOConfig) -> list[float]:
    """The policy loss's weight of each reply token: 1 on the action, lambda on the thought before it.

    The sign that closes the action counts as part of it: where to stop is a choice too, and the only one in an empty
    action. A reply in which no action can be found is all thought.
    """
    spans = policy.offsets(turn.reply.tokens)
    action = _action_span(turn, settings.action_tokens)
    chosen = touching(spans, action)
    if settings.action_tokens == "field" and action is not None:
        chosen = [hit or start >= action[0] for hit, (start, _) in zip(chosen, spans, strict=True)]
    before = len(turn.reply.text) if action is None else action[0]
    return [
        1.0 if hit else settings.thought_weight if start < before else 0.0
        for hit, (start, _) in zip(chosen, spans, strict=True)
    ]


def _action_span(turn: Turn, what: str) -> Span | None:
    span = turn.parsed.action_span
    if span is None:
        return None
    if what == "value":
        return span[0], span[1] + 1
    return turn.reply.text.rfind('"action"', 0, span[0]), len(turn.reply.text)

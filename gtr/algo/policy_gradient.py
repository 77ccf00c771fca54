"""What every policy-gradient algorithm shares: which tokens count, what a turn is rewarded with, and its losses.

A subclass says how much better each turn went than expected (`advantages`); the rest is settings. `action_tokens`,
`thought_weight` and `ratio` say what the policy loss sees: the action alone (GTR's paper), the whole reply with the
thought at a weight of lambda (RL4VLM and GTR's code), one ratio per turn or one per token (VL-DAC).
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Le

from gtr.algo.base import Algorithm, Term
from gtr.algo.cloning import CLONING
from gtr.algo.credit import PerTurn
from gtr.config import AlgoConfig
from gtr.config.section import Clip, Reward, Share, Weight
from gtr.policy.tokens import touching
from gtr.tasks.formats import FORMATS
from gtr.types import Ending, ReplyStatus, Rollout, Sample, Span, Trajectory, Turn

if TYPE_CHECKING:
    from gtr.policy.policy import Policy


@dataclass(frozen=True)
class PolicySettings(AlgoConfig):
    """What every policy-gradient algorithm can be told; each has its own `Settings` with the defaults of its source."""

    policy_weight: Weight = 1.0
    """Weight of the clipped policy loss; 0 with value_weight 0 is SFT-only."""
    thought_weight: Share = 0.0
    """lambda: weight of the thought's log-prob in the ratio. 0 is PPO on action tokens (paper); 0.5 on cards, 0.2 on
    household tasks (code)."""
    action_tokens: Literal["value", "field"] = "value"
    """What counts as the action: its value alone, or everything from its key to the end of the reply (code). With
    "field", every negative advantage also pushes down the JSON around the action."""
    ratio: Literal["turn", "token", "turn_mean"] = "turn"
    """One importance ratio per turn (code), one per token (VL-DAC), or per turn the geometric mean of its tokens'
    (GSPO, ReMA)."""
    clip: Clip = 0.1
    """Clip range of the importance ratio (code: 0.1)."""
    clip_high: Clip | None = None
    """Clip range above 1 (DAPO, StarPO-S: 0.28); None takes `clip`."""
    dual_clip: Annotated[float, Ge(1), Le(1e6)] | None = None
    """Bounds the loss of negative advantages to so many times their size (verl, ReMA: 3); None does not."""
    ratio_cap: Annotated[float, Ge(1), Le(1e6)] | None = None
    """Ratio above which the clipped one is taken whatever the advantage's sign (VL-DAC's code: 10); None has none."""
    entropy_weight: Weight = 0.0
    """Weight of the entropy bonus (code: parsed, 0.01, and never used)."""
    kl_weight: Weight = 0.0
    """Weight of the KL divergence to the starting agent over all reply tokens (K3; VL-DAC: 0.04)."""
    format_reward: Annotated[float, Ge(0), Le(1e6)] = 0.0
    """Bonus for a reply with all required keys (code: 5)."""
    format_reward_in: Literal["reward", "return"] = "reward"
    """Add the bonus to the reward, or to the return after GAE (code)."""
    length_reward: Reward = 0.0
    """Reward of a turn whose thought has `length_words` words; shorter ones earn their share (paper's ablation, which
    fails)."""
    length_words: Annotated[int, Ge(1), Le(100_000)] = 50
    """Words of a thought that earn the whole length reward."""


@dataclass(frozen=True)
class WholeReplySettings(PolicySettings):
    """Of algorithms for which the whole reply is the action, thought included."""

    thought_weight: Share = 1.0
    """Weight of the thought's tokens beside the action's: no lambda."""
    action_tokens: Literal["value", "field"] = "field"
    """What counts as the action: its value alone, or everything from its key to the end of the reply."""
    ratio: Literal["turn", "token", "turn_mean"] = "token"
    """One importance ratio per token, per turn, or per turn the geometric mean of its tokens' (GSPO)."""


class PolicyGradient(Algorithm):
    """Turns become samples; a subclass gives their advantages."""

    Settings = PolicySettings
    settings: PolicySettings

    @abstractmethod
    def advantages(self, rollout: Rollout) -> list[PerTurn]:
        """One array per trajectory of the rollout: how much better each turn went than expected."""

    def chosen(self, rollout: Rollout) -> Rollout:
        """The trajectories that are learnt from; by default all."""
        return rollout

    def samples(self, rollout: Rollout, update: int) -> list[Sample]:
        self.update = update
        self.cloning.add(self.corrected(rollout.flat()))
        kept = self.chosen(rollout)
        made = self.made(kept) if kept.trajectories else []
        if not made:
            # Other processes may have something to learn from, and all must step together.
            return [replace(self.sample(rollout.flat()[0], 0.0), weights={}, old=())]
        return self._with_reference(made) if self.settings.kl_weight > 0 else made

    def corrected(self, turns: Sequence[Turn]) -> Sequence[Turn]:
        """A rollout's turns with the verdicts whose corrections are cloned; by default those that were given."""
        return turns

    def made(self, rollout: Rollout) -> list[Sample]:
        """The samples of a rollout that is learnt from, one per turn but for those in which the environment broke."""
        rows = zip(rollout.trajectories, self.advantages(rollout), strict=True)
        return [
            self.sample(turn, advantage)
            for trajectory, advantages in rows
            for turn, advantage in zip(trajectory.turns, advantages.tolist(), strict=True)
            if turn.ending is not Ending.ABORTED
        ]

    def sample(self, turn: Turn, advantage: float | tuple[float, ...]) -> Sample:
        """A turn as a row that is learnt from."""
        settings = self.settings
        weights = tuple(token_weights(turn, self.policy, settings))
        losses = {"policy": weights}
        if settings.entropy_weight > 0:
            losses["entropy"] = weights
        if settings.kl_weight > 0:
            losses["kl"] = (1.0,) * len(turn.reply.tokens)
        return Sample(
            turn.prompt,
            turn.reply.tokens,
            losses,
            old=turn.reply.logprobs,
            sampled=turn.reply.sampled,
            advantage=advantage,
            value=turn.reply.value,
            temperature=self.config.policy.temperature,
            place=(turn.env, turn.episode, turn.index),
        )

    def rewards(self, trajectory: Trajectory) -> PerTurn:
        """The reward of each turn: the game's, a judge's, and the bonuses that belong to the reward."""
        rewards = np.array([turn.reward + turn.judge_reward for turn in trajectory.turns])
        if self.settings.format_reward_in == "reward":
            rewards = rewards + self.format_rewards(trajectory.turns)
        if self.settings.length_reward:
            rewards = rewards + [self._length_reward(turn) for turn in trajectory.turns]
        return rewards

    def returns(self, trajectories: Sequence[Trajectory]) -> dict[int, list[float]]:
        """By group, what each of its episodes earned."""
        found: dict[int, list[float]] = {}
        for one in trajectories:
            found.setdefault(one.group, []).append(float(self.rewards(one).sum()))
        return found

    def format_rewards(self, turns: Sequence[Turn]) -> PerTurn:
        """The bonus of each reply with all required keys (code: 5)."""
        complete = [turn.parsed.status is ReplyStatus.COMPLETE for turn in turns]
        return np.where(complete, self.settings.format_reward, 0.0)

    def _length_reward(self, turn: Turn) -> float:
        words = sum(len(str(value).split()) for key, value in turn.parsed.fields.items() if key != "action")
        return self.settings.length_reward * min(1.0, words / self.settings.length_words)

    def _with_reference(self, samples: Sequence[Sample]) -> list[Sample]:
        assert self.reference is not None, "the run keeps the starting agent where kl_weight is above 0"
        found = self.reference.logprobs(self.policy, samples)
        return [replace(sample, reference=row) for sample, row in zip(samples, found, strict=True)]

    @property
    def needs_reference(self) -> bool:
        return self.settings.kl_weight > 0

    def losses(self) -> Mapping[str, Term]:
        settings = self.settings
        terms = {
            "policy": Term(settings.policy_weight, self.policy_options()),
            "entropy": Term(settings.entropy_weight),
            CLONING: Term(self.cloning.weight(self.update)),
        }
        return {**terms, "kl": Term(settings.kl_weight)} if settings.kl_weight > 0 else terms

    def policy_options(self) -> dict[str, Any]:
        """Keyword arguments of the policy loss (see `gtr.losses.ppo.ppo_loss`)."""
        settings = self.settings
        names = ("clip", "ratio", "clip_high", "dual_clip", "ratio_cap")
        return {name: getattr(settings, name) for name in names}


def token_weights(turn: Turn, policy: "Policy", settings: PolicySettings) -> list[float]:
    """The policy loss's weight of each reply token: 1 on the action, lambda on the thought before it.

    The sign that closes the action counts as part of it: where to stop is a choice too, and the only one in an empty
    action. A reply in which no action can be found is all thought.
    """
    spans = policy.offsets(turn.reply.tokens)
    action = action_span(turn, settings.action_tokens)
    chosen = touching(spans, action)
    if settings.action_tokens == "field" and action is not None:
        chosen = [hit or start >= action[0] for hit, (start, _) in zip(chosen, spans, strict=True)]
    before = len(turn.reply.text) if action is None else action[0]
    return [
        1.0 if hit else settings.thought_weight if start < before else 0.0
        for hit, (start, _) in zip(chosen, spans, strict=True)
    ]


def action_span(turn: Turn, what: Literal["value", "field"]) -> Span | None:
    """The characters of a reply's action: its value with the sign that closes it, or all from its key on."""
    span = turn.parsed.action_span
    if span is None:
        return None
    if what == "value":
        return span[0], span[1] + 1
    marks = [one.action_mark.rstrip(":") for one in FORMATS.values()]
    return max(turn.reply.text.rfind(mark, 0, span[0]) for mark in marks), len(turn.reply.text)

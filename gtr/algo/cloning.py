"""Guided thought: where a corrected thought becomes a sample, and how samples are drawn (paper section 3.3)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from gtr.algo.buffer import ThoughtBuffer
from gtr.algo.edits import edit_weights
from gtr.config import GuidanceConfig
from gtr.policy.tokens import touching
from gtr.tasks.task import Task
from gtr.types import Judgement, ReplyStatus, Sample, Turn

if TYPE_CHECKING:
    from gtr.policy.policy import Policy

CLONING = "cloning"
"""The name of the loss."""


class ThoughtCloning:
    """The corrected thoughts of a run: made from verdicts, kept as DAgger does, drawn beside every optimiser step."""

    def __init__(self, config: GuidanceConfig, task: Task, policy: "Policy") -> None:
        self.config, self.task, self.policy = config, task, policy
        self.buffer = ThoughtBuffer(config.memory == "run")
        self.latest: list[Sample] = []
        """Those of the latest rollout."""
        self.turns = 0
        """Turns of the latest rollout."""

    def add(self, turns: Sequence[Turn]) -> None:
        """Takes in what the verdicts on a rollout's turns teach."""
        found = [corrected(turn, self.task, self.policy, self.config) for turn in turns]
        self.latest = [sample for sample in found if sample is not None]
        self.turns = len(turns)
        self.buffer.add(self.latest, self.turns)

    def weight(self, update: int) -> float:
        """The weight of cloning at an update, annealed linearly to 0 if the settings say so."""
        if self.config.anneal_updates:
            return self.config.weight * max(0.0, 1 - update / self.config.anneal_updates)
        return self.config.weight

    def draw(self, count: int, rng: np.random.Generator, update: int) -> Sequence[Sample]:
        """What `count` draws of `guidance.draw` give; none while there are none, or when guidance has faded."""
        if self.weight(update) <= 0:
            return []
        if self.config.draw == "turns":
            return per_draw(self.buffer.deal(count, rng), count)
        return self.buffer.draw(count, rng)


def per_draw(samples: Sequence[Sample], draws: int) -> list[Sample]:
    """Weights under which cloning is the mean over tokens of each thought, then over all draws, vain ones included.

    The learner divides by the number of all taught tokens; the code takes the mean thought by thought, and divides by
    the number of turns.
    """
    counts = [sum(weight > 0 for weight in sample.weights[CLONING]) for sample in samples]
    shares = [sum(counts) / (draws * max(1, count)) for count in counts]
    return [
        replace(sample, weights={CLONING: tuple(weight * share for weight in sample.weights[CLONING])})
        for sample, share in zip(samples, shares, strict=True)
    ]


def corrected(turn: Turn, task: Task, policy: "Policy", config: GuidanceConfig) -> Sample | None:
    """The corrected thought of a turn around the agent's own action, or None when there is nothing to learn from it.

    Only the action's value is masked, not the signs around it: that scaffold carries no decision, and left
    unsupervised it decays under negative advantages. A reply that cannot be read has no action to put back: there the
    corrector's own is taught, or replies never learn to be whole again. Where `guidance.clone` asks for it the action
    is the one that the corrected thought announces, and taught as well.
    """
    verdict = turn.verdict
    if verdict is None or verdict.judgement is not Judgement.INCORRECT or verdict.thought is None:
        return None
    if turn.parsed.status is not ReplyStatus.COMPLETE and not config.correct_malformed:
        return None
    own = turn.parsed.action or None  # Masking an empty action would mask nothing, and teach to write none.
    said = verdict.announced if config.clone == "announced_action" else None
    with_action = config.clone == "thought_and_action" or said is not None or own is None
    action = (said or verdict.action) if with_action else own
    text = policy.continued(task.write(verdict.thought, action or ""))
    span = task.parse(text).action_span
    if action is None and span is not None:
        text = text[: span[0]]
    tokens = policy.encode_reply(text) if action is not None else policy.encode_reply(text)[:-1]
    masked = [False] * len(tokens) if with_action else touching(policy.offsets(tokens), span)
    counts = edit_weights(turn.reply.tokens, tokens) if config.token_weights == "edits" else [1.0] * len(tokens)
    weights = tuple(0.0 if hidden else count for hidden, count in zip(masked, counts, strict=True))
    return Sample(turn.prompt, tokens, {CLONING: weights}, place=(turn.env, turn.episode, turn.index))

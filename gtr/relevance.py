"""Relevance: do thoughts depend on what the agent sees, and how far has it moved? It takes extra forward passes.

Measured on a subsample of a rollout's turns; `gtr.metrics` holds the formulas.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from gtr.metrics import image_sensitivity, kl_to_reference, relevance
from gtr.policy.policy import Policy
from gtr.policy.reference import ReferencePolicy
from gtr.tasks.task import Task
from gtr.types import Ending, Prompt, Rollout, Turn

BATCH = 32
"""Thoughts scored at a time."""


class RelevanceMeter:
    """Scores some of each rollout's thoughts under other prompts, other pictures and a reference policy.

    Without a `reference` the distance to it is not measured.
    """

    def __init__(self, policy: Policy, reference: ReferencePolicy | None, task: Task, turns: int) -> None:
        self.reference = reference
        self.last: Mapping[str, Any] | None = None
        """What the latest measuring saw, as JSON values: each scored turn's place ``[env, episode, turn]``, its state,
        and ``scores[i][j]``, the mean log-probability per token of thought i under prompt j; None where turned off."""
        self._policy, self._task, self._count = policy, task, turns

    def measure(self, rollout: Rollout, rng: np.random.Generator) -> dict[str, float]:
        """Relevance, image sensitivity and KL to the reference, by metric name; empty when turned off."""
        self.last = None
        whole = [turn for turn in rollout.flat() if turn.ending is not Ending.ABORTED]
        turns = [turn for turn in whole if turn.parsed.action_span is not None]
        if self._count < 2 or len(turns) < 2:
            return {}
        rows = rng.permutation(len(turns))[: self._count]
        chosen = [turns[i] for i in rows]
        self._policy.network.eval()
        with torch.no_grad():
            return {**self._relevance(chosen), **self._sensitivity(chosen), **self._drift(chosen)}

    def _relevance(self, turns: Sequence[Turn]) -> dict[str, float]:
        pairs = [(turn, other.prompt) for turn in turns for other in turns]
        scores = self._thought_scores(pairs).reshape(len(turns), len(turns))
        states = [self._task.state_key(turn.truth) for turn in turns]
        self.last = {
            "turns": [[turn.env, turn.episode, turn.index] for turn in turns],
            "states": states,
            "scores": [[round(float(score), 3) for score in row] for row in scores],
        }
        return relevance(scores, states=states)

    def _sensitivity(self, turns: Sequence[Turn]) -> dict[str, float]:
        """Every thought under its own picture, and under that of the next turn of the subsample that shows another."""
        swapped = [(turn, replace(turn.prompt, image=_other_image(i, turns))) for i, turn in enumerate(turns)]
        right = self._thought_scores([(turn, turn.prompt) for turn in turns])
        return image_sensitivity(right, self._thought_scores(swapped))

    def _drift(self, turns: Sequence[Turn]) -> dict[str, float]:
        if self.reference is None:
            return {}
        now = np.concatenate([np.asarray(turn.reply.logprobs) for turn in turns])
        with self.reference.swapped(self._policy) as then_policy:
            scores = then_policy.score([t.prompt for t in turns], [t.reply.tokens for t in turns])
        then = scores.logprobs.cpu().numpy()
        reference = np.concatenate([then[i, : len(t.reply.tokens)] for i, t in enumerate(turns)])
        return kl_to_reference(now, reference)

    def _thought_scores(self, pairs: Sequence[tuple[Turn, Prompt]]) -> np.ndarray:
        """Mean log-probability per token of each turn's thought under a prompt."""
        found = []
        for first in range(0, len(pairs), BATCH):
            part = pairs[first : first + BATCH]
            tokens = [_thought_tokens(turn, self._policy) for turn, _ in part]
            scores = self._policy.score([prompt for _, prompt in part], tokens).logprobs.sum(1).cpu().numpy()
            found.append(scores / np.array([len(t) for t in tokens]))
        return np.concatenate(found)


def _thought_tokens(turn: Turn, policy: Policy) -> tuple[int, ...]:
    """The reply's tokens before its action; at least one."""
    span = turn.parsed.action_span
    assert span is not None
    ends = [end for _, end in policy.offsets(turn.reply.tokens)]
    return turn.reply.tokens[: max(1, sum(end <= span[0] for end in ends))]


def _other_image(i: int, turns: Sequence[Turn]) -> np.ndarray:
    own = turns[i].prompt.image
    others = [turns[(i + k) % len(turns)].prompt.image for k in range(1, len(turns))]
    return next((image for image in others if not np.array_equal(image, own)), own)

"""On-policy distillation: what the agent sampled is drawn, token by token, to where a teacher finds it likelier.

The gradient of the reverse KL: a token's advantage rises by ``log p_teacher - log p``, beside the outcome's or, with
`outcome_weight` 0, alone. Teachers: another model or checkpoint, a moving average of the agent, or the agent itself
with the expert's answer in its prompt (privileged information, as in OPSD).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from gtr.algo.credit import PerRow
from gtr.algo.policy_gradient import WholeReplySettings
from gtr.algo.scored import ScoredPPO, ScoredSettings
from gtr.algo.teacher import place_of
from gtr.config.section import Share, Weight
from gtr.types import Rollout, Sample, Turn


@dataclass(frozen=True)
class OPDSettings(WholeReplySettings, ScoredSettings):
    """On-policy distillation's."""

    tokens: Literal["thought", "all"] = "all"
    """What the teacher scores: the thought, up to the action's key, or the whole reply."""
    merge: Literal["mean", "ema", "ties"] = "ema"
    """How past selves are merged: their mean, an exponential moving average, or TIES by the mean's weights."""
    merge_alpha: Share = 0.05
    """Weight of the newest self under ema (TRL's self-distillation: .05)."""
    first_teacher: Literal["base", "member", "none"] = "member"
    """Who teaches before the first merge: the agent of the start, as member also the average's first value; or
    nobody."""
    outcome_weight: Weight = 1.0
    """Weight of the outcome's advantage beside the teacher's; 0 is distillation alone."""
    episodes: Literal["all", "good"] = "all"
    """Distil on all turns, or on those of episodes that were won within the rollout (KEPO, arXiv 2602.00400)."""
    gate: Literal["none", "sigmoid", "positive"] = "none"
    """Trust every gap ``log p_teacher - log p`` alike, by its sigmoid, or positive ones alone (SDAR, arXiv
    2605.15155)."""


class OPD(ScoredPPO):
    """PPO on whole replies, each token drawn to the teacher."""

    Settings = OPDSettings
    settings: OPDSettings

    def made(self, rollout: Rollout) -> list[Sample]:
        settings = self.settings
        good = {place for one in rollout.trajectories if one.turns[-1].success for place in map(place_of, one.turns)}

        def pull(turn: Turn) -> PerRow:
            trusted = settings.episodes == "all" or place_of(turn) in good
            return settings.beta * trusted * gated(-self.apart(turn, "k1"), settings.gate)

        return self.drawn(super().made(rollout), rollout, pull, settings.outcome_weight)


def gated(gaps: PerRow, gate: str) -> PerRow:
    """What is trusted of the gaps ``log p_teacher - log p``.

    >>> gated(np.array([2.0, -2.0]), "positive").tolist()
    [2.0, 0.0]
    """
    found: dict[str, PerRow] = {
        "none": gaps,
        "sigmoid": gaps / (1 + np.exp(-gaps)),
        "positive": np.maximum(gaps, 0.0),
    }
    return found[gate]

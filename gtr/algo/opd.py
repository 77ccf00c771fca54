"""On-policy distillation: what the agent sampled is drawn, token by token, to where a teacher finds it likelier.

The gradient of the reverse KL: a token's advantage rises by ``log p_teacher - log p``, beside the outcome's or, with
`outcome_weight` 0, alone. Teachers: another model or checkpoint, a moving average of the agent, or the agent itself
with the expert's answer in its prompt (privileged information, as in OPSD).

With `top_k` that divergence is computed at each place instead of sampled: over the tokens that the *teacher* finds
likeliest, and all others as one (TA-OPD, arXiv 2608.14728; without the others arXiv 2603.25562). The agent's own
likeliest (SDPO, arXiv 2601.20802) no server can be asked about.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Le

from gtr.algo.base import Term
from gtr.algo.credit import PerRow
from gtr.algo.policy_gradient import WholeReplySettings
from gtr.algo.scored import ScoredPPO, ScoredSettings
from gtr.algo.teacher import place_of
from gtr.config.section import Share, Weight
from gtr.errors import ConfigError
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
    top_k: Annotated[int, Ge(0), Le(1000)] = 0
    """Likeliest tokens of the teacher at each place over which the reverse KL is computed and lowered by a loss, all
    others as one; 0 estimates it from the sampled token alone."""


class OPD(ScoredPPO):
    """PPO on whole replies, each token drawn to the teacher."""

    Settings = OPDSettings
    settings: OPDSettings

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.top, most = self.settings.top_k, self._teacher.most if self._teacher else None
        if most is not None and self.top > most:
            raise ConfigError(
                f"algo.top_k is {self.top}, and the server at algo.teacher {self.settings.teacher} tells of the {most} "
                f"likeliest tokens at each place: set {most} or less, or name the teacher's folder"
            )

    def made(self, rollout: Rollout) -> list[Sample]:
        settings = self.settings
        good = {place for one in rollout.trajectories if one.turns[-1].success for place in map(place_of, one.turns)}

        def trusted(turn: Turn) -> bool:
            return settings.episodes == "all" or place_of(turn) in good

        def pull(turn: Turn) -> PerRow:
            gaps = -self.apart(turn, "k1")
            return settings.beta * (trusted(turn) and not self.top) * gated(gaps, gaps, settings.gate)

        drawn = self.drawn(super().made(rollout), rollout, pull, settings.outcome_weight)
        turns = [turn for turn in rollout.flat() if self.top and trusted(turn) and place_of(turn) in self.likely]
        distilled = {place_of(turn): turn for turn in turns}
        return [self._distilled(one, distilled[one.place]) if one.place in distilled else one for one in drawn]

    def _distilled(self, sample: Sample, turn: Turn) -> Sample:
        """The sample with what the distillation loss needs of the teacher."""
        ids, logprobs = self.likely[place_of(turn)]
        # An output layer may have more rows than the tokeniser has words, and another model more than the agent.
        known = (ids >= 0) & (ids < self.policy.network.vocabulary)
        weights = gated(self.scored(turn).astype(float), -self.apart(turn, "k1"), self.settings.gate)
        return replace(
            sample,
            weights={**sample.weights, "distillation": tuple(weights.tolist())},
            likely=(np.where(known, ids, 0), np.where(known, logprobs, np.float32(-np.inf))),
        )

    def losses(self) -> Mapping[str, Term]:
        return {**super().losses(), **({"distillation": Term(self.settings.beta)} if self.top else {})}


def gated(values: PerRow, gaps: PerRow, gate: str) -> PerRow:
    """What is trusted of values, such as the gaps themselves, where the gaps are ``log p_teacher - log p``.

    >>> gated(np.ones(2), np.array([2.0, -2.0]), "positive").tolist()
    [1.0, 0.0]
    """
    found: dict[str, PerRow] = {
        "none": values,
        "sigmoid": values / (1 + np.exp(-gaps)),
        "positive": np.where(gaps > 0, values, 0.0),
    }
    return found[gate]

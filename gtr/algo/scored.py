"""What algorithms share whose teacher scores what the agent wrote: the sampled tokens, under the same picture."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from gtr.algo.credit import PerRow
from gtr.algo.divergence import Divergence, divergence
from gtr.algo.policy_gradient import action_span
from gtr.algo.teacher import TaughtPPO, TeacherSettings, place_of
from gtr.config.section import Weight
from gtr.types import Place, Rollout, Sample, Turn

if TYPE_CHECKING:
    from gtr.policy.reference import Likely


@dataclass(frozen=True)
class ScoredSettings(TeacherSettings):
    """Of algorithms whose teacher scores what the agent wrote."""

    beta: Weight = 1.0
    """How much the teacher's word counts beside the outcome's (GTR-Turbo: 1)."""
    tokens: Literal["thought", "all"] = "thought"
    """What the teacher scores: the thought, up to the action's key, or the whole reply."""


class ScoredPPO(TaughtPPO):
    """PPO beside a teacher that scores."""

    Settings = ScoredSettings
    settings: ScoredSettings

    said: Mapping[Place, PerRow] = {}
    """By turn, the teacher's log-probability of each token of the agent's reply; empty while it takes no part."""
    likely: Mapping[Place, "Likely"] = {}
    """By turn, the tokens that it finds likeliest at each place."""
    top = 0
    """How many of those are asked for."""

    def listen(self, turns: Sequence[Turn]) -> dict[str, float]:
        temperature = self.config.policy.temperature
        rows = [Sample(self.prompt(turn), turn.reply.tokens, {}, temperature=temperature) for turn in turns]
        found = self.teacher.likeliest(self.policy, rows, self.top)
        self.said = {place_of(turn): np.array(row) for turn, (row, _) in zip(turns, found, strict=True)}
        self.likely = {place_of(turn): likely for turn, (_, likely) in zip(turns, found, strict=True)}
        apart = [x for turn in turns for x in self.counted(turn, "k3").tolist()]
        kl = {"teacher/kl": float(np.mean(apart))} if apart else {}
        scored = float(sum(len(turn.reply.tokens) for turn in turns))
        return {**super().listen(turns), **kl, "count/teacher_tokens": scored}

    def scored(self, turn: Turn) -> NDArray[np.bool_]:
        """Which tokens of a reply count; a reply in which no action can be found is all thought."""
        span = action_span(turn, "field")
        if self.settings.tokens == "all" or span is None:
            return np.ones(len(turn.reply.tokens), dtype=bool)
        # A token that holds the end of the thought and the action's key belongs to the action.
        return np.array([end <= span[0] for _, end in self.policy.offsets(turn.reply.tokens)], dtype=bool)

    def apart(self, turn: Turn, kind: Divergence) -> PerRow:
        """The divergence at each token of a reply, 0 where none is scored."""
        return np.where(self.scored(turn), self._everywhere(turn, kind), 0.0)

    def counted(self, turn: Turn, kind: Divergence) -> PerRow:
        """The divergence at the tokens that are scored alone."""
        return self._everywhere(turn, kind)[self.scored(turn)]

    def _everywhere(self, turn: Turn, kind: Divergence) -> PerRow:
        teacher = self.said.get(place_of(turn))
        if teacher is None:
            return np.zeros(len(turn.reply.tokens))
        return divergence(np.array(turn.reply.logprobs), teacher, kind)

    def drawn(
        self, samples: Sequence[Sample], rollout: Rollout, pull: Callable[[Turn], PerRow], outcome: float = 1.0
    ) -> list[Sample]:
        """The samples with the teacher's pull on each token added to so many times their advantages."""
        turns: dict[Place | None, Turn] = {place_of(turn): turn for turn in rollout.flat()}
        pulled = [outcome * np.asarray(one.advantage) + pull(turns[one.place]) for one in samples]
        return [replace(one, advantage=tuple(row.tolist())) for one, row in zip(samples, pulled, strict=True)]

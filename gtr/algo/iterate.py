"""SFT on the agent's own won episodes, then RL, and again (as OpenVLThinker, arXiv 2503.17352, alternates them).

Without updates of RL it is rejection-sampled SFT, GTR-Turbo's failing baseline.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Le

from gtr.algo.base import Term
from gtr.algo.cloning import CLONING, ThoughtCloning
from gtr.algo.rl4vlm import RL4VLM, RL4VLMSettings
from gtr.guidance.teachers import thought
from gtr.types import Judgement, Sample, Turn, Verdict


@dataclass(frozen=True)
class IterateSettings(RL4VLMSettings):
    """Those of the rounds, beside RL4VLM's."""

    sft_updates: Annotated[int, Ge(1), Le(10_000_000)] = 1
    """Updates of SFT on won episodes with which a round begins."""
    rl_updates: Annotated[int, Ge(0), Le(10_000_000)] = 3
    """Updates of RL with which it goes on; 0 is rejection-sampled SFT."""


class Iterate(RL4VLM):
    """PPO that in between clones whole replies of episodes it won, of the whole run or of the latest rollout."""

    Settings = IterateSettings
    settings: IterateSettings

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        whole = replace(self.config.guidance, clone="thought_and_action")
        self.cloning = ThoughtCloning(whole, self.task, self.policy)

    @property
    def imitates(self) -> bool:
        """Whether this update is one of SFT."""
        settings = self.settings
        return self.update % (settings.sft_updates + settings.rl_updates) < settings.sft_updates

    def corrected(self, turns: Sequence[Turn]) -> Sequence[Turn]:
        """The turns of won episodes, as far as they lie in the rollout, with their own replies to clone."""
        won = {(turn.env, turn.episode) for turn in turns if turn.success}
        return [self._own(turn) if (turn.env, turn.episode) in won else turn for turn in turns]

    def _own(self, turn: Turn) -> Turn:
        said = thought(self.task, turn.parsed)
        if said is None:
            return turn
        return replace(turn, verdict=Verdict(Judgement.INCORRECT, said, turn.parsed.action))

    def losses(self) -> Mapping[str, Term]:
        terms = dict(super().losses())
        cloning = terms.pop(CLONING)
        return {CLONING: cloning} if self.imitates else terms

    def beside(self, count: int, rng: np.random.Generator) -> Sequence[Sample]:
        return super().beside(count, rng) if self.imitates else []

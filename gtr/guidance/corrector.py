"""The contract of a corrector: it sees a turn's picture and thought, judges the thought, and rewrites it if wrong."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from gtr.types import Observation, Parsed, Prompt, Truth, Verdict


@dataclass(frozen=True)
class Case:
    """One turn put before a corrector, before its action is played."""

    env: int
    episode: int
    index: int
    """Number of the turn within its episode, from 0."""
    prompt: Prompt
    observation: Observation
    truth: Truth
    """For oracles only: a corrector that is a model must not read it."""
    text: str
    """The reply as sampled."""
    parsed: Parsed


class Corrector(ABC):
    """Judges thoughts. A final subclass per kind of guide; what it remembers per episode is its own affair."""

    @abstractmethod
    def judge(self, cases: Sequence[Case]) -> list["Future[Verdict]"]:
        """One future per case, in order. Futures never raise for a bad answer: that is an ABSENT verdict.

        They raise `CorrectorError` only when the run cannot go on. A free corrector returns finished futures; one
        that asks over a network returns at once and lets the rollout go on where the verdict cannot end the episode.
        """

    def metrics(self) -> Mapping[str, float]:
        """Running totals for the log, for example cost in dollars and requests."""
        return {}

    def state(self) -> Mapping[str, object]:
        """What a checkpoint must hold, as JSON values, so that a resumed run judges as if it had never stopped."""
        return {}

    def restore(self, state: Mapping[str, object]) -> None:
        """Takes back what `state` gave."""

    def close(self) -> None:
        """Releases threads and connections; pending requests are dropped."""

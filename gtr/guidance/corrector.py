"""The contract of a corrector: it sees a turn's picture and thought, judges the thought, and rewrites it if wrong."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from gtr.contract import blamed, kept
from gtr.errors import ContractError, GtrError
from gtr.types import Judgement, Observation, Parsed, Prompt, Truth, Verdict


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
    def judge(self, cases: Sequence[Case]) -> Sequence["Future[Verdict]"]:
        """One future per case, in order. Futures never raise for a bad answer: that is an ABSENT verdict.

        They raise `CorrectorError` only when the run cannot go on. A free corrector returns finished futures; one
        that asks over a network returns at once and lets the rollout go on where the verdict cannot end the episode.
        """

    def __str__(self) -> str:
        """Its name, for messages."""
        return type(self).__name__

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


def ask(corrector: Corrector, cases: Sequence[Case]) -> Sequence["Future[Verdict]"]:
    """What a corrector is asked; ContractError where it does not answer case by case."""
    futures = corrector.judge(cases)
    if len(futures) != len(cases):
        text = f"{corrector}.judge returned {len(futures)} futures for {len(cases)} cases"
        raise ContractError(text, "return one for each case, in order")
    return futures


def answered(corrector: Corrector, future: "Future[Verdict]", case: Case) -> Verdict:
    """Waits for the verdict on a case; ContractError where the corrector raised, or gave something else."""
    where = f"{corrector}'s answer about turn {case.index} of episode {case.episode} in environment {case.env}"
    try:
        verdict = future.result()
    except GtrError:
        raise
    except Exception as error:
        remedy = "let a future that has no answer give Verdict(Judgement.ABSENT)"
        raise blamed(f"{where} raised {type(error).__name__}: {error}", remedy, error) from error
    if not _whole(verdict):
        kept(verdict, Verdict, where)
    return verdict


def _whole(verdict: object) -> bool:
    """Whether it is a verdict of which all that is read is of its type; sooner found out than by `kept`."""
    return (
        isinstance(verdict, Verdict)
        and isinstance(verdict.judgement, Judgement)
        and isinstance(verdict.thought, Mapping | None)
        and isinstance(verdict.action, str | None)
        and isinstance(verdict.target, str | None)
        and isinstance(verdict.score, float | int | None)
        and isinstance(verdict.answers, Mapping)
    )

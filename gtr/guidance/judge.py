"""A judge only scores: the score of a thought becomes a reward, and nothing is cloned (paper's ablation, which fails).

`guidance.judge score` asks how good each thought is; `compare` asks which of two turns of the same moment has the
better one, because models compare more reliably than they grade (arXiv 2402.03681). That work fits a reward model to
its preferences; here the outcome itself is the score.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import final

from gtr.config import GuidanceConfig
from gtr.guidance.corrector import Case, Corrector
from gtr.guidance.noise import Noise
from gtr.tasks.task import Task
from gtr.types import Judgement, ReplyStatus, Verdict

FIRST_BETTER: Mapping[str, float] = {"first": 1.0, "equal": 0.5, "second": 0.0}
"""The first one's score by what a comparison says."""


def scored(score: float, answers: Mapping[str, bool] | None = None) -> Verdict:
    """The verdict of a judge; `score` from 0 (worthless) to 1 (right in everything)."""
    return Verdict(Judgement.SCORED, answers=answers or {}, score=score)


UNREADABLE = scored(0.0)
"""A reply without a thought that could be read scores 0 and is not asked about."""
NO_RIVAL = scored(FIRST_BETTER["equal"])
"""A thought that meets no other is neither better nor worse."""


def reward_of(verdict: Verdict, config: GuidanceConfig) -> float:
    """What a judge's verdict adds to the reward of its turn: ``judge_reward x (2 score - 1)``, 0 without a score.

    Symmetric, so that a missing verdict counts neither for nor against a thought, and long episodes do not pay by
    themselves.
    """
    return 0.0 if verdict.score is None else config.judge_reward * (2 * verdict.score - 1)


@dataclass(frozen=True)
class Match:
    """Two turns that are compared; the second one's own score may come from another match."""

    first: Case
    second: Case
    settles_second: bool = True


def matches(cases: Sequence[Case]) -> list[Match]:
    """Neighbours against each other, every readable turn once; an odd last one meets the first, whose score is settled.

    Who is named first alternates from turn to turn, because models favour a place.
    """
    readable = [case for case in cases if case.parsed.status is ReplyStatus.COMPLETE]
    found = [_ordered(one, other) for one, other in zip(readable[::2], readable[1::2], strict=False)]
    if len(readable) > 1 and len(readable) % 2:
        found.append(Match(readable[-1], readable[0], settles_second=False))
    return found


def _ordered(one: Case, other: Case) -> Match:
    return Match(one, other) if (one.index + one.episode + one.env // 2) % 2 == 0 else Match(other, one)


def flipped(verdict: Verdict) -> Verdict:
    """The second one's verdict from the first one's."""
    return verdict if verdict.score is None else replace(verdict, score=1 - verdict.score)


@final
class OracleJudge(Corrector):
    """Scores by the share of `Task.check`'s questions that a thought passes: exact and free, but for its `noise`."""

    def __init__(self, task: Task, compares: bool, noise: Noise | None = None) -> None:
        self._task, self._compares, self._noise = task, compares, noise

    def judge(self, cases: Sequence[Case]) -> list["Future[Verdict]"]:
        verdicts = {id(case): self._score(case) for case in cases}
        if self._compares:
            verdicts = self._compared(cases, {name: one.score or 0.0 for name, one in verdicts.items()})
        return [_finished(verdicts[id(case)]) for case in cases]

    def _score(self, case: Case) -> Verdict:
        if case.parsed.status is not ReplyStatus.COMPLETE:
            return UNREADABLE
        answers = self._task.check(case.truth, case.parsed, None)
        if not answers:
            return Verdict(Judgement.ABSENT)
        exact = scored(sum(answers.values()) / len(answers), answers)
        return exact if self._noise is None else self._noise.score(case, exact)

    def _compared(self, cases: Sequence[Case], shares: Mapping[int, float]) -> dict[int, Verdict]:
        readable = {id(case): NO_RIVAL for case in cases if case.parsed.status is ReplyStatus.COMPLETE}
        verdicts = dict.fromkeys(map(id, cases), UNREADABLE) | readable
        for match in matches(cases):
            first, second = shares[id(match.first)], shares[id(match.second)]
            verdict = scored(0.5 + 0.5 * ((first > second) - (first < second)))
            verdicts[id(match.first)] = verdict
            if match.settles_second:
                verdicts[id(match.second)] = flipped(verdict)
        return verdicts


def _finished(verdict: Verdict) -> "Future[Verdict]":
    future: Future[Verdict] = Future()
    future.set_result(verdict)
    return future

"""From a policy's tokens and a task's truth to the plain values of a transcript.

Where each token lies, what learning made of it, how the task judges the thought, and what an expert would have thought.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import exp
from typing import Any

from gtr.config import Config
from gtr.losses.kl import MAX_LOG_RATIO
from gtr.policy.policy import Policy
from gtr.report.files import plain
from gtr.report.transcript import Trace
from gtr.tasks.task import Task
from gtr.types import Lesson, ReplyStatus, Turn
from gtr.update import token_weights


def played(turns: Sequence[Turn], policy: Policy, task: Task) -> list[Trace]:
    """Traces of turns that nothing was learnt from."""
    return [_judged(Trace(_ends(turn.reply.tokens, policy)), turn, task) for turn in turns]


def learnt(
    turns: Sequence[Turn],
    lessons: Sequence[Lesson | None],
    scored: Sequence[Sequence[float]],
    policy: Policy,
    task: Task,
    config: Config,
) -> list[Trace]:
    """Traces of turns that were learnt from; `lessons` and `scored` (see `gtr.update.learn`) have one entry each."""
    return [
        _judged(_learnt(turn, lesson, row, policy, config), turn, task)
        for turn, lesson, row in zip(turns, lessons, scored, strict=True)
    ]


def _judged(trace: Trace, turn: Turn, task: Task) -> Trace:
    complete = turn.parsed.status is ReplyStatus.COMPLETE
    checks = dict(task.check(turn.truth, turn.parsed, None)) if complete else {}
    return replace(trace, checks=checks, expert=_expert(turn, task))


def _expert(turn: Turn, task: Task) -> Mapping[str, Any] | None:
    expert = task.expert(turn.truth, None if turn.verdict is None else turn.verdict.target)
    return None if expert is None else {**plain(expert.thought), "action": expert.action}


def _learnt(turn: Turn, lesson: Lesson | None, scored: Sequence[float], policy: Policy, config: Config) -> Trace:
    weights = token_weights(turn, policy, config)
    pairs = zip(weights, scored, turn.reply.logprobs, strict=True)
    moved = sum(weight * (new - old) for weight, new, old in pairs if weight > 0)
    taught = None
    if lesson is not None:
        text, ends = policy.decode(lesson.tokens), _ends(lesson.tokens, policy)
        taught = {"text": text, "ends": ends, "weights": lesson.weights}
    ratio = exp(max(-MAX_LOG_RATIO, min(MAX_LOG_RATIO, moved))) if any(weights) else None
    return Trace(_ends(turn.reply.tokens, policy), weights, scored, ratio, taught)


def _ends(tokens: Sequence[int], policy: Policy) -> list[int]:
    return [end for _, end in policy.offsets(tokens)]

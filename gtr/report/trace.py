"""From a policy's tokens and a task's truth to the plain values of a transcript.

Where each token lies, what learning made of it, how the task judges the thought, and what an expert would have thought.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import exp
from typing import Any

import numpy as np

from gtr.algo.cloning import CLONING
from gtr.losses.kl import MAX_LOG_RATIO
from gtr.policy.policy import Policy
from gtr.report.files import plain
from gtr.report.transcript import Trace
from gtr.tasks.task import Task
from gtr.types import ReplyStatus, Sample, Turn


def played(turns: Sequence[Turn], policy: Policy | None, task: Task) -> list[Trace]:
    """Traces of turns that nothing was learnt from; no policy has no tokens."""
    return [_judged(Trace(_ends(turn.reply.tokens, policy) if policy else []), turn, task) for turn in turns]


def learnt(
    turns: Sequence[Turn],
    samples: Sequence[Sample],
    logprobs: Sequence[Sequence[float]],
    lessons: Sequence[Sample],
    policy: Policy,
    task: Task,
) -> list[Trace]:
    """Traces of turns that were learnt from: `samples` with their `logprobs` (see `gtr.learner.Learnt`), and the
    corrected thoughts among them or beside, each of which names its turn as its `Sample.place`."""
    rows = {sample.place: (sample, scored) for sample, scored in zip(samples, logprobs, strict=True)}
    taught = {lesson.place: lesson for lesson in lessons}
    places = [(turn.env, turn.episode, turn.index) for turn in turns]
    return [
        _judged(_learnt(turn, rows.get(place), taught.get(place), policy), turn, task)
        for turn, place in zip(turns, places, strict=True)
    ]


def _judged(trace: Trace, turn: Turn, task: Task) -> Trace:
    complete = turn.parsed.status is ReplyStatus.COMPLETE
    checks = dict(task.check(turn.truth, turn.parsed, None)) if complete else {}
    return replace(trace, checks=checks, expert=_expert(turn, task))


def _expert(turn: Turn, task: Task) -> Mapping[str, Any] | None:
    expert = task.expert(turn.truth, None if turn.verdict is None else turn.verdict.target)
    return None if expert is None else {**plain(expert.thought), "action": expert.action}


def _learnt(turn: Turn, row: tuple[Sample, Sequence[float]] | None, lesson: Sample | None, policy: Policy) -> Trace:
    taught = None
    if lesson is not None:
        text, ends = policy.decode(lesson.tokens), _ends(lesson.tokens, policy)
        taught = {"text": text, "ends": ends, "weights": lesson.weights[CLONING]}
    if row is None:
        return Trace(_ends(turn.reply.tokens, policy), lesson=taught)
    sample, scored = row
    weights = sample.weights.get("policy", ())
    pairs = zip(weights, scored, sample.old, strict=True) if weights else ()
    moved = sum(weight * (new - old) for weight, new, old in pairs if weight > 0)
    ratio = exp(max(-MAX_LOG_RATIO, min(MAX_LOG_RATIO, moved))) if any(weights) else None
    advantage = float(np.mean(sample.advantage))
    return Trace(_ends(turn.reply.tokens, policy), weights, scored, ratio, taught, advantage=advantage)


def _ends(tokens: Sequence[int], policy: Policy) -> list[int]:
    return [end for _, end in policy.offsets(tokens)]

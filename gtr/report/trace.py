"""From a policy's tokens to the plain numbers of a transcript: where each token lies, and what learning made of it."""

from collections.abc import Sequence
from math import exp

from gtr.config import Config
from gtr.losses.kl import MAX_LOG_RATIO
from gtr.policy.policy import Policy
from gtr.report.transcript import Trace
from gtr.types import Lesson, Turn
from gtr.update import token_weights


def played(turns: Sequence[Turn], policy: Policy) -> list[Trace]:
    """Traces of turns that nothing was learnt from."""
    return [Trace(_ends(turn.reply.tokens, policy)) for turn in turns]


def learnt(
    turns: Sequence[Turn],
    lessons: Sequence[Lesson | None],
    scored: Sequence[Sequence[float]],
    policy: Policy,
    config: Config,
) -> list[Trace]:
    """Traces of turns that were learnt from; `lessons` and `scored` (see `gtr.update.learn`) have one entry each."""
    return [
        _learnt(turn, lesson, row, policy, config) for turn, lesson, row in zip(turns, lessons, scored, strict=True)
    ]


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

"""Every turn as a line a person can read, its picture stored once under the hash of its pixels."""

import gzip
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import exp
from pathlib import Path
from typing import Any

from gtr.policy.pictures import to_png
from gtr.report.files import encode, sync, write_whole
from gtr.types import Image, Turn, Verdict


class ImageStore:
    """Lossless pictures in one folder, each named by its content, so that equal ones take space once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._unnamed = False

    def add(self, image: Image) -> str:
        """Stores a picture (height, width, 3) and returns its file name, ``<20 hex digits>.png``."""
        name = hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()[:20] + ".png"
        # Asking the folder for one name keeps neither memory nor time growing with the pictures of a run.
        if not (self.path / name).exists():
            write_whole(self.path / name, to_png(image), named=False)
        # Another process may have written it a moment ago, and not its name.
        self._unnamed = True
        return name

    def sync(self) -> None:
        """Brings the names of all pictures to the disk: call it before a file that names them is written."""
        if self._unnamed:
            sync(self.path)
            self._unnamed = False


@dataclass(frozen=True)
class Trace:
    """What is known of a turn and each token of its reply, as plain values: who reads it needs no model and no task."""

    ends: Sequence[int]
    """Where each token's characters end in the reply's text; they begin where those of the one before end."""
    weights: Sequence[float] = ()
    """PPO's weight of each token; empty where the turn was not learnt from."""
    scored: Sequence[float] = ()
    """Log-probability of each token when the update last passed over the turn; empty as above."""
    ratio: float | None = None
    """PPO's ratio of the whole turn in that pass: exp of the weighted sum of log-ratios."""
    lesson: Mapping[str, Any] | None = None
    """The lesson the turn gave: its ``text``, where each token ``ends`` in it, and each token's cloning weight."""
    checks: Mapping[str, bool] | None = None
    """`Task.check` of the thought, empty where it cannot be asked. Kept, since the truth's live objects are not."""
    expert: Mapping[str, Any] | None = None
    """What `Task.expert` would have thought and, as ``action``, done; None where nothing helps."""
    advantage: float | None = None
    """As it was learnt from; of tokens with advantages of their own, the mean."""


def write_transcript(
    path: Path,
    turns: Sequence[Turn],
    advantages: Sequence[float | None] | None,
    images: ImageStore,
    traces: Sequence[Trace] | None = None,
) -> None:
    """Writes one gzipped JSON line per turn, whole or not at all; equal turns give equal bytes."""
    weights = [None] * len(turns) if advantages is None else list(advantages)
    traced = [None] * len(turns) if traces is None else list(traces)
    lines = b"".join(
        encode(turn_record(turn, images.add(turn.prompt.image), weight, trace))
        for turn, weight, trace in zip(turns, weights, traced, strict=True)
    )
    images.sync()
    write_whole(path, gzip.compress(lines, compresslevel=6, mtime=0))


def turn_record(turn: Turn, image: str, advantage: float | None, trace: Trace | None = None) -> dict[str, Any]:
    """A turn as JSON values; `image` is the name of its picture in the run's ``images`` folder."""
    return {
        "env": turn.env,
        "episode": turn.episode,
        "turn": turn.index,
        "prompt": turn.prompt.text,
        "image": image,
        "reply": turn.reply.text,
        "tokens": len(turn.reply.tokens),
        "logprob": sum(turn.reply.logprobs),
        "finished": turn.reply.finished,
        "status": turn.parsed.status,
        "fields": turn.parsed.fields,
        "action": turn.parsed.action,
        "implied": turn.implied,
        "legal": turn.legal,
        "reward": turn.reward,
        "judge_reward": turn.judge_reward,
        "value": turn.reply.value,
        "bootstrap": turn.bootstrap,
        "advantage": advantage,
        "ending": turn.ending,
        "success": turn.success,
        "verdict": None if turn.verdict is None else verdict_record(turn.verdict),
        "truth": turn.truth.state,
        "checks": None if trace is None or trace.checks is None else dict(trace.checks),
        "expert": None if trace is None else trace.expert,
        "ratio": None if trace is None or trace.ratio is None else round(trace.ratio, 4),
        "per_token": None if trace is None else token_record(turn, trace),
        "lesson": None if trace is None or trace.lesson is None else lesson_record(trace.lesson),
    }


def token_record(turn: Turn, trace: Trace) -> Mapping[str, Any]:
    """A trace as JSON values, three decimals of each number; weights as pairs (how many tokens, weight)."""
    logprobs = turn.reply.logprobs
    return {
        "ends": list(trace.ends),
        "logprobs": [round(one, 3) for one in logprobs],
        "weights": run_lengths(trace.weights),
        "ratios": [round(exp(new - old), 3) for new, old in zip(trace.scored, logprobs, strict=False)],
    }


def lesson_record(lesson: Mapping[str, Any]) -> Mapping[str, Any]:
    """A trace's lesson as JSON values."""
    return {"text": lesson["text"], "ends": list(lesson["ends"]), "weights": run_lengths(lesson["weights"])}


def run_lengths(values: Sequence[float]) -> list[list[float]]:
    """Neighbouring equal values as pairs (how many, value).

    >>> run_lengths([0.5, 0.5, 1.0])
    [[2, 0.5], [1, 1.0]]
    """
    return [[len(list(group)), value] for value, group in groupby(values)]


def verdict_record(verdict: Verdict) -> Mapping[str, Any]:
    """A corrector's answer as JSON values."""
    return {key: value for key, value in vars(verdict).items() if key != "announced"}

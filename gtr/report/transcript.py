"""Every turn as a line a person can read, its picture stored once under the hash of its pixels."""

import gzip
import hashlib
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image as Pictures

from gtr.report.files import encode, plain, write_whole
from gtr.types import Image, Turn, Verdict


class ImageStore:
    """Lossless pictures in one folder, each named by its content, so that equal ones take space once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known = set(os.listdir(path)) if path.exists() else set()

    def add(self, image: Image) -> str:
        """Stores a picture (height, width, 3) and returns its file name, ``<20 hex digits>.png``."""
        name = hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()[:20] + ".png"
        if name not in self._known:
            self.path.mkdir(exist_ok=True)
            data = io.BytesIO()
            Pictures.fromarray(image).save(data, format="png", compress_level=3)
            beside = self.path / f".{name}.{os.getpid()}.part"
            beside.write_bytes(data.getvalue())
            beside.replace(self.path / name)
            self._known.add(name)
        return name


def write_transcript(path: Path, turns: Sequence[Turn], advantages: Sequence[float] | None, images: ImageStore) -> None:
    """Writes one gzipped JSON line per turn, whole or not at all; equal turns give equal bytes."""
    weights = [None] * len(turns) if advantages is None else list(advantages)
    lines = b"".join(
        encode(turn_record(turn, images.add(turn.prompt.image), weight))
        for turn, weight in zip(turns, weights, strict=True)
    )
    write_whole(path, gzip.compress(lines, compresslevel=6, mtime=0))


def read_transcript(path: Path) -> list[dict[str, Any]]:
    """The records that `write_transcript` wrote."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def turn_record(turn: Turn, image: str, advantage: float | None) -> dict[str, Any]:
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
        "fields": plain(turn.parsed.fields),
        "action": turn.parsed.action,
        "implied": turn.implied,
        "legal": turn.legal,
        "reward": turn.reward,
        "format_reward": turn.format_reward,
        "judge_reward": turn.judge_reward,
        "value": turn.reply.value,
        "bootstrap": turn.bootstrap,
        "advantage": advantage,
        "ending": turn.ending,
        "success": turn.success,
        "verdict": None if turn.verdict is None else verdict_record(turn.verdict),
        "truth": plain(turn.truth.state),
    }


def verdict_record(verdict: Verdict) -> Mapping[str, Any]:
    """A corrector's answer as JSON values."""
    return {
        "judgement": verdict.judgement,
        "thought": plain(verdict.thought),
        "action": verdict.action,
        "answers": plain(verdict.answers),
        "target": verdict.target,
        "stop": verdict.stop,
        "score": verdict.score,
    }

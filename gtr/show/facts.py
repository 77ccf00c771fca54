"""What a person asks of a run first: how far, how fast, until when, from which code, on which machine."""

import math
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from gtr.report.history import History

RECENT = 5
"""Updates whose mean duration the time left is judged by."""


def facts(history: History) -> dict[str, Any]:
    """``machine``, ``code`` and ``gtr`` of its first start (empty where not known), ``seconds`` of an update,
    ``turns_per_second``, ``left`` seconds (None where not known, or none is to come), and all ``settings``."""
    run, done = history.run, max([0, *history.updates])
    start = next(iter(run.starts()), {})
    code = start.get("code") or {}
    seconds = _seconds(history)
    each = run.turns_per_update if done not in history.turns or not done else history.turns[done] / done
    left = max(0, run.whole("train.updates") - done) * seconds
    known = seconds > 0
    return {
        "machine": start.get("device", ""),
        "code": (str(code.get("commit", ""))[:10] + (" with changes" if code.get("dirty") else "")) if code else "",
        "gtr": start.get("gtr", ""),
        "seconds": round(seconds, 2) if known else None,
        "turns_per_second": round(each / seconds, 1) if known else None,
        "left": round(left) if known and run.goes_on(done) else None,
        "settings": {key: value for key, value in run.settings.items() if isinstance(value, str | int | float | None)},
    }


def _seconds(history: History) -> float:
    """The mean duration of the last updates, evaluations left out; 0 where it was not measured."""
    stages = [values for name, values in history.series.items() if name.startswith("seconds/")]
    return fmean(map(_sum, list(zip(*stages, strict=True))[-RECENT:])) if stages and history.updates else 0.0


def _sum(values: Sequence[float]) -> float:
    return math.fsum(value for value in values if value >= 0)

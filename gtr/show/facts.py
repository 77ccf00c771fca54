"""What a person asks of a run first: how far, how fast, until when, from which code, on which machine."""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from statistics import fmean
from typing import Any

from gtr.report.history import History, durations

RECENT = 5
"""Updates whose mean duration the time left is judged by."""


def facts(history: History) -> dict[str, Any]:
    """``machine``, ``code`` and ``gtr`` of its first start (empty where not known), ``seconds`` of an update,
    ``turns_per_second``, ``left`` seconds (None where not known, or none is to come), and all ``settings``."""
    run, done = history.run, max([0, *history.updates])
    start = next(iter(run.starts()), {})
    code = start.get("code") or {}
    seconds = fmean(durations(history.series)[-RECENT:] or [0.0])
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


def reached(history: History) -> Mapping[str, Sequence[float]]:
    """What had been played and taken up to each of `updates`: ``turns``, and ``seconds`` (evaluations left out) and
    ``tokens`` (of all replies) where they were measured."""
    tokens = [value if value >= 0 else 0.0 for value in history.series.get("count/tokens", ())]
    found = {
        "turns": [float(history.turns[update]) for update in history.updates],
        "seconds": [round(value, 1) for value in accumulate(durations(history.series))],
        "tokens": list(accumulate(tokens)),
    }
    return {name: values for name, values in found.items() if values and values[-1] > 0}

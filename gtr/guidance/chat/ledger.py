"""What correction costs: every request on a line of its own, totals that survive a restart, a budget that holds."""

import math
import threading
import time
from collections import Counter, deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gtr.guidance.chat.model import FailureKind, Tokens
from gtr.report.files import JsonlFile

RECENT = 1000
"""Answered requests over which latency is taken."""
ANSWERED = "answered"
MOST = 1e15
"""No number of a ledger is as large."""


class Ledger:
    """Totals over a run, resumed parts included. Dollars that a failed request may have cost count as spent.

    A request is first `reserve`d at the most it can cost, so that what is under way can never pass the budget, and
    then settled by `answered` or `failed`. Both are on file: of a request that was under way when the process was
    killed, the next one knows, and counts it at the most. A line that cannot be read settles nothing either.
    """

    def __init__(self, file: Path | None, budget: float | None) -> None:
        self._file = JsonlFile(file)
        self._lock = threading.Lock()
        self._budget = math.inf if budget is None else budget
        self._open: dict[int, float] = {}
        """Requests under way, by number, and the most that each can cost."""
        self._seconds: deque[float] = deque(maxlen=RECENT)
        self.usd = self.usd_unsure = 0.0
        self.tokens_in = self.tokens_out = 0
        self.outcomes: Counter[str] = Counter()
        self.events: Counter[str] = Counter()
        self._numbers = 0
        self._file.read(self._take)
        for number, most in list(self._open.items()):
            self.failed(number, FailureKind.LOST, most, 0.0)

    def reserve(self, most: float) -> int | None:
        """Sets dollars aside for one request and returns its number; None when the budget does not hold them."""
        with self._lock:
            if self.usd + self.usd_unsure + sum(self._open.values()) + most > self._budget:
                return None
            self._numbers += 1
            self._open[self._numbers] = most
            number = self._numbers
        try:
            self._file.append({"request": number, "time": round(time.time(), 3), "at_most": most})
        except BaseException:
            with self._lock:
                self._open.pop(number)
            raise
        return number

    def answered(self, number: int, usd: float, taken: Tokens, seconds: float) -> None:
        """Books a request that brought an answer."""
        self._book(number, ANSWERED, seconds, {"usd": usd, "in": taken.sent, "out": taken.written})

    def failed(self, number: int, kind: FailureKind, unsure: float, seconds: float) -> None:
        """Books a request that brought none; `unsure` is what it may have cost all the same."""
        self._book(number, str(kind), seconds, {"unsure": unsure})

    def billed(self, number: int, kind: FailureKind, usd: float, taken: Tokens, seconds: float) -> None:
        """Books a request that brought no answer, of which the server says what it took."""
        self._book(number, str(kind), seconds, {"usd": usd, "in": taken.sent, "out": taken.written})

    def count(self, event: str) -> None:
        """Notes something that is no request: a cache hit, a repair, a tool call."""
        with self._lock:
            self.events[event] += 1

    def _book(self, number: int, outcome: str, seconds: float, cost: Mapping[str, float]) -> None:
        record = {"request": number, "outcome": outcome, **cost, "seconds": round(seconds, 3)}
        with self._lock:
            self._open.pop(number)
            self._add(record)
        self._file.append(record)

    def _take(self, line: Mapping[str, Any]) -> None:
        """Takes in a line of an earlier process."""
        number = _counted(line, "request")
        if "outcome" in line:
            record = {name: _counted(line, name) for name in ("usd", "unsure", "in", "out", "seconds") if name in line}
            self._add({**record, "outcome": str(line["outcome"])})
            self._open.pop(number, None)
        else:
            self._open[number] = _counted(line, "at_most")
        self._numbers = max(self._numbers, number)

    def _add(self, record: Mapping[str, Any]) -> None:
        self.outcomes[record["outcome"]] += 1
        self.usd += record.get("usd", 0.0)
        self.usd_unsure += record.get("unsure", 0.0)
        self.tokens_in += record.get("in", 0)
        self.tokens_out += record.get("out", 0)
        if record["outcome"] == ANSWERED:
            self._seconds.append(record.get("seconds", 0.0))

    def metrics(self) -> dict[str, float]:
        """Running totals under their names in `docs/METRICS.md`."""
        with self._lock:
            failed = {kind: count for kind, count in self.outcomes.items() if kind != ANSWERED}
            values = {
                "usd": self.usd,
                "usd_unsure": self.usd_unsure,
                "requests": self.outcomes.total(),
                "failed": sum(failed.values()),
                "tokens_in": self.tokens_in,
                "tokens_out": self.tokens_out,
                **{f"failed/{kind}": count for kind, count in sorted(failed.items())},
                **{event: self.events[event] for event in EVENTS},
            }
            if self._seconds:
                ordered = sorted(self._seconds)
                values |= {"seconds_p50": quantile(ordered, 0.5), "seconds_p95": quantile(ordered, 0.95)}
        return {f"corrector/{name}": float(value) for name, value in values.items()}

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


EVENTS = ("cache_hits", "repairs", "tool_calls", "invalid", "contradictions", "unfunded", "down")
"""What `Ledger.count` is told about."""


def _counted(line: Mapping[str, Any], name: str) -> Any:
    """A number of a line; raises `ValueError` where it is none that was ever written."""
    value = line[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < MOST:
        raise ValueError(f"{name} is {str(value)[:40]!r}, not a number from 0")
    return value


def quantile(ordered: list[float], share: float) -> float:
    """The nearest-rank quantile of ascending numbers."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]

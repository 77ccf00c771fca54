"""What correction costs: list prices as of November 2025, the most that a request can take, and a ledger of all.

The ledger has a line for every request, totals that survive a restart, and a budget that holds.
"""

import math
import re
import threading
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gtr.config import CorrectorConfig
from gtr.errors import ConfigError
from gtr.guidance.chat.model import FailureKind, Tokens
from gtr.report.files import JsonlFile

MILLION = 1_000_000
IMAGE_TOKENS = 2000
"""An upper bound for one small picture, for models that do not say."""
TEMPLATE_TOKENS = 200
"""What a server's chat template may add to what we send."""
KNOWN = 5
"""Answers after which the server's own counts bound what a request can have taken that brought none."""
MARGIN_SENT, MARGIN_WRITTEN = 1.25, 2.0
"""By how much such a request may exceed every answered one."""
_DATED = re.compile(r"-\d{4}-\d{2}-\d{2}$")
RECENT = 1000
"""Answered requests over which latency is taken."""
ANSWERED = "answered"
MOST = 1e15
"""No number of a ledger is as large."""


@dataclass(frozen=True)
class Price:
    """Dollars per million tokens, and an upper bound of what a picture of the games counts in tokens."""

    input: float
    output: float
    image_tokens: int = IMAGE_TOKENS

    def usd(self, tokens: Tokens) -> float:
        """Dollars for one request."""
        return (self.input * tokens.sent + self.output * tokens.written) / MILLION


PRICES: Mapping[str, Price] = {
    "gpt-4o": Price(2.5, 10.0),
    "gpt-4o-mini": Price(0.15, 0.6, 26_000),
    "gpt-4.1": Price(2.0, 8.0),
    "gpt-4.1-mini": Price(0.4, 1.6, 2500),
    "gpt-4.1-nano": Price(0.1, 0.4, 4000),
    "gpt-5": Price(1.25, 10.0),
    "gpt-5-mini": Price(0.25, 2.0, 2500),
    "gpt-5-nano": Price(0.05, 0.4, 4000),
}
"""By model; a dated name such as gpt-4o-2024-11-20 costs what the undated one does."""
FREE = Price(0.0, 0.0)
"""Where the price is not known and no budget has to be kept."""


def price_of(config: CorrectorConfig) -> Price | None:
    """The price of the settings' model: theirs, else the table's; None where neither knows it.

    Raises:
        ConfigError: a budget without a price could not be kept.
    """
    listed = PRICES.get(_DATED.sub("", config.model.rpartition("/")[2]))
    if config.price_in is not None and config.price_out is not None:
        return Price(config.price_in, config.price_out, listed.image_tokens if listed else IMAGE_TOKENS)
    if listed is None and config.budget_usd is not None:
        raise ConfigError(
            f"corrector.budget_usd is set, but the price of {config.model!r} is not known: give corrector.price_in "
            "and corrector.price_out in dollars per million tokens (0 and 0 for a server of your own)"
        )
    return listed


class TokenBounds:
    """The most tokens that a request can take, before it is sent and once it has ended.

    Before: a token is at least one byte of text, a picture counts as the price table says, and `max_tokens` may be
    written. After `KNOWN` answers the server's own counts narrow that for requests of which it does not say what they
    took. What was sent is counted alike every time, so it is at most `MARGIN_SENT` times the largest share of its
    bound that any answered request took. What was written is bounded only where the server itself ended the request:
    by `MARGIN_WRITTEN` times the longest answer so far, and by more in proportion where it took longer than any
    answer did. A server that we stopped listening to may have written on, up to `max_tokens`.

    Example: bounds of 4,000 sent and 800 written, answers of 1,100 sent in 1 s and 90 written. A connection that the
    server broke off after 0.5 s took at most 1,375 sent and 180 written; one that we gave up, 1,375 and 800.
    """

    def __init__(self, image_tokens: int, max_tokens: int) -> None:
        self._image_tokens, self._max_tokens = image_tokens, max_tokens
        self._answers = 0
        self._share = self._longest = self._slowest = 0.0

    def most(self, text: int, images: int) -> Tokens:
        """For a request of so many bytes of text and so many pictures."""
        return Tokens(text + TEMPLATE_TOKENS + images * self._image_tokens, self._max_tokens)

    def learn(self, most: Tokens, taken: Tokens, seconds: float) -> None:
        """Notes what an answered request took."""
        self._answers += 1
        self._share = max(self._share, taken.sent / most.sent)
        self._longest = max(self._longest, taken.written)
        self._slowest = max(self._slowest, seconds)

    def narrowed(self, most: Tokens, seconds: float | None) -> Tokens:
        """For a request of which the server does not say what it took, and which it ended after so many seconds.

        `seconds` is None where we ended it.
        """
        if self._answers < KNOWN:
            return most
        sent = min(most.sent, math.ceil(MARGIN_SENT * self._share * most.sent))
        if seconds is None:
            return Tokens(sent, most.written)
        longer = max(1.0, seconds / self._slowest) if self._slowest else 1.0
        written = math.ceil(MARGIN_WRITTEN * self._longest * longer)
        return Tokens(sent, min(most.written, written))


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

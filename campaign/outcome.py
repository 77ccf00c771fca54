"""What counts as an answer: the promised one, or a named error, in time. Everything else is a finding."""

import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

SHOWN = 300
"""Characters of an input that a finding shows."""
KEPT = 20
"""Findings of one attack that are kept in full; the others are counted."""


class Hung(BaseException):
    """It took longer than it may."""


@dataclass
class Outcome:
    """What became of one attack."""

    tried: int = 0
    findings: list[str] = field(default_factory=list)
    """Each with what repeats it."""
    fell: int = 0
    measured: dict[str, str] = field(default_factory=dict)
    """What else was seen, for the table."""
    _kinds: set[str] = field(default_factory=set)

    def find(self, what: str, kind: str = "") -> None:
        """Notes a finding; of one kind, the first is kept, and said at once."""
        self.fell += 1
        if (kind or what) not in self._kinds and len(self.findings) < KEPT:
            self._kinds.add(kind or what)
            self.findings.append(what)
            print(f"--- {what}", file=sys.__stderr__, flush=True)

    def add(self, other: "Outcome") -> None:
        """What became of a part."""
        self.tried, self.fell = self.tried + other.tried, self.fell + other.fell
        self.findings += other.findings

    def expect(self, good: bool, what: str) -> None:
        """Notes a finding unless something holds."""
        if not good:
            self.find(what)

    def call(self, do: Callable[[], Any], allowed: tuple[type[BaseException], ...], what: str, most: float) -> Any:
        """Does one thing that may end with an `allowed` error, within `most` seconds; returns what it returns."""
        self.tried += 1
        try:
            with within(most):
                return do()
        except allowed:
            return None
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            kind = f"{type(error).__name__} at {last.filename.rpartition('/gtr/')[2]}:{last.lineno}"
            trail = "".join(traceback.format_exception(error)[-6:])
            self.find(f"{what[:SHOWN]}\n  {kind}\n{trail[-1500:]}", what.partition(":")[0] + kind)
            return None


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raises `Hung` in whatever runs longer."""

    def late(number: int, frame: FrameType | None) -> None:
        raise Hung(f"longer than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

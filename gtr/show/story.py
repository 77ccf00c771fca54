"""What happened, in plain sentences computed from the runs: did thoughts collapse, and did guidance prevent it?"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

from gtr.metrics.alarm import BASELINE
from gtr.report.history import History

Fate = Literal["collapsed", "decayed", "healthy", "unknown"]

WHAT = (
    "Thought collapse is what happens when an agent is rewarded for outcomes alone: it goes on writing thoughts, but "
    "they stop saying what the picture shows, and its plans stop working."
)
DECAY = 0.1
"""Fall of a share, from the start to the end, that counts as decay where the alarm did not ring: its own margin."""
STEADY = 0.015
"""Change that is not worth a word."""
LAST = 2
"""Measurements of training itself, each of one small rollout, whose mean is the share at the end."""
MAIN = "gtr"
SEEING, PLANNING = "thought/perception", "thought/start_plan"


@dataclass(frozen=True)
class Change:
    """A share at the start and at the end, mean over runs; NaN where it was not measured."""

    start: float
    end: float

    @property
    def known(self) -> bool:
        return not math.isnan(self.start + self.end)

    @property
    def fell(self) -> bool:
        return self.known and self.start - self.end >= DECAY

    def words(self) -> str:
        """``fell from 97% to 44%``."""
        start, end = percent(self.start), percent(self.end)
        if abs(self.start - self.end) < STEADY:
            return f"stayed at {end}"
        return f"{'fell' if self.start > self.end else 'rose'} from {start} to {end}"


@dataclass(frozen=True)
class Method:
    """What became of one method's runs."""

    name: str
    guided: bool
    runs: int
    rang: Sequence[int]
    """Update after which the alarm first rang, of each run in which it did."""
    seeing: Change
    planning: Change
    success: Change
    panel: bool
    """Whether the shares are of the fixed panel; else of training itself."""

    @property
    def fate(self) -> Fate:
        if self.rang:
            return "collapsed"
        if self.seeing.fell or self.planning.fell:
            return "decayed"
        return "healthy" if self.seeing.known or self.planning.known else "unknown"

    @property
    def label(self) -> str:
        seeds = f", {self.runs} seeds" if self.runs > 1 else ""
        return f"{self.name}{seeds}"


def methods_of(histories: Sequence[History]) -> list[Method]:
    """The methods of some runs: those without guidance, then the one that this is about, then its variants."""
    names = list(dict.fromkeys(one.run.method for one in histories))
    methods = [_method(name, [one for one in histories if one.run.method == name]) for name in names]
    return sorted(methods, key=lambda method: (method.guided, method.name != MAIN))


def _method(name: str, histories: Sequence[History]) -> Method:
    panel = all(len(one.panel) > 1 for one in histories)
    return Method(
        name,
        histories[0].run.guided,
        len(histories),
        [one.collapse.update for one in histories if one.collapse is not None],
        _change(histories, SEEING, panel),
        _change(histories, PLANNING, panel),
        _change(histories, "episode/success", panel),
        panel,
    )


def _change(histories: Sequence[History], metric: str, panel: bool) -> Change:
    ends = [_ends(history, metric, panel) for history in histories]
    known = [(start, end) for start, end in ends if not math.isnan(start + end)]
    if not known:
        return Change(math.nan, math.nan)
    return Change(fmean(start for start, _ in known), fmean(end for _, end in known))


def _ends(history: History, metric: str, panel: bool) -> tuple[float, float]:
    if panel:
        first, last = history.panel[0], history.panel[-1]
        return first["health"].get(metric, math.nan), last["health"].get(metric, math.nan)
    values = [value for value in history.series.get(metric, []) if not math.isnan(value)]
    if len(values) < BASELINE + LAST:
        return math.nan, math.nan
    return fmean(values[:BASELINE]), fmean(values[-LAST:])


def story(histories: Sequence[History]) -> dict[str, Any]:
    """``headline``, ``what`` (the definition) and ``sentences``, one per method, for the head of the page."""
    methods = methods_of(histories)
    return {
        "headline": headline(methods),
        "what": WHAT,
        "sentences": [{"method": method.name, "fate": method.fate, "text": _sentence(method)} for method in methods],
    }


def headline(methods: Sequence[Method]) -> str:
    """The answer in one sentence."""
    known = [method for method in methods if method.fate != "unknown"]
    if not known:
        return "Too early to tell: no health of thoughts has been measured yet, or this game cannot judge them."
    plain = [method for method in known if not method.guided]
    guided = [method for method in known if method.guided]
    if plain and guided:
        return _contrast(plain, {method.fate for method in guided})
    return f"Thoughts {_became(known)}."


def _contrast(plain: Sequence[Method], guided: set[Fate]) -> str:
    """Without guidance against with it."""
    became = _became(plain)
    if {method.fate for method in plain} == {"healthy"}:
        return "No thought collapse: thoughts stayed healthy with guidance and without."
    if guided == {"healthy"}:
        return f"Without guidance thoughts {became}; guided, they stayed healthy."
    return f"Without guidance thoughts {became}, and guidance did not prevent it."


def _became(methods: Sequence[Method]) -> str:
    """What became of the thoughts of some methods together; a collapse of some runs only is told as such."""
    rang, runs = sum(len(method.rang) for method in methods), sum(method.runs for method in methods)
    if rang:
        return "collapsed" if rang == runs else f"collapsed in {rang} of {runs} runs"
    return "decayed, short of collapse" if "decayed" in {method.fate for method in methods} else "stayed healthy"


def _sentence(method: Method) -> str:
    how = "Guided" if method.guided else "Trained on outcomes alone"
    parts = []
    if method.seeing.known:
        parts.append(f"thoughts that say truly what the picture shows {method.seeing.words()}")
    if method.planning.known:
        parts.append(f"first plans that work {method.planning.words()}")
    text = f"{how} ({method.label}), " + (" and ".join(parts) if parts else "the health of thoughts was not measured")
    if method.success.known:
        games = "games won on the fixed panel" if method.panel else "training games won"
        text += f"; {games} {method.success.words()}"
    return f"{text}. {_alarm(method)}"


def _alarm(method: Method) -> str:
    if not method.rang:
        return "The collapse alarm did not ring."
    when = ", ".join(map(str, sorted(method.rang)))
    which = "" if method.runs == 1 else f" in {len(method.rang)} of {method.runs} runs"
    return f"The collapse alarm rang{which} (update {when})."


def percent(share: float) -> str:
    return f"{100 * share:.0f}%"

"""How good is the alarm? It is replayed over runs, and held against what the panel says became of them.

Whether a run collapsed is told by the panel alone: other starts, greedy play, no corrector. The alarm sees only what
training measures, so the two do not judge by the same numbers.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from statistics import fmean

from gtr.metrics.alarm import DEFAULT, Alarm, Sensitivity

SIGNS = ("thought/perception", "thought/start_plan", "thought/right")
"""Health of thoughts on the panel; a run has collapsed when one of them has."""
RATIO, MARGIN = 0.7, 0.1
"""A sign has collapsed below this share of the starting agent's, and at least so far below it."""
LOST, NOTICED = 0.5, 0.05
"""Success has fallen below this share of the best so far, and at least so far below it."""


@dataclass(frozen=True)
class Record:
    """What one run left behind."""

    name: str
    guided: bool
    lines: Sequence[Mapping[str, float]]
    """Its metrics after each update, with the key ``update``."""
    panel: Mapping[int, Mapping[str, float]]
    """What the panel measured, by update: the metrics in `SIGNS`, and ``success``; 0 is the starting agent."""


@dataclass(frozen=True)
class Outcome:
    """What became of a run, and what the alarm said."""

    collapsed: int | None
    """Update of the first panel from which on, to the last one, a sign lay low; None where none did."""
    lost: int | None
    """The same of success."""
    rings: tuple[int, ...]
    """Updates at which the alarm began to ring."""

    @property
    def warning(self) -> int | None:
        """Updates from the first ring to the fall of success, negative where it rang after; None without either."""
        return None if self.lost is None or not self.rings else self.lost - self.rings[0]


@dataclass(frozen=True)
class Rating:
    """The alarm over several runs."""

    guided: int
    """Guided runs that did not collapse..."""
    false_rings: int
    """... and how often it began to ring in them."""
    plain: int
    """Unguided runs that did not collapse..."""
    plain_false_rings: int
    """... and how often it began to ring in them."""
    collapses: int
    missed: int
    """Runs that collapsed, and those of them in which it never rang."""
    warnings: tuple[int, ...]
    """`Outcome.warning` of each collapsed run that has one."""

    @property
    def mistakes(self) -> tuple[float, float]:
        """What to choose by, the smaller the better: the shares of missed collapses and of rings in healthy runs
        together; then how late the warnings come."""
        healthy = self.guided + self.plain
        wrong = self.missed / max(1, self.collapses)
        wrong += (self.false_rings + self.plain_false_rings) / max(1, healthy)
        return wrong, -fmean(self.warnings) if self.warnings else 0.0


def outcome(record: Record, sensitivity: Sensitivity = DEFAULT) -> Outcome:
    """Replays the alarm over a run."""
    lows = [_from_when(record, partial(_low, sign=sign)) for sign in SIGNS]
    lost = _from_when(record, _lost)
    return Outcome(min((at for at in lows if at is not None), default=None), lost, _rings(record, sensitivity))


def rate(records: Iterable[Record], sensitivity: Sensitivity = DEFAULT) -> Rating:
    """The alarm over several runs."""
    found = [(record, outcome(record, sensitivity)) for record in records]
    healthy = [(record.guided, len(one.rings)) for record, one in found if one.collapsed is None]
    collapsed = [one for _, one in found if one.collapsed is not None]
    guided, plain = ([rings for was, rings in healthy if was is kind] for kind in (True, False))
    warnings = tuple(one.warning for one in collapsed if one.warning is not None)
    missed = sum(not one.rings for one in collapsed)
    return Rating(len(guided), sum(guided), len(plain), sum(plain), len(collapsed), missed, warnings)


def candidates() -> list[Sensitivity]:
    """The sensitivities that are tried, the present one first, so that it stays where nothing is better."""
    tried = product((1, 2, 3, 4), (1, 2, 3), (0.02, 0.05, 0.1), (0.75, 1.0, 1.5))
    all_of_them = (replace(DEFAULT, patience=p, ideas=i, gain=g, scale=s) for p, i, g, s in tried)
    return list(dict.fromkeys((DEFAULT, *all_of_them)))


def choose(records: Sequence[Record], tried: Sequence[Sensitivity] | None = None) -> Sensitivity:
    """The sensitivity with the fewest mistakes over some runs, then with the earliest warnings."""
    return min(candidates() if tried is None else tried, key=lambda one: rate(records, one).mistakes)


def _rings(record: Record, sensitivity: Sensitivity) -> tuple[int, ...]:
    alarm, began, before = Alarm(sensitivity), [], False
    for line in record.lines:
        update = int(line["update"])
        ringing = alarm.observe(update, {k: v for k, v in line.items() if k != "update" and v == v}).ringing
        if ringing and not before:
            began.append(update)
        before = ringing
    return tuple(began)


Panel = Mapping[str, float]


def _from_when(record: Record, bad: Callable[[Panel, Sequence[Panel]], bool]) -> int | None:
    """The update of the first panel from which on, to the last, all are bad in the light of those before them."""
    since = None
    updates = sorted(record.panel)
    for i, update in enumerate(updates):
        if i and bad(record.panel[update], [record.panel[one] for one in updates[:i]]):
            since = update if since is None else since
        else:
            since = None
    return since


def _low(now: Panel, before: Sequence[Panel], sign: str) -> bool:
    start = before[0]
    if sign not in now or sign not in start:
        return False
    return now[sign] < RATIO * start[sign] and start[sign] - now[sign] >= MARGIN


def _lost(now: Panel, before: Sequence[Panel]) -> bool:
    best = max(one.get("success", 0.0) for one in before)
    return "success" in now and now["success"] < LOST * best and best - now["success"] >= NOTICED

"""Shares at the start and at the end of training, and how sure they are: what a sentence may be made of."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from gtr.metrics.alarm import BASELINE
from gtr.metrics.table import describe
from gtr.report.history import History
from gtr.stats import Interval, apart, wilson

MARGIN = 0.1
"""Fall or rise of a share, beyond its uncertainty, that counts where the alarm did not ring: its own margin."""
MOST = 0.5
"""A share is most of them where its whole interval lies above, few where it lies below."""
LAST = 2
"""Measurements of training itself, each of one small rollout, whose mean is the share at the end."""
NOT_MEASURED = Interval(math.nan, 0.0, 1.0)


@dataclass(frozen=True)
class Change:
    """A share at the start and at the end, means over runs, with the 95 % Wilson intervals of these agents on other
    starts: runs share their starts, so that their episodes count once."""

    start: Interval
    end: Interval

    @property
    def known(self) -> bool:
        return not math.isnan(self.start.estimate + self.end.estimate)

    @property
    def clear(self) -> bool:
        """Whether the intervals do not touch."""
        return self.known and apart(self.start, self.end)

    @property
    def fell(self) -> bool:
        return self.clear and self.start.estimate - self.end.estimate >= MARGIN

    @property
    def rose(self) -> bool:
        return self.clear and self.end.estimate - self.start.estimate >= MARGIN

    def words(self) -> str:
        """``fell from 97% to 44% (35-54)``."""
        if not self.clear:
            return f"{spoken(self.end)} at the end, no clear change from {percent(self.start.estimate)}"
        verb = "rose" if self.end.estimate > self.start.estimate else "fell"
        return f"{verb} from {percent(self.start.estimate)} to {spoken(self.end)}"


UNKNOWN = Change(NOT_MEASURED, NOT_MEASURED)


def spoken(share: Interval) -> str:
    """``44% (35-54)``."""
    return f"{percent(share.estimate)} ({100 * share.low:.0f}-{100 * share.high:.0f})"


def percent(share: float) -> str:
    return f"{100 * share:.0f}%"


def change_of(histories: Sequence[History], metric: str, panel: bool) -> Change:
    """How a share changed, over the runs that measured it at both ends; on the panel, or in training itself."""
    ends = [_panel_ends(one, metric) if panel else _rollout_ends(one, metric) for one in histories]
    known = [(start, end) for start, end in ends if not math.isnan(start[0] + end[0])]
    if not known:
        return UNKNOWN
    return Change(_pooled([start for start, _ in known]), _pooled([end for _, end in known]))


Counted = tuple[float, float]
"""A share and the number of independent starts it rests on."""
NOTHING: Counted = (math.nan, 0.0)


def _pooled(shares: Sequence[Counted]) -> Interval:
    """The mean share, as sure as the least of them."""
    share, count = fmean(one for one, _ in shares), min(count for _, count in shares)
    sure = wilson(min(share * count, count), count)
    return Interval(share, sure.low, sure.high)


def _panel_ends(history: History, metric: str) -> tuple[Counted, Counted]:
    ends = (history.panel[0], history.panel[-1])
    first, last = ({**one["health"], "episode/ended": one["episodes"] or 0} for one in ends)
    return _counted(first, metric), _counted(last, metric)


def _rollout_ends(history: History, metric: str) -> tuple[Counted, Counted]:
    names = [metric, _count_of(metric), "episode/ended"]
    lines = [
        dict(zip(names, values, strict=True)) for values in zip(*(_series(history, one) for one in names), strict=True)
    ]
    known = [one for line in lines if not math.isnan((one := _counted(line, metric))[0])]
    if len(known) < BASELINE + LAST:
        return NOTHING, NOTHING
    last = known[-LAST:]
    return known[0], (fmean(share for share, _ in last), sum(count for _, count in last))


def _series(history: History, name: str) -> Sequence[float]:
    return history.series.get(name, [math.nan] * len(history.updates))


def _counted(values: Mapping[str, float], metric: str) -> Counted:
    """Turns of one episode hang together: a share rests on no more starts than there were episodes."""
    share, counts = values.get(metric, math.nan), (_count_of(metric), "episode/ended")
    count = min((one for name in counts if (one := values.get(name, math.nan)) >= 0), default=0.0)
    return (share, count) if 0 <= share <= 1 else NOTHING


def _count_of(metric: str) -> str:
    row = describe(metric)
    return "" if row is None else row.n

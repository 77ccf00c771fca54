"""One figure from those of several processes, each of which has played and learnt its own share of the turns.

A share or mean is weighted by what it counts (`Metric.n`), which makes it the figure of the whole. The rest is averaged
plainly: processes play equally many turns and normalise losses by the average over processes.
"""

from collections.abc import Mapping, Sequence

from gtr.metrics.table import describe

SUMMED = ("count/", "engine/failed", "episode/ended", "episode/aborted", "update/lessons", "corrector/")
LARGEST = ("seconds/", "update/logprob_mismatch", "engine/mismatch", "engine/probe", "corrector/seconds_")
"""Prefixes; what is not here is averaged."""
HISTOGRAM = "action/is/"
"""A process lists its most frequent actions only: one that it does not list counts as not played."""


def pooled(processes: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The metrics of all processes together.

    >>> pooled([{"action/legal": 0.5, "episode/ended": 2.0}, {"action/legal": 1.0, "episode/ended": 3.0}])
    {'action/legal': 0.75, 'episode/ended': 5.0}
    """
    if len(processes) == 1:
        return dict(processes[0])
    names = dict.fromkeys(name for values in processes for name in values)
    return {name: _pool(name, processes) for name in names}


def _pool(name: str, processes: Sequence[Mapping[str, float]]) -> float:
    having = [values for values in processes if name in values]
    found = [values[name] for values in having]
    if name.startswith(LARGEST):
        return max(found)
    if name.startswith(SUMMED):
        return sum(found)
    metric = describe(name)
    if metric is not None and all(metric.n in values for values in having):
        counts = [values[metric.n] for values in having]
        return sum(x * count for x, count in zip(found, counts, strict=True)) / (sum(counts) or 1.0)
    return sum(found) / (len(processes) if name.startswith(HISTOGRAM) else len(found))

"""An alarm that says when a run is collapsing, and which metrics saw it.

The baseline of each metric is its first measurement: a rollout is measured before its update learns from it, so that
this is the starting agent's own, and a collapse within the first update is seen. A metric has *fallen* when it is worse
than its baseline by both a share of it and an absolute margin. Metrics that move together count as one *idea*; the
alarm rings when two ideas have each been fallen for several updates running, so that neither noise nor one odd metric
can ring it.

Length, action histogram and variety also change when an agent gets better. They count as fallen only while neither
success nor the share of working plans has risen above its baseline, and variety only once states share thoughts. What
thoughts say about the picture, and whether they can be read, has no such excuse.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, Literal

BASELINE = 1
"""Measurements that make a baseline."""
EXCUSES = ("episode/success", "thought/start_plan")


@dataclass(frozen=True)
class Watch:
    """One watched metric, or family of metrics where the name ends in ``/``."""

    metric: str
    idea: str
    direction: Literal["falls", "rises", "moves"]
    ratio: float
    """Fallen below ``ratio * baseline`` (or, rising, above ``baseline / ratio``)..."""
    margin: float
    """... and at least this far from the baseline."""
    excused: bool = False
    """Whether more success, or more plans that work, excuse it."""
    limit: float = inf
    """Not fallen at or above this value, however high the baseline was."""
    censored: bool = False
    """Whether the first rollout measures it too low, because episodes that outlast it are missing: then the second
    measurement is the baseline."""

    @property
    def needed(self) -> int:
        """Measurements until the baseline stands."""
        return BASELINE + self.censored


WATCHED = (
    Watch("thought/perception", "perception", "falls", 0.75, 0.1),
    Watch("thought/start_plan", "plan", "falls", 0.7, 0.1),
    Watch("thought/right", "plan", "falls", 0.7, 0.1),
    Watch("teacher/right", "plan", "falls", 0.7, 0.1),
    Watch("action/follows", "consistency", "falls", 0.7, 0.1),
    Watch("reply/complete", "completeness", "falls", 0.75, 0.1),
    Watch("episode/success", "success", "falls", 0.5, 0.1),
    Watch("relevance/retrieval", "relevance", "falls", 0.6, 0.1),
    Watch("episode/length", "behaviour", "moves", 0.6, 1.0, excused=True, censored=True),
    Watch("action/max_share", "behaviour", "rises", 0.67, 0.2, excused=True),
    Watch("thought/per_state", "variety", "falls", 0.5, 0.25, excused=True, limit=1.0),
    Watch("distinct/", "variety", "falls", 0.5, 0.25, excused=True, limit=1.0),
)
"""Which metrics saw tiny agents collapse on the point games (see docs/LAB.md), and RAGEN-2's retrieval accuracy."""


@dataclass(frozen=True)
class Sensitivity:
    """How readily the alarm rings. The values of `benchmarks/alarm.py` are chosen on some runs and rated on others."""

    patience: int = 3
    """Updates running for which an idea must be fallen."""
    ideas: int = 2
    """Ideas that must be fallen at once."""
    gain: float = 0.05
    """Rise of one of `EXCUSES` over its baseline that excuses changed behaviour: one right formula takes the place of
    many wrong ones long before games are won."""
    scale: float = 1.0
    """Multiplies every margin, and is the power of every ratio: above 1, a metric must fall further."""


DEFAULT = Sensitivity()


@dataclass(frozen=True)
class Fall:
    """One metric that has fallen."""

    metric: str
    idea: str
    baseline: float
    value: float
    since: int
    """The first update of the unbroken series in which it was fallen."""


@dataclass(frozen=True)
class Alert:
    """What the alarm says after one update."""

    ringing: bool
    fallen: tuple[Fall, ...]
    """All metrics fallen for long enough, the first to fall first."""

    def metrics(self) -> dict[str, float]:
        """For the log."""
        ideas = {fall.idea for fall in self.fallen}
        return {"alarm/ringing": float(self.ringing), "alarm/fallen": float(len(ideas))}

    def sentence(self) -> str:
        """One sentence for a person; empty while nothing has fallen.

        Example: ``collapsing: thought/perception .99 -> .41 since update 5, action/max_share .31 -> .93 since ...``.
        """
        seen = [f"{f.metric} {f.baseline:.3g} -> {f.value:.3g} since update {f.since}" for f in self.fallen]
        return f"{'collapsing' if self.ringing else 'watch'}: {', '.join(seen)}" if seen else ""


class Alarm:
    """Watches a run's metrics, update by update.

    Its memory is a few numbers, so that a resumed run rings exactly when one never stopped would have.
    """

    def __init__(self, sensitivity: Sensitivity = DEFAULT) -> None:
        self._sensitivity = sensitivity
        self._baseline: dict[str, list[float]] = {}
        self._since: dict[str, int] = {}
        self._last: dict[str, float] = {}

    def observe(self, update: int, metrics: Mapping[str, float]) -> Alert:
        """Takes in the metrics of one update and says how things stand.

        A metric missing from an update keeps its last verdict: not measured is neither well nor ill.
        """
        excuse = any(self._rose(metric, metrics) for metric in EXCUSES)
        for metric, value in metrics.items():
            watch = _watch(metric)
            if watch is not None:
                self._judge(update, watch, metric, value, excuse)
        patience = self._sensitivity.patience
        falls = [self._fall(metric) for metric, since in self._since.items() if update - since + 1 >= patience]
        falls.sort(key=lambda fall: (fall.since, fall.metric))
        return Alert(len({fall.idea for fall in falls}) >= self._sensitivity.ideas, tuple(falls))

    def state(self) -> dict[str, object]:
        """The memory as JSON values."""
        baseline = {metric: list(first) for metric, first in self._baseline.items()}
        return {"baseline": baseline, "since": dict(self._since), "last": dict(self._last)}

    def restore(self, state: Mapping[str, object]) -> None:
        """Takes back what `state` gave."""
        self._baseline = {k: [float(x) for x in v] for k, v in _mapping(state["baseline"]).items()}
        self._since = {k: int(v) for k, v in _mapping(state["since"]).items()}
        self._last = {k: float(v) for k, v in _mapping(state["last"]).items()}

    def _judge(self, update: int, watch: Watch, metric: str, value: float, excuse: bool) -> None:
        first = self._baseline.setdefault(metric, [])
        self._last[metric] = value
        if len(first) < watch.needed:
            first.append(value)
        elif self._fallen(watch, metric, value) and not (watch.excused and excuse):
            self._since.setdefault(metric, update)
        else:
            self._since.pop(metric, None)

    def _fallen(self, watch: Watch, metric: str, value: float) -> bool:
        baseline, scale = self._start(watch, metric), self._sensitivity.scale
        ratio, margin = watch.ratio**scale, watch.margin * scale
        low = value < min(ratio * baseline, watch.limit) and baseline - value >= margin
        high = value > baseline / ratio and value - baseline >= margin
        return (low and watch.direction != "rises") or (high and watch.direction != "falls")

    def _rose(self, metric: str, metrics: Mapping[str, float]) -> bool:
        now, first = metrics.get(metric, self._last.get(metric)), self._baseline.get(metric)
        return now is not None and first is not None and now >= _mean(first) + self._sensitivity.gain

    def _start(self, watch: Watch, metric: str) -> float:
        """The baseline. Runs of earlier versions have kept two measurements: then it is their mean."""
        return _mean(self._baseline[metric][watch.needed - BASELINE :])

    def _fall(self, metric: str) -> Fall:
        watch = _watch(metric)
        assert watch is not None
        return Fall(metric, watch.idea, self._start(watch, metric), self._last[metric], self._since[metric])


def _watch(metric: str) -> Watch | None:
    for watch in WATCHED:
        if metric == watch.metric or (watch.metric.endswith("/") and metric.startswith(watch.metric)):
            return watch
    return None


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _mapping(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"the alarm's state holds {type(value).__name__} where a mapping belongs; it is damaged")
    return value

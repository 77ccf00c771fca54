"""What happened, in plain sentences computed from the runs: did thoughts collapse, and did guidance prevent it?

A sentence is written only where its facts hold: what fell or rose did so beyond its 95 % interval, and what is said of
most thoughts or few holds over the whole interval.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from gtr.metrics.alarm import BASELINE, DEFAULT
from gtr.report.history import History
from gtr.show.share import MOST, Change, change_of, spoken
from gtr.stats import wilson

Fate = Literal[
    "collapsed", "partly", "rang", "decayed", "sound", "became sound", "improved", "poor", "unclear", "early", "unknown"
]

WHAT = (
    "Thought collapse is what happens when an agent is rewarded for outcomes alone: it goes on writing thoughts, but "
    "they stop saying what the picture shows, and its plans stop working. Thoughts are sound here where most can be "
    "read, see truly and begin with a plan that works, over the whole 95 % interval."
)
ENOUGH = BASELINE + DEFAULT.patience
"""Updates before which the alarm cannot ring, so that its silence says nothing."""
MAIN = "gtr"
READING, SEEING, PLANNING = "reply/complete", "thought/perception", "thought/start_plan"
NOTIONS = {
    READING: ("replies that can be read", "most replies cannot be read"),
    SEEING: ("thoughts that say truly what the picture shows", "most thoughts misread the picture"),
    PLANNING: ("first plans that work", "most first plans fail"),
}
"""The shares that thoughts are judged by: what they are of, and what is so where they are low."""
FEW = 3
"""Methods that the headline names; more it counts."""


@dataclass(frozen=True)
class Method:
    """What became of one method's runs."""

    name: str
    guided: bool
    runs: int
    updates: int
    """Of the run that came least far."""
    goes_on: bool
    """Whether one of its runs is still training."""
    rang: Sequence[int]
    """Update after which the alarm first rang, of each run in which it did."""
    health: dict[str, Change]
    """Of the metrics in `NOTIONS`."""
    success: Change
    panel: bool
    """Whether the shares are of the fixed panel; else of training itself."""

    @property
    def known(self) -> list[Change]:
        return [one for one in self.health.values() if one.known]

    @property
    def low(self) -> list[str]:
        """What is wrong with most thoughts at the end."""
        return [NOTIONS[name][1] for name, one in self.health.items() if one.known and one.end.high < MOST]

    @property
    def fate(self) -> Fate:
        thoughts = [one for name, one in self.health.items() if one.known and name != READING]
        fell = any(one.fell for one in self.known)
        sound = bool(thoughts) and not fell and all(one.end.low > MOST for one in self.known)
        if self.rang:
            return "rang" if sound else "collapsed" if len(self.rang) == self.runs else "partly"
        if not self.known or (not thoughts and not fell and not self.low):
            return "unknown"
        if self.updates < ENOUGH:
            return "early"
        if fell:
            return "decayed"
        if sound:
            return "sound" if all(one.start.low > MOST for one in self.known) else "became sound"
        if self.low:
            return "improved" if any(one.rose for one in thoughts) else "poor"
        return "unclear"

    def became(self) -> str:
        """What its thoughts did: ``stayed sound``."""
        low = " and ".join(self.low)
        return {
            "collapsed": "collapsed" if self.runs == 1 else f"collapsed in all {self.runs} runs",
            "partly": f"collapsed in {len(self.rang)} of {self.runs} runs",
            "rang": f"set off the collapse alarm in {len(self.rang)} of {self.runs} runs, but are sound at the end",
            "decayed": "decayed, short of the collapse alarm",
            "sound": "stayed sound",
            "became sound": "became sound",
            "improved": f"improved, but {low}",
            "poor": f"changed too little to tell, but {low}",
            "unclear": "changed too little to tell, and are not clearly sound",
            "early": f"have had {self.updates} of the {ENOUGH} updates before which nothing can be said",
            "unknown": "were not measured",
        }[self.fate]


def methods_of(histories: Sequence[History], names: Sequence[str]) -> list[Method]:
    """The methods of some runs, each run's by name: those without guidance, then the one that this is about, then its
    variants."""
    of = {name: [h for h, own in zip(histories, names, strict=True) if own == name] for name in dict.fromkeys(names)}
    methods = [_method(name, own) for name, own in of.items()]
    return sorted(methods, key=lambda method: (method.guided, method.name != MAIN))


def _method(name: str, histories: Sequence[History]) -> Method:
    panel = all(len(one.panel) > 1 for one in histories)
    done = [max([0, *one.updates]) for one in histories]
    return Method(
        name,
        histories[0].run.guided,
        len(histories),
        min(done),
        any(one.run.goes_on(updates) for one, updates in zip(histories, done, strict=True)),
        [one.collapse.update for one in histories if one.collapse is not None],
        {metric: change_of(histories, metric, panel) for metric in NOTIONS},
        change_of(histories, "episode/success", panel),
        panel,
    )


def story(histories: Sequence[History], names: Sequence[str]) -> dict[str, Any]:
    """``headline``, ``what`` (the definition) and ``sentences``, one per method, for the head of the page."""
    if all(one.run.only_played for one in histories):
        return _evaluations(histories, names)
    methods = methods_of(histories, names)
    return {
        "headline": headline(methods),
        "what": WHAT,
        "sentences": [{"method": method.name, "fate": method.fate, "text": _sentence(method)} for method in methods],
    }


def _evaluations(histories: Sequence[History], names: Sequence[str]) -> dict[str, Any]:
    """Of agents that were only played: success on their panel, each with its interval."""
    told = []
    for history, name in zip(histories, names, strict=True):
        wins, played = history.panel[-1]["successes"], history.panel[-1]["episodes"]
        if wins is not None and played:
            text = f"{name} wins {wins} of {played} starts: {spoken(wilson(wins, played))}."
            told.append({"method": name, "fate": "evaluated", "text": text})
    what = "Agents that were played on a panel of start states, with the 95 % Wilson interval of each on other starts."
    return {"headline": f"{len(told)} evaluation{'s' * (len(told) != 1)} of one panel", "what": what, "sentences": told}


def headline(methods: Sequence[Method]) -> str:
    """The answer in one sentence."""
    known = [method for method in methods if method.fate not in ("unknown", "early")]
    if not known:
        return _too_early(methods)
    plain, guided = (_clause([one for one in methods if one.guided is side]) for side in (False, True))
    so_far = " so far" if any(one.goes_on for one in known) else ""
    if not plain or not guided:
        return f"{'Guided' if guided else 'Without guidance'}, thoughts {guided or plain}{so_far}."
    if plain == guided:
        return f"With guidance and without, thoughts {plain}{so_far}."
    return f"Without guidance, thoughts {plain}{so_far}; guided, they {guided}{so_far}."


def _too_early(methods: Sequence[Method]) -> str:
    if any(method.fate == "early" for method in methods):
        return f"Too early to tell: the collapse alarm needs {ENOUGH} updates before it can ring."
    return "Too early to tell: no health of thoughts has been measured yet, or this game cannot judge them."


def _clause(methods: Sequence[Method]) -> str:
    """What became of the thoughts of some methods, by name or number where it is not the same of all; empty where
    nothing is known."""
    known = [method for method in methods if method.fate not in ("unknown", "early")]
    counts = Counter(method.became() for method in known)
    if len(counts) == 1 and len(known) == len(methods):
        return next(iter(counts))
    parts = []
    for became, count in counts.items():
        names = ", ".join(method.name for method in known if method.became() == became)
        parts.append(f"{became} ({names if count <= FEW else f'{count} methods'})")
    return " or ".join(parts)


def _sentence(method: Method) -> str:
    how = "Guided" if method.guided else "Trained on outcomes alone"
    runs = f", {method.runs} runs" if method.runs > 1 else ""
    where = "on the fixed panel, played greedily" if method.panel else "in training, sampled"
    told = {NOTIONS[name][0]: one for name, one in method.health.items() if name != READING or one.end.low <= MOST}
    told["games won"] = method.success
    parts = [f"{notion} {change.words()}" for notion, change in told.items() if change.known]
    text = "; ".join(parts) if parts else "nothing was measured at both ends"
    return f"{how} ({method.name}{runs}), {where}: {text}. {_alarm(method)}"


def _alarm(method: Method) -> str:
    if not method.rang:
        silent = f" ({method.updates} of the {ENOUGH} updates it needs)" if method.updates < ENOUGH else ""
        return f"The collapse alarm did not ring{silent}."
    when = ", ".join(map(str, sorted(set(method.rang))))
    which = "" if method.runs == 1 else f" in {len(method.rang)} of {method.runs} runs"
    return f"The collapse alarm rang{which} (update {when})."

"""What was played, counted: success with its interval, thought health, kinds of game."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from gtr.agents import Agent
from gtr.evaluate.panels import Panel, Split
from gtr.metrics import health
from gtr.metrics.turns import says_success
from gtr.report.files import encode, write_whole
from gtr.stats import mean_interval, wilson
from gtr.tasks.task import Task
from gtr.types import Ending, Rollout, Trajectory, Turn


@dataclass(frozen=True)
class Group:
    """How an agent did on one kind of game."""

    episodes: int
    successes: int
    interval: tuple[float, float]
    """95 % Wilson interval of the success rate."""


@dataclass(frozen=True)
class Evaluation:
    """How an agent did on a panel."""

    agent: str
    task: str
    split: Split
    panel: str
    mode: Literal["greedy", "sampled", "scripted"]
    episodes: int
    """Episodes that ended; aborted ones are left out and counted in `aborted`."""
    aborted: int
    successes: int | None
    """None where the task does not say what success is (`Task.success`)."""
    success: float
    """NaN where that is so, or no episode ended."""
    interval: tuple[float, float]
    """95 % Wilson interval of the success rate: this agent's on new starts."""
    health: Mapping[str, float] = field(default_factory=dict)
    """The thought-health metrics over the panel's turns."""
    groups: Mapping[str, Group] = field(default_factory=dict)
    """By kind of game, where the task tells kinds apart."""
    conditions: tuple[float, float, float] | None = None
    """Mean share of the goal's conditions that held at the end, with its 95 % t interval, where the task counts them.
    """
    outcomes: Sequence[bool | None] = ()
    """Whether each start was won, in the panel's order; None where the episode was aborted."""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def result_of(agent: Agent, panel: Panel, task: Task, episodes: Sequence[Sequence[Turn]]) -> Evaluation:
    """Counts what was played."""
    # An episode that broke says nothing about the agent.
    whole = [e for e in episodes if e[-1].ending is not Ending.ABORTED]
    wins = sum(bool(e[-1].success) for e in whole)
    known = says_success([e[-1] for e in whole])
    interval = wilson(wins, len(whole)) if known else wilson(0, 0)
    return Evaluation(
        agent.name,
        task.name,
        panel.split,
        panel.name,
        agent.mode,
        len(whole),
        len(episodes) - len(whole),
        wins if known else None,
        wins / len(whole) if known and whole else float("nan"),
        (interval.low, interval.high),
        health(Rollout([Trajectory(episode) for episode in episodes]), task, 0),
        _groups(whole, task),
        _conditions(whole),
        tuple(None if e[-1].ending is Ending.ABORTED or not known else bool(e[-1].success) for e in episodes),
    )


def _groups(episodes: Sequence[Sequence[Turn]], task: Task) -> dict[str, Group]:
    kinds: dict[str, list[bool]] = {}
    for episode in episodes:
        kind = task.group(episode[0].truth)
        if kind is not None:
            kinds.setdefault(kind, []).append(bool(episode[-1].success))
    found = {}
    for kind, won in sorted(kinds.items()):
        interval = wilson(sum(won), len(won))
        found[kind] = Group(len(won), sum(won), (interval.low, interval.high))
    return found


def _conditions(episodes: Sequence[Sequence[Turn]]) -> tuple[float, float, float] | None:
    shares = [episode[-1].progress for episode in episodes]
    known = [share for share in shares if share is not None]
    if not known:
        return None
    mean = mean_interval(known)
    return mean.estimate, max(0.0, mean.low), min(1.0, mean.high)


def write_json(evaluations: Sequence[Evaluation], path: Path) -> None:
    """Writes evaluations as a JSON list; what is not known is null."""
    write_whole(path, encode([e.to_dict() for e in evaluations], indent=1))

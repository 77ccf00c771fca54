"""Thoughts before and after training on the same start states."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from gtr.compare.results import RunResult
from gtr.errors import GtrError
from gtr.report import Run, judged
from gtr.report.text import visible
from gtr.tasks.task import Task
from gtr.types import ReplyStatus

SAMPLES = 4
"""Start states shown: the panel's first, not the most telling."""
LONGEST = 600
"""Characters of a reply that are shown."""


@dataclass(frozen=True)
class Sample:
    """What one agent replied."""

    agent: str
    """``before``, or ``after gtr, seed 1``."""
    reply: str
    marks: Mapping[str, bool]
    """The task's own checks of the thought and whether it passed."""
    trouble: str = ""
    """Why there are no marks: a reply that cannot be read, or a task that cannot judge."""


@dataclass(frozen=True)
class StartState:
    """One start state of the panel, and what the agents replied there."""

    number: int
    truth: str
    prompt: str
    image: str
    """The name of its picture; empty where that is missing."""
    picture: bytes
    samples: Sequence[Sample]


def start_states(results: Sequence[RunResult], own_task: str | None = None, count: int = SAMPLES) -> list[StartState]:
    """The panel's first start states, with the first seed of each method, greedily, before and after training.

    `own_task` is a game of the user's own, named on the command line, whose code may judge thoughts.
    """
    firsts = list({one.method: one for one in reversed(results) if one.start is not None}.values())[::-1]
    shown = [_Shown(one, own_task) for one in firsts]
    return [_state(number, [one for one in shown if number in one.before]) for number in _numbers(shown, count)]


class _Shown:
    """One run's first turns on the panel, before and after."""

    def __init__(self, result: RunResult, own_task: str | None) -> None:
        self.method = f"{result.method}, seed {result.seed}"
        self.run = Run(result.folder, own_task)
        evaluated = self.run.evaluated_updates()
        self.before = self.run.first_turns(evaluated[0]) if evaluated else {}
        self.after = self.run.first_turns(evaluated[-1]) if len(evaluated) > 1 else {}

    def sample(self, agent: str, record: Mapping[str, Any]) -> Sample:
        return sample(agent, record, self.run.task, self.run.task_trouble)


def _numbers(shown: Sequence[_Shown], count: int) -> list[int]:
    return sorted({number for one in shown for number in one.before})[:count]


def _state(number: int, known: Sequence[_Shown]) -> StartState:
    first = known[0].before[number]
    truth = ", ".join(f"{key} {value}" for key, value in first["truth"].items() if isinstance(value, list) and value)
    samples: list[Sample] = []
    for one in known:
        before = one.sample("before", one.before[number])
        samples += [before] if before not in samples else []
        samples += [one.sample(f"after {one.method}", one.after[number])] if number in one.after else []
    picture = known[0].run.picture(first["image"])
    name = "" if picture is None else first["image"]
    return StartState(number, visible(truth), visible(first["prompt"]), name, picture or b"", samples)


def sample(agent: str, record: Mapping[str, Any], task: Task | None, trouble: str = "") -> Sample:
    """A turn's record as what is shown of it; `trouble` says why there is no task."""
    reply = visible(record["reply"])
    shown = reply if len(reply) <= LONGEST else reply[:LONGEST] + " ..."
    if record["status"] != ReplyStatus.COMPLETE:
        return Sample(agent, shown, {}, visible(f"{record['status']} reply"))
    if task is None and judged.kept(record) is None:
        return Sample(agent, shown, {}, f"not checked: {visible(trouble)}")
    try:
        return Sample(agent, shown, judged.checks(record, task))
    except GtrError as error:
        # Runs of older versions kept no checks, and a truth of live objects cannot be read back.
        return Sample(agent, shown, {}, f"not checked: {visible(str(error))}")


def markdown(states: Sequence[StartState]) -> str:
    """Markdown: for each start state its picture (in ``images/``), and each agent's first thought."""
    intro = (
        "# Thoughts before and after training\n\n"
        f"The first {len(states)} start states of the panel, and what each method's first seed thinks there, greedily. "
        "Marks are the task's own checks of the thought."
    )
    return "\n\n".join([intro, *map(_block, states)]) + "\n"


def _block(state: StartState) -> str:
    rows = [f"| {_escaped(visible(one.agent))} | {_code(one.reply)} | {_marks(one)} |" for one in state.samples]
    picture = f"![](images/{state.image})" if state.image else "(its picture is missing)"
    title = f"## Start state {state.number + 1}: {_escaped(state.truth)}"
    return "\n".join([title, "", picture, "", "| agent | reply | checks |", "| --- | --- | --- |", *rows])


def _code(text: str) -> str:
    """A cell that no reply can break out of."""
    return f"<code>{_escaped(text)}</code>"


def _escaped(text: str) -> str:
    return escape(text).replace("|", "&#124;").replace("\n", "<br>")


def _marks(one: Sample) -> str:
    """``perception right, plan **wrong**``; else what stood in the way."""
    marks = ", ".join(f"{visible(name)} {'right' if ok else '**wrong**'}" for name, ok in one.marks.items())
    return _escaped(marks or one.trouble)

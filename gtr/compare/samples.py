"""Thoughts before and after training on the same start states."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from gtr import tasks
from gtr.compare.results import RunResult
from gtr.config import TaskConfig
from gtr.errors import GtrError
from gtr.report import RunFolder, judged
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
    image: Path
    samples: Sequence[Sample]


def start_states(
    results: Sequence[RunResult], count: int = SAMPLES, code: Collection[str] = ()
) -> list[StartState]:
    """The panel's first start states, with the first seed of each method, greedily, before and after training.

    `code`: import paths of tasks of the user's own that may be run to check thoughts.
    """
    firsts = list({one.method: one for one in reversed(results) if one.start is not None}.values())[::-1]
    shown = [_Shown(one, code) for one in firsts]
    return [_state(number, [one for one in shown if number in one.before]) for number in _numbers(shown, count)]


class _Shown:
    """One run's first turns on the panel, before and after."""

    def __init__(self, result: RunResult, code: Collection[str]) -> None:
        self.method = f"{result.method}, seed {result.seed}"
        self.run = RunFolder.open(result.folder, main=False)
        self.task = _task(self.run.config.task, code)
        evaluated = self.run.evaluated_updates()
        self.before = _first_turns(self.run, evaluated[0])
        self.after = _first_turns(self.run, evaluated[-1]) if len(evaluated) > 1 else {}


def _task(config: TaskConfig, code: Collection[str]) -> Task | str:
    """The task, or why it cannot be had: a report of old runs must not need the user's file."""
    try:
        return tasks.load(config, code)
    except GtrError as error:
        return f"not checked: {error}"


def _first_turns(run: RunFolder, update: int) -> dict[int, Mapping[str, Any]]:
    """The first turn of each panel episode, by its number in the panel."""
    return {record["episode"]: record for record in run.read_evaluation_turns(update) if record["turn"] == 0}


def _numbers(shown: Sequence[_Shown], count: int) -> list[int]:
    return sorted({number for one in shown for number in one.before})[:count]


def _state(number: int, known: Sequence[_Shown]) -> StartState:
    first = known[0].before[number]
    truth = ", ".join(f"{key} {value}" for key, value in first["truth"].items() if isinstance(value, list) and value)
    samples: list[Sample] = []
    for one in known:
        before = sample("before", one.before[number], one.task)
        samples += [before] if before not in samples else []
        samples += [sample(f"after {one.method}", one.after[number], one.task)] if number in one.after else []
    return StartState(number, visible(truth), visible(first["prompt"]), known[0].run.image(first["image"]), samples)


def sample(agent: str, record: Mapping[str, Any], task: Task | str) -> Sample:
    """A turn's record as what is shown of it."""
    reply = visible(record["reply"])
    shown = reply if len(reply) <= LONGEST else reply[:LONGEST] + " ..."
    if record["status"] != ReplyStatus.COMPLETE:
        return Sample(agent, shown, {}, f"{record['status']} reply")
    if isinstance(task, str) and judged.kept(record) is None:
        return Sample(agent, shown, {}, task)
    try:
        return Sample(agent, shown, judged.checks(record, None if isinstance(task, str) else task))
    except GtrError as error:
        # Runs of older versions kept no checks, and a truth of live objects cannot be read back.
        return Sample(agent, shown, {}, f"not checked: {error}")


def markdown(states: Sequence[StartState]) -> str:
    """Markdown: for each start state its picture (in ``images/``), and each agent's first thought."""
    intro = (
        "# Thoughts before and after training\n\n"
        f"The first {len(states)} start states of the panel, and what each method's first seed thinks there, greedily. "
        "Marks are the task's own checks of the thought."
    )
    return "\n\n".join([intro, *map(_block, states)]) + "\n"


def _block(state: StartState) -> str:
    rows = [f"| {one.agent} | {_code(one.reply)} | {_marks(one)} |" for one in state.samples]
    picture = f"![](images/{state.image.name})"
    title = f"## Start state {state.number + 1}: {state.truth}"
    return "\n".join([title, "", picture, "", "| agent | reply | checks |", "| --- | --- | --- |", *rows])


def _code(text: str) -> str:
    """A cell that no reply can break out of."""
    return f"<code>{escape(text).replace('|', '&#124;').replace(chr(10), '<br>')}</code>"


def _marks(one: Sample) -> str:
    """``perception right, plan **wrong**``; else what stood in the way."""
    return ", ".join(f"{name} {'right' if ok else '**wrong**'}" for name, ok in one.marks.items()) or one.trouble

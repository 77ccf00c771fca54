"""Thoughts before and after training on the same start states, as a page a person can read."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gtr import tasks
from gtr.compare.results import RunResult
from gtr.report import RunFolder
from gtr.tasks.reply import parse
from gtr.tasks.task import Task
from gtr.types import ReplyStatus, Truth

SAMPLES = 4
"""Start states shown: the panel's first, not the most telling."""


def page(results: Sequence[RunResult], out: Path) -> str:
    """Markdown: for each start state its picture, and each method's first thought before and after training.

    Shows the first seed of each method; copies the pictures it names into ``out/images``.
    """
    firsts = list({one.method: one for one in reversed(results) if one.start is not None}.values())[::-1]
    shown = [_Shown(one) for one in firsts]
    blocks = [_state(number, shown, out) for number in range(SAMPLES)]
    intro = (
        "# Thoughts before and after training\n\n"
        f"The first {SAMPLES} start states of the panel, and what each method's first seed thinks there, greedily. "
        "Marks are the task's own checks of the thought."
    )
    return "\n\n".join([intro, *(block for block in blocks if block)]) + "\n"


class _Shown:
    """One run's first turns on the panel, before and after."""

    def __init__(self, result: RunResult) -> None:
        self.method = f"{result.method}, seed {result.seed}"
        self.run = RunFolder.open(result.folder, main=False)
        self.task = tasks.load(self.run.config.task)
        evaluated = self.run.evaluated_updates()
        self.before = _first_turns(self.run, evaluated[0])
        self.after = _first_turns(self.run, evaluated[-1]) if len(evaluated) > 1 else {}


def _first_turns(run: RunFolder, update: int) -> dict[int, Mapping[str, Any]]:
    """The first turn of each panel episode, by its number in the panel."""
    return {record["episode"]: record for record in run.read_evaluation_turns(update) if record["turn"] == 0}


def _state(number: int, shown: Sequence[_Shown], out: Path) -> str:
    known = [one for one in shown if number in one.before]
    if not known:
        return ""
    first = known[0].before[number]
    (out / "images").mkdir(exist_ok=True)
    shutil.copyfile(known[0].run.image(first["image"]), out / "images" / first["image"])
    truth = ", ".join(f"{key} {value}" for key, value in first["truth"].items() if isinstance(value, list) and value)
    lines = [f"## Start state {number + 1}: {truth}", "", f"![](images/{first['image']})", ""]
    lines += ["| agent | reply | checks |", "| --- | --- | --- |"]
    previous = ""
    for one in known:
        before = _row("before", one.before[number], one.task)
        lines += [before] if before != previous else []
        previous = before
        lines += [_row(f"after {one.method}", one.after[number], one.task)] if number in one.after else []
    return "\n".join(lines)


def _row(agent: str, record: Mapping[str, Any], task: Task) -> str:
    reply = json.dumps(record["reply"], ensure_ascii=False)[1:-1].replace('\\"', '"').replace("|", "\\|")
    return f"| {agent} | `{reply[:300]}` | {marks(record, task)} |"


def marks(record: Mapping[str, Any], task: Task) -> str:
    """``perception right, plan wrong``, by the task's checks; the status of a reply that cannot be read."""
    if record["status"] != ReplyStatus.COMPLETE:
        return f"{record['status']} reply"
    parsed = parse(record["reply"], record["finished"], task.thought_keys)
    checks = task.check(Truth(record["truth"]), parsed, None)
    return ", ".join(f"{name} {'right' if passed else '**wrong**'}" for name, passed in checks.items())

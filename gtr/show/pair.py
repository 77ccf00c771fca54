"""One start state and what each agent thinks there before and after training: the story in a single picture."""

from collections.abc import Mapping, Sequence
from typing import Any

from gtr.report import Run
from gtr.report.history import History
from gtr.show.detail import checks


def thought_pair(histories: Sequence[History]) -> dict[str, Any] | None:
    """A start state of the panel with every method's thought there, first seeds only; None where nothing was kept.

    Of all start states on which the starting agent thinks rightly, one is shown on which as many methods without
    guidance as possible have become wrong while guided ones are right; `chosen` says in words how typical it is.
    """
    firsts = list({one.run.method: one for one in reversed(histories) if len(one.panel) > 1}.values())[::-1]
    firsts.sort(key=lambda one: one.run.guided)
    if not firsts:
        return None
    before = firsts[0].run.first_turns(firsts[0].panel[0]["update"])
    after = [(one, one.run.first_turns(one.panel[-1]["update"])) for one in firsts]
    common = [number for number in sorted(before) if all(number in turns for _, turns in after)]
    if not common:
        return None
    scores = {number: _telling(before[number], [(one.run, turns[number]) for one, turns in after]) for number in common}
    best = max(common, key=lambda number: (scores[number], -number))
    alike = sum(score == scores[best] for score in scores.values())
    return {
        "number": best,
        "of": len(common),
        "alike": alike,
        "run": histories.index(firsts[0]),
        "image": before[best]["image"],
        "prompt": before[best]["prompt"],
        "cells": [_cell("before training", None, before[best], firsts[0].run)]
        + [_cell(f"after {one.panel[-1]['update']} updates", one, turns[best], one.run) for one, turns in after],
        "questions": questions(firsts[0].run),
        "source": str(firsts[0].run.path.name),
    }


def questions(run: Run) -> dict[str, str]:
    """The task's check questions in words."""
    return {} if run.task is None else dict(run.task.corrector_spec().questions)


def _telling(before: Mapping[str, Any], after: Sequence[tuple[Run, Mapping[str, Any]]]) -> int:
    """How well a start state shows the difference: right before, wrong without guidance, right with it."""
    run = after[0][0]
    score = sum(checks(before, run).values())
    for one, turn in after:
        answers = checks(turn, one)
        right = sum(answers.values()) if answers else 0
        score += right if one.guided else (len(answers) - right if answers else 1)
    return score


def _cell(when: str, history: History | None, turn: Mapping[str, Any], run: Run) -> dict[str, Any]:
    return {
        "when": when,
        "method": None if history is None else history.run.method,
        "guided": None if history is None else history.run.guided,
        "reply": turn["reply"],
        "fields": turn["fields"],
        "status": turn["status"],
        "checks": checks(turn, run),
    }

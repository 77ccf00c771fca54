"""One start state and what each agent thinks there before and after training: the story in a single picture."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gtr.report import Run
from gtr.report.history import History
from gtr.show.detail import checks


@dataclass(frozen=True)
class _Agent:
    """One run at one of its evaluations."""

    when: str
    method: str | None
    run: Run
    turns: Mapping[int, Mapping[str, Any]]
    """The first turn of every episode."""
    won: Mapping[int, bool]


def _agent(when: str, method: str | None, run: Run, update: int) -> _Agent:
    won = {turn["episode"]: turn["success"] is True for turn in run.panel(update)}
    return _Agent(when, method, run, run.first_turns(update), won)


def thought_pair(histories: Sequence[History], methods: Sequence[str], places: Sequence[int]) -> dict[str, Any] | None:
    """A start state of the panel with every method's thought there, first seeds only; None where nothing was kept.

    Where the trained agents do not all end alike, the start state is one of those on which they differ in the
    commonest way; of these, one that the starting agent thinks rightly about, methods without guidance wrongly and
    guided ones rightly. `methods` and `places` are each run's method and its place among the page's runs.
    """
    known = list(zip(histories, methods, places, strict=True))
    firsts = list({name: one for one in reversed(known) if len(one[0].panel) > 1 for name in [one[1]]}.values())[::-1]
    firsts.sort(key=lambda one: one[0].run.guided)
    if not firsts:
        return None
    first, _, place = firsts[0]
    before = _agent("before training", None, first.run, first.panel[0]["update"])
    updates = [(one.run, name, one.panel[-1]["update"]) for one, name, _ in firsts]
    after = [_agent(f"after {update} updates", name, run, update) for run, name, update in updates]
    common = [number for number in sorted(before.turns) if all(number in one.turns for one in after)]
    if not common:
        return None
    alike, chosen = _commonest(common, after)
    best = max(alike, key=lambda number: (_telling(before, after, number), -number))
    return {
        "number": best,
        "of": len(common),
        "chosen": chosen,
        "run": place,
        "image": before.turns[best]["image"],
        "prompt": before.turns[best]["prompt"],
        "cells": [_cell(one, best, common) for one in (before, *after)],
        "questions": questions(first.run),
        "source": str(first.run.path.name),
    }


def _commonest(common: Sequence[int], agents: Sequence[_Agent]) -> tuple[list[int], str]:
    """The start states that end in the commonest way in which the agents differ, and how common that is."""
    ways = {number: tuple(one.won.get(number, False) for one in agents) for number in common}
    counts = Counter(way for way in ways.values() if len(set(way)) > 1)
    if not counts:
        same = "The trained agents end alike on every start state." if len(agents) > 1 else ""
        return list(common), same
    way, count = counts.most_common(1)[0]
    differing = sum(counts.values())
    words = f"The trained agents end differently on {differing} of {len(common)}, and on {count} of them as here."
    return [number for number in common if ways[number] == way], words


def questions(run: Run) -> dict[str, str]:
    """The task's check questions in words."""
    return {} if run.task is None else dict(run.task.corrector_spec().questions)


def _telling(before: _Agent, after: Sequence[_Agent], number: int) -> int:
    """How well a start state shows the difference: right before, wrong without guidance, right with it."""
    score = sum(checks(before.turns[number], before.run).values())
    for one in after:
        answers = checks(one.turns[number], one.run)
        right = sum(answers.values()) if answers else 0
        score += right if one.run.guided else (len(answers) - right if answers else 1)
    return score


def _cell(one: _Agent, number: int, common: Sequence[int]) -> dict[str, Any]:
    turn = one.turns[number]
    return {
        "when": one.when,
        "method": one.method,
        "guided": None if one.method is None else one.run.guided,
        "won": one.won.get(number, False),
        "wins": sum(one.won.get(other, False) for other in common),
        "reply": turn["reply"],
        "fields": turn["fields"],
        "status": turn["status"],
        "checks": checks(turn, one.run),
    }

"""Thoughts with one known mistake, made of right ones: to examine correctors with, and to be wrong on purpose.

What can be wrong follows from the task alone: from the keys that only read the picture (`Task.reading_keys`), from the
other keys, and from the questions of `Task.check`, which confirms every mistake.
"""

from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from typing import Any

import numpy as np

from gtr.tasks.expert import ExpertState, expert_episode
from gtr.tasks.task import Task
from gtr.types import Expert, Truth


class ErrorKind(StrEnum):
    """What is wrong with a thought."""

    NONE = "correct"
    MISREAD = "misread"
    """It says it sees what is not in the picture; the rest is the expert's."""
    PLAN = "wrong plan"
    """The plan belongs to another state."""
    STEP = "wrong step"
    """It announces another action than its plan calls for."""
    INCOHERENT = "incoherent"
    """The plan of another state and its words out of order."""


QUESTION = {ErrorKind.MISREAD: "perception", ErrorKind.PLAN: "plan", ErrorKind.STEP: "step"}
"""The question of `Task.check` that a mistake fails."""


def expert_states(task: Task, rng: np.random.Generator, count: int) -> Iterator[ExpertState]:
    """One state of each of so many expert episodes."""
    env = task.make_env()
    for _ in range(count):
        if passed := list(expert_episode(task, env, rng)):
            yield passed[int(rng.integers(len(passed)))]
    env.close()


def possible(task: Task, state: ExpertState) -> tuple[ErrorKind, ...]:
    """The kinds of `QUESTION` that thoughts of this task can have."""
    asked = checks(task, state.truth, state.expert.thought)
    kinds = [kind for kind, question in QUESTION.items() if question in asked]
    return tuple(kind for kind in kinds if kind is not ErrorKind.MISREAD or task.reading_keys)


def mistaken(
    task: Task, kind: ErrorKind, state: ExpertState, other: ExpertState, rng: np.random.Generator
) -> dict[str, Any] | None:
    """The expert's thought with this mistake, borrowed from another state; None where `Task.check` finds another."""
    thought = _SPOIL[kind](task, state.expert, other.expert, rng)
    return thought if _is(kind, checks(task, state.truth, thought)) else None


def checks(task: Task, truth: Truth, thought: Any) -> dict[str, bool]:
    """Which of the task's questions a thought passes."""
    return dict(task.check(truth, task.parse(task.write(thought, "?")), None))


def _is(kind: ErrorKind, passed: dict[str, bool]) -> bool:
    """Whether exactly the question that the error is about fails; of an incoherent thought any."""
    failed = {name for name, good in passed.items() if not good}
    if kind is ErrorKind.NONE:
        return not failed
    if kind is ErrorKind.INCOHERENT:
        return bool(failed)
    if kind is ErrorKind.PLAN:
        return "plan" in failed and "perception" not in failed
    return failed == {QUESTION[kind]}


Spoil = Callable[[Task, Expert, Expert, np.random.Generator], dict[str, Any]]


def _taken(task: Task, mine: Expert, other: Expert, keys: Sequence[str]) -> dict[str, Any]:
    """My thought with some fields of another state's."""
    return {key: other.thought[key] if key in keys else mine.thought[key] for key in task.thought_keys}


def _plan_keys(task: Task) -> Sequence[str]:
    """The keys that hold the plan; a plan without a key of its own stands in the last one."""
    return [key for key in task.thought_keys[:-1] if key not in task.reading_keys] or task.thought_keys[-1:]


def _incoherent(task: Task, mine: Expert, other: Expert, rng: np.random.Generator) -> dict[str, Any]:
    last = task.thought_keys[-1]
    words = str(mine.thought[last]).split()
    return {**_taken(task, mine, other, _plan_keys(task)), last: " ".join(rng.permutation(words).tolist())}


_SPOIL: dict[ErrorKind, Spoil] = {
    ErrorKind.NONE: lambda task, mine, other, rng: dict(mine.thought),
    ErrorKind.MISREAD: lambda task, mine, other, rng: _taken(task, mine, other, task.reading_keys),
    ErrorKind.PLAN: lambda task, mine, other, rng: _taken(task, mine, other, _plan_keys(task)),
    ErrorKind.STEP: lambda task, mine, other, rng: _taken(task, mine, other, task.thought_keys[-1:]),
    ErrorKind.INCOHERENT: _incoherent,
}

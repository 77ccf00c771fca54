"""What will go wrong with a task, found in seconds and told in words: ``gtr check TASK``.

The task is played at random and by its expert; each check looks at those episodes and names what is wrong, and what
would be right. A check that itself fails, in code of the task, is a finding too.
"""

import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from gtr import tasks
from gtr.check import environment, knowledge, words
from gtr.check.walk import Walk, at_random, by_expert, walk
from gtr.config import Config
from gtr.contract import unwatched
from gtr.errors import ContractError, GtrError
from gtr.tasks.task import Finding, Task

EPISODES = 24
"""Played at random, and as many by the expert."""


@dataclass(frozen=True)
class Played:
    """A task and what was played of it."""

    task: Task
    config: Config
    random: list[Walk]
    expert: list[Walk]
    """Empty for a task without an expert, and of starts where it knows nothing."""

    @property
    def walks(self) -> list[Walk]:
        return [*self.random, *self.expert]


Check = Callable[[Played], Iterator[Finding]]
CHECKS: dict[str, Check] = {
    "its name and keys": words.names,
    "pictures": environment.pictures,
    "earlier turns stay as they were": environment.kept,
    "the same start and actions give the same game": environment.repeats,
    "splits and rules": environment.splits,
    "prompt": words.prompts,
    "actions": words.actions,
    "success and rewards": environment.success,
    "the expert wins": knowledge.wins,
    "the expert's replies": knowledge.replies,
    "the expert's replies without a thought": knowledge.without_thought,
    "check": knowledge.checks,
    "a thought may be anything": knowledge.anything,
    "the announced action": knowledge.announced,
    "visual_labels": knowledge.labels,
    "length of replies": knowledge.lengths,
}
"""By what is printed where nothing is found."""


def findings(config: Config) -> Iterator[Finding]:
    """Everything there is to say about the task of these settings, as it is found.

    Raises:
        GtrError: the task cannot be loaded, or lacks something on this machine.
    """
    task = tasks.load(config.task)
    task.ready()
    try:
        with unwatched():
            played = _played(task, config)
    except ContractError as wrong:
        yield Finding(False, wrong.text, wrong.remedy)
        return
    except Exception as error:
        yield _crash("an episode", error)
        return
    yield Finding(True, f"{len(played.random)} episodes at random, {len(played.expert)} by the expert")
    for title, check in CHECKS.items():
        yield from _checked(title, check, played)


def _played(task: Task, config: Config) -> Played:
    rng = np.random.default_rng(config.seed)
    starts = [task.reset_arguments(rng) for _ in range(EPISODES)]
    random = [walk(task, start, at_random(task, rng)) for start in starts]
    expert = [walk(task, start, by_expert(task)) for start in starts] if task.has_expert() else []
    return Played(task, config, random, [one for one in expert if one.actions])


def _checked(title: str, check: Check, played: Played) -> Iterator[Finding]:
    try:
        with unwatched():
            found = list(check(played))
    except ContractError as wrong:
        found = [Finding(False, wrong.text, wrong.remedy)]
    except Exception as error:
        found = [_crash(title, error)]
    yield from found or [Finding(True, title)]


def _crash(title: str, error: Exception) -> Finding:
    """Code of the task failed: where, and with which words."""
    cause = error.__cause__ if isinstance(error, ContractError) and error.__cause__ else error
    last = traceback.extract_tb(cause.__traceback__)[-1]
    told = getattr(error, "text", str(error)) if isinstance(error, GtrError) else f"{type(error).__name__}: {error}"
    return Finding(False, f"{title}: {told}", f"line {last.lineno} of {last.filename}, in {last.name}: {last.line}")

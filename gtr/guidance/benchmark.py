"""How good is a corrector? Thoughts of known kinds on a fixed panel of states, its verdicts held against the oracle."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from gtr.errors import ConfigError
from gtr.guidance.corrector import Case, Corrector
from gtr.stats import Interval, wilson
from gtr.tasks.expert import ExpertState, expert_episode
from gtr.tasks.reply import parse, write
from gtr.tasks.task import Task
from gtr.types import Expert, Judgement, Prompt, Verdict

BENCHMARK_SEED = 20_250_309
"""Added to the panel's seed, so that it repeats no run's start states."""
TRIES = 200
"""Draws per thought until the task's own check confirms that it is of its kind."""


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


@dataclass(frozen=True)
class BenchmarkCase:
    """One thought put before a corrector, and what is wrong with it."""

    kind: ErrorKind
    case: Case


@dataclass(frozen=True)
class Score:
    """How a corrector did on the thoughts of one kind, as shares with 95 % Wilson intervals."""

    kind: str
    thoughts: int
    found: Interval
    """Wrong thoughts judged incorrect or unsolvable (catch); right ones judged correct (pass)."""
    fixed: Interval
    """Wrong thoughts whose correction passes every check of the oracle (fix); right ones left unspoilt: not judged
    unsolvable, nor given a correction that fails a check (1 - break)."""
    absent: int
    """Thoughts without a usable verdict; they count as not found."""


def benchmark_cases(task: Task, per_kind: int, seed: int) -> list[BenchmarkCase]:
    """Thoughts of every kind that the task allows, in equal numbers, each confirmed by `Task.check`.

    Raises:
        ConfigError: the task has no expert or cannot check thoughts, so there is nothing to hold verdicts against.
    """
    rng = np.random.default_rng([BENCHMARK_SEED, seed])
    states = list(_states(task, rng, 4 * per_kind))
    if not states or not _checks(task, states[0], states[0].expert):
        raise ConfigError(f"task '{task.name}' has no expert or no check: a corrector cannot be held against it")
    made: list[BenchmarkCase] = []
    for kind in ErrorKind:
        for _ in range(per_kind):
            case = _case(task, kind, states, rng, len(made))
            if case is None:
                break
            made.append(case)
    return made


def _states(task: Task, rng: np.random.Generator, count: int) -> Iterator[ExpertState]:
    """One state of each of so many expert episodes."""
    env = task.make_env()
    for _ in range(count):
        if passed := list(expert_episode(task, env, rng)):
            yield passed[int(rng.integers(len(passed)))]
    env.close()


def _case(
    task: Task, kind: ErrorKind, states: Sequence[ExpertState], rng: np.random.Generator, number: int
) -> BenchmarkCase | None:
    """A thought that has this error and no other, as far as the task's questions tell; None if none was drawn."""
    for _ in range(TRIES):
        state, other = (states[int(rng.integers(len(states)))] for _ in range(2))
        thought = _SPOIL[kind](task, state.expert, other.expert, rng)
        spoilt = Expert(thought, state.expert.action, state.expert.target)
        if not _is(kind, _checks(task, state, spoilt)):
            continue
        prompt = Prompt(state.observation.image, task.prompt(state.observation))
        text = write(thought, state.expert.action)
        parsed = parse(text, True, task.thought_keys)
        return BenchmarkCase(kind, Case(number, 0, 0, prompt, state.observation, state.truth, text, parsed))
    return None


def _checks(task: Task, state: ExpertState, said: Expert) -> dict[str, bool]:
    parsed = parse(write(said.thought, said.action), True, task.thought_keys)
    return dict(task.check(state.truth, parsed, None))


def _is(kind: ErrorKind, checks: dict[str, bool]) -> bool:
    """Whether exactly the question that the error is about fails; of an incoherent thought any."""
    failed = {name for name, passed in checks.items() if not passed}
    if kind is ErrorKind.NONE:
        return not failed
    if kind is ErrorKind.INCOHERENT:
        return bool(failed)
    if kind is ErrorKind.PLAN:
        return "plan" in failed and "perception" not in failed
    return failed == {"perception" if kind is ErrorKind.MISREAD else "step"}


Spoil = Callable[[Task, Expert, Expert, np.random.Generator], dict[str, object]]


def _taken(task: Task, mine: Expert, other: Expert, keys: Sequence[str]) -> dict[str, object]:
    """My thought with some fields of another state's."""
    return {key: other.thought[key] if key in keys else mine.thought[key] for key in task.thought_keys}


def _plan_keys(task: Task) -> list[str]:
    return [key for key in task.thought_keys[:-1] if key not in task.reading_keys]


def _incoherent(task: Task, mine: Expert, other: Expert, rng: np.random.Generator) -> dict[str, object]:
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


def benchmark(corrector: Corrector, task: Task, put: Sequence[BenchmarkCase]) -> list[Score]:
    """Puts every thought before a corrector: one score per kind, then one over all wrong thoughts."""
    futures = corrector.judge([one.case for one in put])
    judged = [(one, future.result()) for one, future in zip(put, futures, strict=True)]
    scores = [
        _score(str(kind), task, group) for kind in ErrorKind if (group := [j for j in judged if j[0].kind is kind])
    ]
    wrong = [one for one in judged if one[0].kind is not ErrorKind.NONE]
    return [*scores, _score("all wrong", task, wrong)]


def _score(name: str, task: Task, judged: Sequence[tuple[BenchmarkCase, Verdict]]) -> Score:
    found = sum(_found(case, verdict) for case, verdict in judged)
    fixed = sum(_fixed(task, case, verdict) for case, verdict in judged)
    absent = sum(verdict.judgement in (Judgement.ABSENT, Judgement.SKIPPED) for _, verdict in judged)
    count = len(judged)
    return Score(name, count, wilson(found, count), wilson(fixed, count), absent)


def _found(case: BenchmarkCase, verdict: Verdict) -> bool:
    if case.kind is ErrorKind.NONE:
        return verdict.judgement is Judgement.CORRECT
    return verdict.judgement in (Judgement.INCORRECT, Judgement.UNSOLVABLE)


def _fixed(task: Task, case: BenchmarkCase, verdict: Verdict) -> bool:
    if verdict.thought is not None:
        parsed = parse(write(verdict.thought, "?"), True, task.thought_keys)
        checks = task.check(case.case.truth, parsed, None)
        return bool(checks) and all(checks.values())
    return case.kind is ErrorKind.NONE and verdict.judgement is not Judgement.UNSOLVABLE

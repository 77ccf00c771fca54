"""How good is a corrector? Thoughts of known kinds on a fixed panel of states, its verdicts held against the oracle."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gtr.errors import ConfigError
from gtr.guidance.corrector import Case, Corrector, answered, ask
from gtr.guidance.mistakes import QUESTION, ErrorKind, checks, expert_states, mistaken
from gtr.stats import Interval, wilson
from gtr.tasks.expert import ExpertState
from gtr.tasks.task import Task
from gtr.types import UNANSWERED, Judgement, Prompt, Verdict

BENCHMARK_SEED = 20_250_309
"""Added to the panel's seed, so that it repeats no run's start states."""
TRIES = 200
"""Draws per thought until the task's own check confirms that it is of its kind."""


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
    states = list(expert_states(task, rng, 4 * per_kind))
    if not states or not checks(task, states[0].truth, states[0].expert.thought):
        raise ConfigError(f"task '{task.name}' has no expert or no check: a corrector cannot be held against it")
    made: list[BenchmarkCase] = []
    for kind in ErrorKind:
        for _ in range(per_kind):
            case = _case(task, kind, states, rng, len(made))
            if case is None:
                break
            made.append(case)
    return made


def _case(
    task: Task, kind: ErrorKind, states: Sequence[ExpertState], rng: np.random.Generator, number: int
) -> BenchmarkCase | None:
    """A thought that has this error and no other, as far as the task's questions tell; None if none was drawn."""
    for _ in range(TRIES):
        state, other = (states[int(rng.integers(len(states)))] for _ in range(2))
        if (thought := mistaken(task, kind, state, other, rng)) is None:
            continue
        prompt = Prompt(state.observation.image, task.prompt(state.observation))
        text = task.write(thought, state.expert.action)
        parsed = task.parse(text)
        return BenchmarkCase(kind, Case(number, 0, 0, prompt, state.observation, state.truth, text, parsed))
    return None


Judged = Sequence[tuple[BenchmarkCase, Verdict]]


def judged(corrector: Corrector, put: Sequence[BenchmarkCase]) -> Judged:
    """Every thought and the corrector's verdict on it."""
    futures = ask(corrector, [one.case for one in put])
    return [(one, answered(corrector, future, one.case)) for one, future in zip(put, futures, strict=True)]


def benchmark(corrector: Corrector, task: Task, put: Sequence[BenchmarkCase]) -> list[Score]:
    """Puts every thought before a corrector: one score per kind, then one over all wrong thoughts."""
    return scores(task, judged(corrector, put))


def scores(task: Task, verdicts: Judged) -> list[Score]:
    """One score per kind of thought, then one over all wrong thoughts."""
    groups = {kind: [one for one in verdicts if one[0].kind is kind] for kind in ErrorKind}
    wrong = [one for one in verdicts if one[0].kind is not ErrorKind.NONE]
    return [*(_score(kind, task, group) for kind, group in groups.items() if group), _score("all wrong", task, wrong)]


def mistakes(task: Task, verdicts: Judged) -> dict[str, Interval]:
    """How often corrections are wrong, by kind: the share of all corrections, with 95 % Wilson intervals.

    ``misread``, ``wrong plan`` and ``wrong step`` by the first of these questions that a correction fails; ``wrong
    action`` where it is right and its own action is not the one that it announces, of those that say both.
    """
    given = [(case, verdict) for case, verdict in verdicts if verdict.thought is not None]
    kinds = [_mistake(task, case, verdict) for case, verdict in given]
    found = {str(kind): wilson(kinds.count(kind), len(kinds)) for kind in QUESTION}
    right = [one for one, kind in zip(given, kinds, strict=True) if kind is ErrorKind.NONE]
    followed = [known for one in right if (known := _follows(task, *one)) is not None]
    return {**found, "wrong action": wilson(followed.count(False), len(followed))}


def _mistake(task: Task, case: BenchmarkCase, verdict: Verdict) -> ErrorKind:
    passed = checks(task, case.case.truth, verdict.thought)
    return next((kind for kind, question in QUESTION.items() if not passed.get(question, True)), ErrorKind.NONE)


def _follows(task: Task, case: BenchmarkCase, verdict: Verdict) -> bool | None:
    said = task.announced_action(verdict.thought or {}, case.case.observation)
    return None if said is None or verdict.action is None else task.same_action(said, verdict.action)


def _score(name: str, task: Task, judged: Judged) -> Score:
    found = sum(_found(case, verdict) for case, verdict in judged)
    fixed = sum(_fixed(task, case, verdict) for case, verdict in judged)
    absent = sum(verdict.judgement in UNANSWERED for _, verdict in judged)
    count = len(judged)
    return Score(name, count, wilson(found, count), wilson(fixed, count), absent)


def _found(case: BenchmarkCase, verdict: Verdict) -> bool:
    if case.kind is ErrorKind.NONE:
        return verdict.judgement is Judgement.CORRECT
    return verdict.judgement in (Judgement.INCORRECT, Judgement.UNSOLVABLE)


def _fixed(task: Task, case: BenchmarkCase, verdict: Verdict) -> bool:
    if verdict.thought is not None:
        passed = checks(task, case.case.truth, verdict.thought)
        return bool(passed) and all(passed.values())
    return case.kind is ErrorKind.NONE and verdict.judgement is not Judgement.UNSOLVABLE

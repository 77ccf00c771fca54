"""How good is a corrector? Thoughts of known kinds on a fixed panel of states, its verdicts held against the oracle."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from gtr.errors import ConfigError
from gtr.guidance.corrector import Case, Corrector
from gtr.stats import Interval, wilson
from gtr.tasks.reply import parse, write
from gtr.tasks.task import Task
from gtr.types import Expert, Judgement, Observation, Prompt, Truth, Verdict

TRIAL_SEED = 20_250_309
"""Added to the panel's seed, so that it repeats no run's start states."""
TRIES = 200
"""Draws per thought until the task's own check confirms that it is of its kind."""


class Fault(StrEnum):
    """What is wrong with a thought."""

    NONE = "right"
    MISREAD = "misread"
    """It says it sees what is not in the picture; the rest is the expert's."""
    PLAN = "wrong plan"
    """The plan belongs to another state."""
    STEP = "wrong step"
    """It announces another action than its plan calls for."""
    INCOHERENT = "incoherent"
    """The plan of another state and its words out of order."""


@dataclass(frozen=True)
class Sample:
    """One thought put before a corrector, and what is wrong with it."""

    fault: Fault
    case: Case


@dataclass(frozen=True)
class State:
    """One state of a game and what its expert thinks there."""

    observation: Observation
    truth: Truth
    expert: Expert


@dataclass(frozen=True)
class Score:
    """How a corrector did on the thoughts of one kind, as shares with 95 % Wilson intervals."""

    fault: str
    thoughts: int
    found: Interval
    """Wrong thoughts judged wrong or hopeless (catch); right ones judged right (pass)."""
    mended: Interval
    """Wrong thoughts whose correction passes every check of the oracle (fix); right ones left unspoilt: not judged
    hopeless, nor given a correction that fails a check (1 - break)."""
    absent: int
    """Thoughts without a usable verdict; they count as not found."""


def samples(task: Task, per_fault: int, seed: int) -> list[Sample]:
    """Thoughts of every kind that the task allows, in equal numbers, each confirmed by `Task.check`.

    Raises:
        ConfigError: the task has no expert or cannot check thoughts, so there is nothing to hold verdicts against.
    """
    rng = np.random.default_rng([TRIAL_SEED, seed])
    states = list(_states(task, rng, 4 * per_fault))
    if not states or not _checks(task, states[0], states[0].expert):
        raise ConfigError(f"task '{task.name}' has no expert or no check: a corrector cannot be held against it")
    made: list[Sample] = []
    for fault in Fault:
        for _ in range(per_fault):
            sample = _sample(task, fault, states, rng, len(made))
            if sample is None:
                break
            made.append(sample)
    return made


def _states(task: Task, rng: np.random.Generator, count: int) -> Iterator[State]:
    """States on the expert's way, from the start of an episode to its last turn but one."""
    env = task.make_env()
    for _ in range(count):
        image, info = env.reset(**task.reset_arguments(rng))
        passed: list[State] = []
        ended = False
        while not ended:
            observation, truth = task.observe(np.asarray(image, dtype=np.uint8), info), task.truth(info)
            expert = task.expert(truth, passed[-1].expert.target if passed else None)
            if expert is None:
                break
            passed.append(State(observation, truth, expert))
            image, _, terminated, truncated, info = env.step(task.to_env(expert.action, observation))
            ended = terminated or truncated or len(passed) >= task.max_turns
        if passed:
            yield passed[int(rng.integers(len(passed)))]
    env.close()


def _sample(task: Task, fault: Fault, states: Sequence[State], rng: np.random.Generator, number: int) -> Sample | None:
    """A thought that has this fault and no other, as far as the task's questions tell; None if none was drawn."""
    for _ in range(TRIES):
        state, other = (states[int(rng.integers(len(states)))] for _ in range(2))
        thought = _SPOIL[fault](task, state.expert, other.expert, rng)
        spoilt = Expert(thought, state.expert.action, state.expert.target)
        if not _is(fault, _checks(task, state, spoilt)):
            continue
        prompt = Prompt(state.observation.image, task.prompt(state.observation))
        text = write(thought, state.expert.action)
        parsed = parse(text, True, task.thought_keys)
        return Sample(fault, Case(number, 0, 0, prompt, state.observation, state.truth, text, parsed))
    return None


def _checks(task: Task, state: State, said: Expert) -> dict[str, bool]:
    parsed = parse(write(said.thought, said.action), True, task.thought_keys)
    return dict(task.check(state.truth, parsed, None))


def _is(fault: Fault, checks: dict[str, bool]) -> bool:
    """Whether exactly the question that the fault is about fails; of an incoherent thought any."""
    failed = {name for name, passed in checks.items() if not passed}
    if fault is Fault.NONE:
        return not failed
    if fault is Fault.INCOHERENT:
        return bool(failed)
    if fault is Fault.PLAN:
        return "plan" in failed and "perception" not in failed
    return failed == {"perception" if fault is Fault.MISREAD else "step"}


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


_SPOIL: dict[Fault, Spoil] = {
    Fault.NONE: lambda task, mine, other, rng: dict(mine.thought),
    Fault.MISREAD: lambda task, mine, other, rng: _taken(task, mine, other, task.reading_keys),
    Fault.PLAN: lambda task, mine, other, rng: _taken(task, mine, other, _plan_keys(task)),
    Fault.STEP: lambda task, mine, other, rng: _taken(task, mine, other, task.thought_keys[-1:]),
    Fault.INCOHERENT: _incoherent,
}


def trial(corrector: Corrector, task: Task, put: Sequence[Sample]) -> list[Score]:
    """Puts every thought before a corrector: one score per kind, then one over all wrong thoughts."""
    futures = corrector.judge([sample.case for sample in put])
    judged = [(sample, future.result()) for sample, future in zip(put, futures, strict=True)]
    scores = [
        _score(str(fault), task, group) for fault in Fault if (group := [j for j in judged if j[0].fault is fault])
    ]
    wrong = [one for one in judged if one[0].fault is not Fault.NONE]
    return [*scores, _score("all wrong", task, wrong)]


def _score(name: str, task: Task, judged: Sequence[tuple[Sample, Verdict]]) -> Score:
    found = sum(_found(sample, verdict) for sample, verdict in judged)
    mended = sum(_mended(task, sample, verdict) for sample, verdict in judged)
    absent = sum(verdict.judgement in (Judgement.ABSENT, Judgement.SKIPPED) for _, verdict in judged)
    count = len(judged)
    return Score(name, count, wilson(found, count), wilson(mended, count), absent)


def _found(sample: Sample, verdict: Verdict) -> bool:
    if sample.fault is Fault.NONE:
        return verdict.judgement is Judgement.CORRECT
    return verdict.judgement in (Judgement.INCORRECT, Judgement.UNSOLVABLE)


def _mended(task: Task, sample: Sample, verdict: Verdict) -> bool:
    if verdict.thought is not None:
        parsed = parse(write(verdict.thought, "?"), True, task.thought_keys)
        checks = task.check(sample.case.truth, parsed, None)
        return bool(checks) and all(checks.values())
    return sample.fault is Fault.NONE and verdict.judgement is not Judgement.UNSOLVABLE

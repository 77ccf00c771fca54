"""How good a teacher's thoughts are beside the agent's: both are put to the task's own check, state by state."""

from collections.abc import Iterable
from dataclasses import dataclass

from gtr.tasks.task import Task
from gtr.types import Parsed, ReplyStatus, Truth


@dataclass(frozen=True)
class Pair:
    """What agent and teacher wrote in one state."""

    truth: Truth
    agent: Parsed
    teacher: Parsed


@dataclass(frozen=True)
class Tally:
    """Counts over states in which a right thought exists and the task can check thoughts."""

    states: int
    agent: int
    """States in which the agent's thought is right."""
    teacher: int
    """States in which the teacher's is."""
    both: int
    same: int
    """States in which both wrote the same thought, word for word."""

    @property
    def mends(self) -> int:
        """States in which the teacher's thought is right and the agent's is wrong."""
        return self.teacher - self.both


def tally(task: Task, pairs: Iterable[Pair]) -> Tally:
    """Holds a teacher's thoughts against the agent's. A reply that is not whole has no right thought."""
    rows = [pair for pair in pairs if task.solvable(pair.truth)]
    judged = [(pair, right(task, pair.truth, pair.agent), right(task, pair.truth, pair.teacher)) for pair in rows]
    known = [(pair, bool(own), bool(taught)) for pair, own, taught in judged if None not in (own, taught)]
    return Tally(
        len(known),
        sum(own for _, own, _ in known),
        sum(taught for _, _, taught in known),
        sum(own and taught for _, own, taught in known),
        sum(thought(task, pair.agent) == thought(task, pair.teacher) is not None for pair, _, _ in known),
    )


def right(task: Task, truth: Truth, said: Parsed) -> bool | None:
    """Whether a thought passes every check of the task, asked without a plan to keep to; None where it has none."""
    if said.status is not ReplyStatus.COMPLETE:
        return False
    answers = task.check(truth, said, None)
    return all(answers.values()) if answers else None


def thought(task: Task, said: Parsed) -> dict[str, object] | None:
    """The thought's fields; None of a reply that is not whole."""
    if said.status is not ReplyStatus.COMPLETE:
        return None
    return {key: said.fields[key] for key in task.thought_keys}

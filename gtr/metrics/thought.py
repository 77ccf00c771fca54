"""What a turn's thought says, as text, words and answers to the task's questions."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from gtr.tasks.task import Task
from gtr.types import ReplyStatus, Turn

WORD = re.compile(r"\w+|[^\w\s]")
"""A word is a run of letters and digits, or one other visible character: `(10+2)` has five."""

RECONSIDERING = re.compile(
    r"\b(?:wait|however|actually|alternatively|hmm+|mistaken?|re-?(?:check|consider|evaluate|examine|think|visit)\w*"
    r"|double[- ]check\w*|verify\w*|verif(?:ies|ied)|(?:check|look|think|try) again|on second thought)\b",
    re.IGNORECASE,
)
"""Words by which a thought goes back on itself, after the idea of MAYE's reflection words (arXiv 2504.02587)."""


@dataclass(frozen=True)
class Thought:
    """The thought of one complete reply."""

    text: str
    """The values of the task's thought keys, in order, joined by spaces; strings as they are, the rest as JSON."""
    words: tuple[str, ...]
    state: str
    """`Task.state_key` of the state it was thought in."""
    checks: dict[str, bool]
    """`Task.check` of the thought, empty where the task cannot judge."""
    turn: Turn

    @property
    def right(self) -> bool:
        """Whether the thought passes every question of the task."""
        return all(self.checks.values())


def complete(turn: Turn) -> bool:
    return turn.parsed.status is ReplyStatus.COMPLETE


def read(turns: Sequence[Turn], task: Task) -> list[Thought]:
    """The thoughts of all complete replies.

    The task is asked without a target, so that a thought is judged by the state alone: the answers mean the same with
    any corrector and with none.
    """
    return [_read(turn, task) for turn in turns if complete(turn)]


def _read(turn: Turn, task: Task) -> Thought:
    fields = turn.parsed.fields
    text = " ".join(written(fields[key]) for key in task.thought_keys if key in fields)
    checks = dict(task.check(turn.truth, turn.parsed, None))
    return Thought(text, tuple(WORD.findall(text)), task.state_key(turn.truth), checks, turn)


def follows(turn: Turn, task: Task) -> bool | None:
    """Whether a complete reply's action is the one that its thought announces; None where that cannot be told."""
    if not complete(turn) or turn.implied is None or turn.parsed.action is None:
        return None
    return task.same_action(turn.parsed.action, turn.implied)


def written(value: object) -> str:
    """A thought field's value as text."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def reconsiders(thought: Thought) -> bool:
    """Whether the thought goes back on itself in words."""
    return RECONSIDERING.search(thought.text) is not None

"""Replies whose thought is free text: ``<think>...</think><answer>...</answer>``, as reasoning models write.

What a thought states is read off its lines: ``key: value`` for each of the task's keys but the last, the latest where a
model thinks again; all other lines are the last key's. A value that is JSON is that value, any other is text. A key
that is nowhere is an empty text, which fails its check: a thought is free to leave things out, and the action counts.

The reader never raises and takes linear time. The opening ``<think>`` may be missing: some prompt templates write it.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from gtr.tasks.reply import valid_text, value_in
from gtr.types import Parsed, ReplyStatus, Span

OPEN, CLOSE, ANSWER, END = "<think>", "</think>", "<answer>", "</answer>"
_TAG = re.compile(r"</?(?:think|answer)>")


def write(thought: Mapping[str, Any], action: str) -> str:
    r"""The canonical text of a reply; without a thought, of an answer alone.

    >>> write({"cards": [2, 10], "thoughts": "next 2"}, "2")
    '<think>\ncards: [2, 10]\nthoughts: next 2\n</think><answer>2</answer>'
    """
    plain = not (_TAG.search(action) or action.startswith('"') or action.strip() != action)
    answer = ANSWER + (valid_text(action) if plain else _dumped(action)) + END
    return f"{begin(thought)}\n{CLOSE}{answer}" if thought else answer


def begin(thought: Mapping[str, Any]) -> str:
    """How a reply begins that states these fields first."""
    return "\n".join([OPEN, *(f"{key}: {_value(value)}" for key, value in thought.items() if key != "action")])


def _value(value: Any) -> str:
    plain = isinstance(value, str) and "\n" not in value and not _TAG.search(value) and value_in(value) == value
    return str(valid_text(value)) if plain else _dumped(value)


def _dumped(value: Any) -> str:
    """As JSON that holds no tag: the sign that begins one stands in strings alone, and can be spelt otherwise."""
    return json.dumps(valid_text(value), ensure_ascii=False).replace("<", "\\u003c")


def parse(text: str, finished: bool, thought_keys: Sequence[str]) -> Parsed:
    """A reply read as thought and action, with statuses as `gtr.tasks.reply.parse` gives them.

    MISSING_KEY is a reply without its thought or its answer, REPEATED_KEY one that answers twice. What stands between
    and after the two is passed over.

    >>> parse("I see a 2.</think><answer>2</answer>", True, ("thoughts",)).fields
    {'thoughts': 'I see a 2.', 'action': '2'}
    """
    if not text.strip():
        return Parsed(ReplyStatus.EMPTY)
    opened = text.lstrip().startswith(OPEN)
    first = text.find(OPEN) + len(OPEN) if opened else 0
    closed = text.find(CLOSE, first)
    answer = text.find(ANSWER, max(closed, first))
    end = text.find(END, answer) if answer >= 0 else -1
    thinks = opened or closed >= 0
    inside = text[first : closed if closed >= 0 else answer if answer >= 0 else len(text)]
    fields = _fields(inside, thought_keys) if thinks else {}
    span, action = _action(text, answer, end)
    status = _status(thinks, closed, answer, end, finished, bool(thought_keys))
    if status is ReplyStatus.COMPLETE and text.find(ANSWER, end) >= 0:
        status = ReplyStatus.REPEATED_KEY
    if status is not ReplyStatus.COMPLETE:
        return Parsed(status, fields, None, span)
    return Parsed(status, {**dict.fromkeys(thought_keys, ""), **fields, "action": action}, action, span)


def _status(thinks: bool, closed: int, answer: int, end: int, finished: bool, must_think: bool) -> ReplyStatus:
    """Of a reply whose parts stand at these places, -1 where there is none."""
    if (thinks and closed < 0) or end < 0:
        if not finished:
            return ReplyStatus.CUT
        return ReplyStatus.MISSING_KEY if closed >= 0 and answer < 0 else ReplyStatus.MALFORMED
    return ReplyStatus.MISSING_KEY if must_think and not thinks else ReplyStatus.COMPLETE


def _fields(thought: str, keys: Sequence[str]) -> dict[str, Any]:
    """What the lines of a thought state."""
    found: dict[str, Any] = {}
    other: list[str] = []
    for line in thought.split("\n"):
        key, colon, rest = line.partition(":")
        if colon and key.strip() in keys[:-1]:
            found[key.strip()] = value_in(rest)
        else:
            other.append(line)
    said = "\n".join(other).strip()
    if keys and said:
        found[keys[-1]] = value_in(said.removeprefix(f"{keys[-1]}:"))
    return found


def _action(text: str, answer: int, end: int) -> tuple[Span | None, str]:
    """Where an action stands, inside its quotes if it has some, and what it says; (None, "") for one not begun."""
    if answer < 0:
        return None, ""
    start = answer + len(ANSWER)
    body = text[start : end if end >= 0 else len(text)]
    start += len(body) - len(body.lstrip())
    body = body.strip()
    if not body and end < 0:
        return None, ""
    quoted = value_in(body) if body.startswith('"') else None
    if isinstance(quoted, str) and quoted != body:
        return (start + 1, start + len(body) - 1), quoted.strip()
    return (start, start + len(body)), body

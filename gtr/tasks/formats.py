"""The forms in which an agent may be asked to reply: one row each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gtr.tasks import reply, think
from gtr.types import Parsed


@dataclass(frozen=True)
class ReplyFormat:
    """How a reply is asked for, written and read."""

    name: str
    """As a person would call one."""
    write: Callable[[Mapping[str, Any], str], str]
    """The canonical text of a thought and an action."""
    begin: Callable[[Mapping[str, Any]], str]
    """How a reply begins that states these fields first."""
    parse: Callable[[str, bool, Sequence[str]], Parsed]
    """A text, whether the model ended it itself, and the thought's keys, read as thought and action."""
    ask: Callable[[Mapping[str, str], str], str]
    """The words of a prompt that ask for it: what each key of the thought says, and the action, texts in quotes."""
    action_mark: str
    """What stands before an action's value."""
    end_mark: str
    """What stands after it, and holds no action itself; empty where the value's own end is read."""
    shown: str
    """A regular expression for how a prompt that asks for it shows a key, which stands where the braces are."""

    def tail(self, text: str, last: int) -> str:
        """What a reply says behind the action's mark, in lower case; without one, the `last` characters (code)."""
        found = reply.after_mark(text, self.action_mark, last)
        return found.replace(self.end_mark, "") if self.end_mark else found


def _ask_json(thought: Mapping[str, str], action: str) -> str:
    said = "".join(f'"{key}": {what}, ' for key, what in thought.items())
    return f'Answer with one JSON object: {{{said}"action": {action}}}'


def _ask_think(thought: Mapping[str, str], action: str) -> str:
    answer = think.ANSWER + action.replace('"', "") + think.END
    if not thought:
        return f"Answer in this form: {answer}"
    lines = think.begin({key: what.replace('"', "") for key, what in thought.items()})
    return f"Think first, then answer, in this form:\n{lines}\n{think.CLOSE}{answer}"


FORMATS: Mapping[str, ReplyFormat] = {
    "json": ReplyFormat("JSON object", reply.write, reply.begin, reply.parse, _ask_json, '"action":', "", '"{}"\\s*:'),
    "think": ReplyFormat(
        "thought and answer in tags",
        think.write,
        think.begin,
        think.parse,
        _ask_think,
        think.ANSWER,
        think.END,
        "(?m)^{}:",
    ),
}
"""By `task.format`."""

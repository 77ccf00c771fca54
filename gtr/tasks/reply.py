"""Reading and writing replies: one JSON object whose thought comes first and whose action comes last.

The reader is made for text that a half-trained model sampled. It never raises and takes linear time. It is lenient
about what surrounds the object (prose, code fences), about unknown keys and about the order of keys; it is strict
about the object itself. Where text holds several objects, the first counts.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from json.decoder import JSONDecoder
from typing import Any

from gtr.types import Parsed, ReplyStatus, Span

MAX_DEPTH = 32
"""Deepest nesting of brackets read in one value; no reply needs more, and Python's own reader recurses."""

_START = re.compile(r'\{\s*["}]')
_BLANKS = re.compile(r"\s*")
_SCALAR = re.compile(r"[^\s,{}\[\]\"]+")
_BRACKET_OR_STRING = re.compile(r'[\[\]{}"]')
_STRING_BODY = re.compile(r'[^"\\]*(?:\\.[^"\\]*)*', re.DOTALL)
_ANNOUNCED_WITHIN = 64
_LENIENT = JSONDecoder(strict=False)
"""Reads strings that hold raw line breaks, which models write."""


class _Cut(Exception):
    """The text ends inside the object."""


class _Bad(Exception):
    """The text is not JSON here."""


def write(thought: Mapping[str, Any], action: str) -> str:
    """The canonical text of a reply, the action last.

    >>> write({"cards": [2, 10], "thoughts": "next 2"}, "2")
    '{"cards": [2, 10], "thoughts": "next 2", "action": "2"}'
    """
    fields = {key: value for key, value in thought.items() if key != "action"}
    return json.dumps(valid_text({**fields, "action": action}), ensure_ascii=False)


def parse(text: str, finished: bool, thought_keys: Sequence[str], action_key: str = "action") -> Parsed:
    """A reply read as thought and action.

    `finished` says whether the model ended the reply itself: an object that the token limit left open is CUT, one that
    the model left open is MALFORMED. A key that occurs twice keeps its first value. The action's span is given, for
    any status, wherever a value of the action can be seen.

    >>> parse('{"thoughts": "take 2", "action": 2}', True, ("thoughts",)).action_span
    (33, 34)
    """
    if not text.strip():
        return Parsed(ReplyStatus.EMPTY)
    start = _START.search(text)
    fields: dict[str, Any] = {}
    spans: dict[str, Span] = {}
    repeated = False
    try:
        at = start.end() - 1 if start else _beginning(text)
        while text[at : at + 1] != "}":
            key, value, span, at = _pair(text, at)
            repeated = repeated or key in fields
            fields.setdefault(key, value)
            spans.setdefault(key, span)
            at = _separator(text, at)
    except _Cut:
        status = ReplyStatus.MALFORMED if finished else ReplyStatus.CUT
        return Parsed(status, fields, None, spans.get(action_key) or _visible_span(text, action_key))
    except _Bad:
        return Parsed(ReplyStatus.MALFORMED, fields, None, spans.get(action_key) or _visible_span(text, action_key))
    span_of_action = spans.get(action_key)
    if repeated:
        return Parsed(ReplyStatus.REPEATED_KEY, fields, None, span_of_action)
    if any(key not in fields for key in (*thought_keys, action_key)):
        return Parsed(ReplyStatus.MISSING_KEY, fields, None, span_of_action)
    action = _action_text(fields[action_key], text, span_of_action)
    if action is None:
        return Parsed(ReplyStatus.MALFORMED, fields, None, span_of_action)
    return Parsed(ReplyStatus.COMPLETE, fields, action, span_of_action)


def begin(thought: Mapping[str, Any]) -> str:
    """How a reply begins that states these fields first.

    >>> begin({"cards": [2, 10]})
    '{"cards": [2, 10]'
    """
    return json.dumps(dict(thought), ensure_ascii=False)[:-1]


def value_in(text: str) -> Any:
    """The JSON value that a text is, or else the text itself without blanks at its ends.

    >>> value_in(" [2, 10]"), value_in("2 * 10")
    ([2, 10], '2 * 10')
    """
    text = valid_text(text.strip())
    if not text:
        return text
    try:
        if text[0] == '"':
            value, end = _string(text, 0)
        else:
            end = _end_of_nested(text, 0) if text[0] in "[{" else len(text)
            value = _decoded(text[:end], False)
    except (_Cut, _Bad):
        return text
    return value if end == len(text) else text


def after_mark(text: str, mark: str, last: int) -> str:
    """What stands from the first of a mark's places on, in lower case; without one, the `last` characters (code).

    >>> after_mark('{"action": "Number 7"', '"action":', 1)
    '"action": "number 7"'
    """
    text = text.lower()
    at = text.find(mark)
    return text[at:] if at >= 0 else text[-last:]


def announced(thoughts: object, choices: Iterable[str]) -> str | None:
    """The choice named right after the last word "next" of a thought, or None.

    A few filler words may stand between, as in ``the next symbol is '('``.

    >>> announced("10 and 4 are there, so next is 10", ["1", "10"])
    '10'
    """
    if not isinstance(thoughts, str):
        return None
    position = max(thoughts.rfind("next"), thoughts.rfind("Next"))
    if position < 0:
        return None
    tail = thoughts[position + 4 : position + 4 + _ANNOUNCED_WITHIN].lower()
    tail = re.sub(r"""^(?:[\s:'"`]|symbol|number|operator|action|move|step|is|to)*""", "", tail)
    for choice in sorted(choices, key=len, reverse=True):
        after = tail[len(choice) : len(choice) + 1]
        if tail.startswith(choice.lower()) and not (choice[-1].isalnum() and after.isalnum()):
            return choice
    return None


def _beginning(text: str) -> int:
    """Explains why no object begins: the text is cut right after an opening brace, or there is none."""
    rest = text.rstrip()
    raise _Cut if rest.endswith("{") or "{" not in rest else _Bad


def _pair(text: str, at: int) -> tuple[str, Any, Span, int]:
    """The key and value that begin at `at`, the characters of the value, and where the next symbol stands."""
    key, at = _string(text, at)
    at = _skip(text, at)
    if at >= len(text):
        raise _Cut
    if text[at] != ":":
        raise _Bad
    at = _skip(text, at + 1)
    if at >= len(text):
        raise _Cut
    if text[at] == '"':
        value, end = _string(text, at)
        return key, value, (at + 1, end - 1), _skip(text, end)
    end = _end_of_nested(text, at) if text[at] in "[{" else _end_of_scalar(text, at)
    return key, _decoded(text[at:end], end == len(text)), (at, end), _skip(text, end)


def _separator(text: str, at: int) -> int:
    """Steps over a comma to the next key, or stays on the closing brace."""
    if at >= len(text):
        raise _Cut
    if text[at] == "}":
        return at
    if text[at] != ",":
        raise _Bad
    after = _skip(text, at + 1)
    if text[after : after + 1] == "}":
        raise _Bad
    return after


def _skip(text: str, at: int) -> int:
    match = _BLANKS.match(text, at)
    return match.end() if match else at


def _string(text: str, at: int) -> tuple[str, int]:
    """The JSON string that begins at `at` and the position after its closing quote."""
    if at >= len(text):
        raise _Cut
    if text[at] != '"':
        raise _Bad
    try:
        value, end = _LENIENT.raw_decode(text, at)
    except ValueError as error:
        body = _STRING_BODY.match(text, at + 1)
        raise (_Cut if body is None or body.end() >= len(text) or text[body.end()] == "\\" else _Bad) from error
    return valid_text(value), end


def _end_of_scalar(text: str, at: int) -> int:
    match = _SCALAR.match(text, at)
    if match is None:
        raise _Bad
    return match.end()


def _end_of_nested(text: str, at: int) -> int:
    """The position after the bracket that closes the one at `at`."""
    depth = 0
    while True:
        match = _BRACKET_OR_STRING.search(text, at)
        if match is None:
            raise _Cut
        at = match.end()
        if match[0] == '"':
            at = _string(text, match.start())[1]
            continue
        depth += 1 if match[0] in "[{" else -1
        if depth > MAX_DEPTH:
            raise _Bad
        if depth == 0:
            return at


def _decoded(value: str, at_end: bool) -> Any:
    """A number, literal, list or object."""
    try:
        return valid_text(json.loads(value, parse_constant=_no_constant))
    except ValueError as error:
        raise (_Cut if at_end and value[0] not in "[{" else _Bad) from error


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def valid_text(value: Any) -> Any:
    r"""The value, however nested, with halves of surrogate pairs replaced: tokenizers and UTF-8 know none.

    >>> valid_text(["next \ud83d", 2])
    ['next \ufffd', 2]
    """
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [valid_text(item) for item in value]
    if isinstance(value, dict):
        return {valid_text(key): valid_text(item) for key, item in value.items()}
    return value


def _action_text(value: Any, text: str, span: Span | None) -> str | None:
    """An action as the agent wrote it; None for one that is a list or an object."""
    if isinstance(value, str):
        return value.strip()
    if span is None or isinstance(value, list | dict):
        return None
    return text[span[0] : span[1]]


def _visible_span(text: str, action_key: str) -> Span | None:
    """Where the last action's value stands in text that could not be read to its end."""
    heads = list(re.finditer(re.escape(json.dumps(action_key)) + r"\s*:\s*", text))
    if not heads:
        return None
    at = heads[-1].end()
    body = _STRING_BODY.match(text, at + 1) if text[at : at + 1] == '"' else _SCALAR.match(text, at)
    if body is None or body.start() == body.end():
        return None
    return body.start(), body.end()

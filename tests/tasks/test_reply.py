"""The reader of replies: what it finds, and that nothing can break it."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gtr.tasks.reply import announced, parse, write
from gtr.types import ReplyStatus as S

KEYS = ("cards", "thoughts")


@pytest.mark.parametrize(
    ("text", "finished", "status", "action", "seen"),
    [
        ('{"cards": [2], "thoughts": "t", "action": "+"}', True, S.COMPLETE, "+", "+"),
        ('{"cards": [2], "thoughts": "t", "action": "+"}', False, S.COMPLETE, "+", "+"),
        ('{"cards": [2], "thoughts": "t", "action": " 10 "}', True, S.COMPLETE, "10", " 10 "),
        ('{"cards": [2], "thoughts": "t", "action": 10}', True, S.COMPLETE, "10", "10"),
        ('{"cards": [2], "thoughts": "t", "action": 1.50}', True, S.COMPLETE, "1.50", "1.50"),
        ('{"cards": [2], "thoughts": "t", "action": null}', True, S.COMPLETE, "null", "null"),
        ('{"cards": [2], "thoughts": "t", "action": "\\u002b"}', True, S.COMPLETE, "+", "\\u002b"),
        ('{"cards": [2], "extra": {"a": [1]}, "thoughts": "t", "action": "+"}', True, S.COMPLETE, "+", "+"),
        ('Well:\n```json\n{"cards": [2],\n"thoughts": "\n", "action": "+"}\n``` {"x": 1}', True, S.COMPLETE, "+", "+"),
        ('{"action": "+", "cards": [2], "thoughts": "t"}', True, S.COMPLETE, "+", "+"),
        ('{"cards": [2], "thoughts": "t", "action": ["+"]}', True, S.MALFORMED, None, '["+"]'),
        ('{"cards": [2], "thoughts": "t", "action": "+",}', True, S.MALFORMED, None, "+"),
        ('{"cards": [2] "thoughts": "t", "action": "+"}', True, S.MALFORMED, None, "+"),
        ("{'cards': [2], 'thoughts': 't', 'action': '+'}", True, S.MALFORMED, None, None),
        ('{"cards": NaN, "thoughts": "t", "action": "+"}', True, S.MALFORMED, None, "+"),
        ('{"cards": [2], "thoughts": "t", "action": "+"', True, S.MALFORMED, None, "+"),
        ('{"cards": [2], "thoughts": "t", "action": "+"', False, S.CUT, None, "+"),
        ('{"cards": [2], "thoughts": "t", "action": "1', False, S.CUT, None, "1"),
        ('{"cards": [2], "thoughts": "t", "action": "', False, S.CUT, None, None),
        ('{"cards": [2], "thoughts": "t", "action": 1', False, S.CUT, None, "1"),
        ('{"cards": [2], "thoug', False, S.CUT, None, None),
        ('{"cards": [2', False, S.CUT, None, None),
        ('{"cards": tr', False, S.CUT, None, None),
        ('{"cards": "a\\', False, S.CUT, None, None),
        ("The cards are", False, S.CUT, None, None),
        ("The cards are", True, S.MALFORMED, None, None),
        ('{"thoughts": "say \\"action\\": \\"-\\"", "action": "+', False, S.CUT, None, "+"),
        ('{"thoughts": "t", "action": "+"}', True, S.MISSING_KEY, None, "+"),
        ('{"cards": [2], "thoughts": "t"}', True, S.MISSING_KEY, None, None),
        ("{}", True, S.MISSING_KEY, None, None),
        ('{"cards": [2], "thoughts": "t", "thoughts": "u", "action": "+"}', True, S.REPEATED_KEY, None, "+"),
        ('{"cards": [2], "thoughts": "t", "action": "+", "action": "-"}', True, S.REPEATED_KEY, None, "+"),
        (" \n\t", True, S.EMPTY, None, None),
        ("", False, S.EMPTY, None, None),
    ],
)
def test_statuses_and_spans(text, finished, status, action, seen):
    parsed = parse(text, finished, KEYS)
    assert parsed.status is status
    assert parsed.action == action
    assert (text[slice(*parsed.action_span)] if parsed.action_span else None) == seen


def test_another_action_key_and_no_thought():
    parsed = parse('{"move": "hit"}', True, (), action_key="move")
    assert (parsed.status, parsed.action, parsed.action_span) == (S.COMPLETE, "hit", (10, 13))


values = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=150)
@given(
    st.dictionaries(st.text(max_size=6).filter(lambda key: key != "action"), values, max_size=5), st.text(max_size=8)
)
def test_what_was_written_is_read_back(thought, action):
    text = write(thought, action)
    assert json.loads(text) == {**thought, "action": action}
    parsed = parse(f"Well: {text} so.", True, tuple(thought))
    assert parsed.status is S.COMPLETE
    assert dict(parsed.fields) == {**thought, "action": action}
    assert list(parsed.fields)[-1] == "action"
    assert parsed.action == action.strip()
    assert json.loads(f'"{f"Well: {text} so."[slice(*parsed.action_span)]}"') == action


@settings(deadline=None, max_examples=150)
@given(st.dictionaries(st.text(max_size=6), values, max_size=4), st.text(max_size=8), st.data())
def test_a_cut_reply_is_cut_wherever_it_is_cut(thought, action, data):
    text = write(thought, action)
    length = data.draw(st.integers(1, len(text) - 1))
    parsed = parse(text[:length], False, ())
    assert parsed.status is S.CUT
    if parsed.action_span:
        assert text[: parsed.action_span[1]].startswith(text[: parsed.action_span[0]])
        assert parsed.action_span[1] <= length


PIECES = [*'{}[]",:\\ \n1truenul-.e', "action", '"action": "', "\ud800", "\u202e", "\U0001f0a1", "\\u", "d8"]


@settings(deadline=None, max_examples=500)
@given(st.lists(st.sampled_from(PIECES) | st.characters(), max_size=60).map("".join), st.booleans())
def test_any_text_is_read_without_an_exception(text, finished):
    parsed = parse(text, finished, ("thoughts",))
    assert (parsed.action is not None) == (parsed.status is S.COMPLETE)
    if parsed.action_span is not None:
        start, end = parsed.action_span
        assert 0 <= start <= end <= len(text)
    json.dumps(dict(parsed.fields), ensure_ascii=False).encode()


@settings(deadline=None, max_examples=150)
@given(st.text(st.sampled_from('{}[]",: 1'), max_size=30))
def test_agreement_with_the_json_library(body):
    text = "{" + body
    try:
        expected = json.loads(text)
    except ValueError:
        expected = None
    parsed = parse(text, True, ())
    if isinstance(expected, dict):
        assert parsed.status in (S.MISSING_KEY, S.REPEATED_KEY)
        if parsed.status is S.MISSING_KEY:
            assert dict(parsed.fields) == expected
    else:
        assert parsed.status is not S.COMPLETE


N = 100_000
MONSTERS = {
    "braces": "{" * N,
    "brackets": '{"a": ' + "[" * N,
    "closed brackets": '{"a": ' + "[" * N + "]" * N + "}",
    "nested": '{"a":' * N,
    "backslashes": '{"a": "' + "\\" * N,
    "actions": '"action": ' * N,
    "cut actions": '{"action": "' * N,
    "spaces": '{"a"' + " " * N,
    "spaced starts": "{ " * N,
    "digits": '{"a": ' + "9" * N + "}",
    "string": '{"thoughts": "' + "x" * (10 * N) + '", "action": "1"}',
    "keys": "{" + ",".join(f'"k{i}": 1' for i in range(N // 4)) + "}",
    "same keys": "{" + '"k": 1,' * (N // 4),
    "quotes": '"' * N,
    "bidi": '{"action": "' + "\u202e\u2066" * N,
    "surrogates": '{"action": "' + "\\ud800" * N + '"}',
}


@pytest.mark.parametrize("name", MONSTERS)
def test_monsters_take_no_time(name):
    begin = time.process_time()
    for finished in (True, False):
        parse(MONSTERS[name], finished, ("thoughts",))
    assert time.process_time() - begin < 3


def test_lone_surrogates_are_made_writable():
    parsed = parse('{"a": ["\\ud800"], "action": "\\udc00"}', True, ("a",))
    assert parsed.fields["a"] == ["\ufffd"]
    assert parsed.action == "\ufffd"


@pytest.mark.parametrize(
    ("thoughts", "expected"),
    [
        ("next (", "("),
        ("next 10", "10"),
        ("next 1", "1"),
        ("next 1.", "1"),
        ("next 12", None),
        ("the next symbol is '*'", "*"),
        ("first next + then Next: -", "-"),
        ("next to nothing", None),
        ("I append +", None),
        ("next" + " " * 200 + "+", None),
        (["next +"], None),
        (None, None),
    ],
)
def test_announcements(thoughts, expected):
    assert announced(thoughts, ["1", "2", "10", "+", "-", "*", "("]) == expected


def test_announced_words_are_whole():
    assert announced("soft 17 next hit", ("stand", "hit")) == "hit"
    assert announced("the next action is STAND.", ("stand", "hit")) == "stand"
    assert announced("next hitting", ("stand", "hit")) is None

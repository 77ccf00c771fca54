"""Replies as ``<think>...</think><answer>...</answer>``: what the reader finds, and that nothing can break it."""

import json
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from small import changed

from gtr import tasks
from gtr.config import presets
from gtr.tasks.expert import expert_episode
from gtr.tasks.formats import FORMATS
from gtr.tasks.think import parse, write
from gtr.types import ReplyStatus as S

KEYS = ("cards", "thoughts")
THOUGHT = "<think>\ncards: [2]\nthoughts: t\n</think>"


@pytest.mark.parametrize(
    ("text", "finished", "status", "action", "seen"),
    [
        (f"{THOUGHT}<answer>+</answer>", True, S.COMPLETE, "+", "+"),
        (f"{THOUGHT}<answer>+</answer>", False, S.COMPLETE, "+", "+"),
        (f"{THOUGHT}\n\nSo: <answer>\n 10 </answer> Done.", True, S.COMPLETE, "10", "10"),
        (f'{THOUGHT}<answer>"go \\u002b"</answer>', True, S.COMPLETE, "go +", "go \\u002b"),
        (f'{THOUGHT}<answer>"+</answer>', True, S.COMPLETE, '"+', '"+'),
        (f"{THOUGHT}<answer><</answer>", True, S.COMPLETE, "<", "<"),
        (f"{THOUGHT}<answer></answer>", True, S.COMPLETE, "", ""),
        ("I see a 2.</think><answer>+</answer>", True, S.COMPLETE, "+", "+"),
        ("</think><answer>+</answer>", True, S.COMPLETE, "+", "+"),
        ("<think><answer>-</answer>? No.</think><answer>+</answer>", True, S.COMPLETE, "+", "+"),
        (f"{THOUGHT}<answer>+</answer><answer>-</answer>", True, S.REPEATED_KEY, None, "+"),
        (f"{THOUGHT}+", True, S.MISSING_KEY, None, None),
        (f"{THOUGHT}+", False, S.CUT, None, None),
        ("<answer>+</answer>", True, S.MISSING_KEY, None, "+"),
        (f"{THOUGHT}<answer>+", True, S.MALFORMED, None, "+"),
        (f"{THOUGHT}<answer>+</ans", False, S.CUT, None, "+</ans"),
        (f"{THOUGHT}<answer>", False, S.CUT, None, None),
        ("<think>cards: [2", False, S.CUT, None, None),
        ("<think>cards: [2]<answer>+</answer>", True, S.MALFORMED, None, "+"),
        ("The cards are", False, S.CUT, None, None),
        ('{"cards": [2], "thoughts": "t", "action": "+"}', True, S.MALFORMED, None, None),
        (" \n\t", True, S.EMPTY, None, None),
        ("", False, S.EMPTY, None, None),
    ],
)
def test_statuses_and_spans(text: str, finished: bool, status: S, action: str | None, seen: str | None) -> None:
    parsed = parse(text, finished, KEYS)
    assert parsed.status is status
    assert parsed.action == action
    assert (text[slice(*parsed.action_span)] if parsed.action_span else None) == seen


@pytest.mark.parametrize(
    ("thought", "cards", "thoughts"),
    [
        ("cards: [2, 10]\nthoughts: next 2", [2, 10], "next 2"),
        ("Let me look.\ncards: [2, 10]\nSo the next symbol is 2.", [2, 10], "Let me look.\nSo the next symbol is 2."),
        ("cards: [3]\nwait,\n cards : [2, 10]", [2, 10], "wait,"),
        ("cards: two, ten", "two, ten", ""),
        ("I see cards: [2]", "", "I see cards: [2]"),
        ("cards: " + "[" * 40 + "]" * 40, "[" * 40 + "]" * 40, ""),
        ("", "", ""),
    ],
)
def test_what_a_thought_states_is_read_off_its_lines(thought: str, cards: Any, thoughts: str) -> None:
    read = parse(f"<think>{thought}</think><answer>2</answer>", True, KEYS)
    assert read.status is S.COMPLETE
    assert read.fields == {"cards": cards, "thoughts": thoughts, "action": "2"}


def test_without_a_thought_an_answer_is_a_whole_reply() -> None:
    assert write({}, "2") == "<answer>2</answer>"
    assert parse("<answer>2</answer>", True, ()).action == "2"
    assert parse("<think>I think.</think><answer>2</answer>", True, ()).action == "2"


texts = st.text(st.characters(codec="utf-8"), max_size=30) | st.sampled_from(
    ["</think>", "<answer>", "2", "null", "thoughts: x", "cards: [1]", '"', ' "a" ', "a\nb", "a\rb", "[", "{}"]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@given(values, values, texts)
@example("cards: [1]", "thoughts: thoughts: 1", "</answer>")
@example("<think>", "</think>", '"<answer>"')
def test_what_is_written_is_read_back(cards: Any, thoughts: Any, action: str) -> None:
    text = write({"cards": cards, "thoughts": thoughts}, action)
    read = parse(text, True, KEYS)
    assert read.status is S.COMPLETE
    assert read.action == action.strip()
    assert {key: read.fields[key] for key in KEYS} == {"cards": cards, "thoughts": thoughts}
    # A template that opens the thought itself leaves the rest of it to the model.
    assert parse(text.removeprefix("<think>"), True, KEYS).fields == read.fields


pieces = st.sampled_from(
    ["<think>", "</think>", "<answer>", "</answer>", "cards:", "[2", "]", "\n", '"', "thoughts", "{"]
)


@given(st.lists(pieces | st.text(max_size=5), max_size=12).map("".join), st.booleans())
def test_any_text_has_a_status_and_a_span_inside(text: str, finished: bool) -> None:
    read = parse(text, finished, KEYS)
    assert (read.action is not None) == (read.status is S.COMPLETE)
    if read.status is S.COMPLETE:
        assert set(read.fields) == {*KEYS, "action"}
    if read.action_span is not None:
        start, end = read.action_span
        assert 0 <= start <= end <= len(text)
        assert text[:start].rstrip().removesuffix('"').rstrip().endswith("<answer>")
    json.dumps(dict(read.fields))


@given(st.integers(0, 40), st.booleans())
def test_cutting_a_reply_anywhere_before_its_end_says_so(length: int, thinking: bool) -> None:
    text = write({"cards": [2, 10], "thoughts": "next 2"} if thinking else {}, "2")
    cut = text[: min(length, len(text) - 1)]
    assert parse(cut, False, KEYS if thinking else ()).status is (S.CUT if cut.strip() else S.EMPTY)


@pytest.mark.parametrize("piece", ["<think>", "</think>", "<answer>", "cards: [\n", "[", '"', "\\", "thoughts:"])
def test_long_text_takes_linear_time(piece: str) -> None:
    started = time.process_time()
    for finished in (True, False):
        parse("<think>" + piece * 40_000, finished, KEYS)
        parse("<think>" + piece * 40_000 + "</think><answer>2", finished, KEYS)
    assert time.process_time() - started < 3


# -- games --------------------------------------------------------------------------------------------------------
SHORT = [name for name in tasks.TASKS if name != "alfworld"]


@pytest.mark.parametrize("style", ["paper", "compact"])
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", SHORT)
def test_every_games_expert_passes_its_own_checks_in_every_form(name: str, form: str, style: str) -> None:
    config = changed(presets.build("gtr", name), **{"task.format": form, "task.prompt": style})
    task = tasks.load(config.task)
    env, states = task.make_env(), []
    for seed in range(5):
        states += expert_episode(task, env, np.random.default_rng(seed))
    assert states
    for state in states:
        read = task.parse(task.write(state.expert.thought, state.expert.action))
        assert read.action == state.expert.action
        assert all(task.check(state.truth, read, state.expert.target).values())
        assert not all(task.check(state.truth, task.parse(task.blank(state.expert.action)), None).values())
        assert task.action_in(task.blank(state.expert.action), state.observation) == state.expert.action


@pytest.mark.parametrize("thought", [True, False])
@pytest.mark.parametrize("name", SHORT)
def test_prompts_ask_for_the_chosen_form_alone(name: str, thought: bool) -> None:
    texts = {}
    for form in FORMATS:
        settings = {"task.format": form, "task.prompt": "paper", "task.thought": thought}
        task = tasks.load(changed(presets.build("gtr", name), **settings).task)
        image, info = task.make_env().reset(seed=0)
        texts[form] = task.prompt(task.observe(image, info))
    assert "JSON" not in texts["think"]
    assert ("<think>" in texts["think"]) is thought
    assert "<answer>" not in texts["json"]
    assert texts["think"].rsplit("\n", 1)[-1].endswith("</answer>")
    same = texts["json"].split("Answer with one JSON object:")[0]
    assert texts["think"].startswith(same), "the rules of the game are told alike"


def test_free_text_is_judged_by_what_it_states() -> None:
    task = tasks.load(changed(presets.build("gtr", "numberline"), **{"task.format": "think"}).task)
    _, info = task.make_env().reset(seed=0)
    truth = task.truth(info)
    expert = task.expert(truth)
    assert expert is not None
    seen = "\n".join(f"{key}: {expert.thought[key]}" for key in task.reading_keys)
    free = f"Well, let me see.\n{seen}\nOnce more, so the next action is {expert.action}"
    right = task.parse(f"{free}\n</think>\n\n<answer>{expert.action}</answer>")
    assert all(task.check(truth, right, None).values())
    unsaid = task.parse(f"The next action is {expert.action}</think><answer>{expert.action}</answer>")
    assert task.check(truth, unsaid, None) == {"perception": False, "step": True}

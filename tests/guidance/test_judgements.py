"""Judgements have the field's words, and runs that were written with the old ones are still read."""

import json

import pytest

from gtr.show.episodes import judgement
from gtr.tasks.reply import valid_text, write
from gtr.types import Judgement

OLD = {"right": "correct", "wrong": "incorrect", "hopeless": "unsolvable"}


@pytest.mark.parametrize("word", OLD)
def test_old_words_are_read_as_the_new_ones(word):
    assert Judgement(word) is Judgement(OLD[word])
    assert str(Judgement(word)) == OLD[word]
    assert judgement({"verdict": {"judgement": word}}) == OLD[word]


@pytest.mark.parametrize("said", ["perfect", "", None, 3, [], "__class__"])
def test_other_words_are_none(said):
    with pytest.raises(ValueError, match="is not a valid Judgement"):
        Judgement(said)
    assert judgement({"verdict": {"judgement": "perfect"}}) == "perfect"


FOUL = [
    "\ud83d",
    "\ude00\ud83d",
    "a\x00b",
    "\u202e\u2028\x85",
    "<image></s>",
    "\ufffe\uffff",
    "🙂" * 500,
    "\\ud83d",
    "",
]


@pytest.mark.parametrize("kind", ["tiny-llava", "tiny-llava-next", "tiny-qwen2.5-vl"])
def test_no_text_of_a_thought_stops_a_tokenizer(kind, make_policy):
    """Whoever wrote it: correctors of one's own do not pass through the checks of `gtr.guidance.chat`."""
    policy = make_policy(kind)
    for text in FOUL:
        written = write({"thoughts": text, text: [text, {text: text}]}, text)
        written.encode()
        tokens = policy.encode_reply(written)
        assert tokens[-1] in policy.end_ids
        assert json.loads(written)["thoughts"] == valid_text(text)
        policy.offsets(tokens)


def test_valid_text_is_left_as_it_is():
    for text in ("plain", "ß☕🙂", "\ufeffbom", "\U0010ffff", "\x00"):
        assert valid_text(text) == text
    assert valid_text({"\ud83d": ["\ud83d", [1, None, "🙂\ude00"]]}) == {"\ufffd": ["\ufffd", [1, None, "🙂\ufffd"]]}

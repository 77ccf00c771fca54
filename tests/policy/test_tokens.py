"""Which token holds which character, for four kinds of tokenisers; the tokenizers library itself is the reference."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from gtr import tasks
from gtr.config.io import changed
from gtr.config.presets import preset
from gtr.policy.tiny import tokenizer_for
from gtr.policy.tokens import offsets, touching
from gtr.sft import expert_examples

CARDS = '{"cards": [2, 10, 4, 4], "formula": "(2+4)*4=", "thoughts": "next (", "action": "("}'
TEXTS = [
    CARDS,
    '{"thoughts": "go to the desk, take the mug ☕️", "action": "take mug 1 from desk 1"}',
    '{"想法": "下一个是 10", "action": "一十"}',
    "he said \u202b\u05e9\u05dc\u05d5\u05dd\u202c\u200f to 👩‍🚀 and 😀😁😀",
    "naïve façade — “quoted” 😀x😀x😀x",
] * 20
BYTES = [f"<0x{i:02X}>" for i in range(256)]
SPECIAL = ["<pad>", "<s>", "</s>"]


def byte_level(split_words: bool) -> Tokenizer:
    """GPT-2's kind. Without a split of words tokens may hold half an emoji and the letter before it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=split_words)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=330, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer


def unigram() -> Tokenizer:
    """T5's kind: SentencePiece's Unigram with a meta symbol for the space; unknown characters become bytes."""
    trained = Tokenizer(models.Unigram())
    trained.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    trainer = trainers.UnigramTrainer(
        vocab_size=160, special_tokens=[*SPECIAL, "<unk>"], unk_token="<unk>", show_progress=False
    )
    trained.train_from_iterator(TEXTS[:2], trainer)
    vocabulary = [(piece, score) for piece, score in json.loads(trained.to_str())["model"]["vocab"]]
    known = {piece for piece, _ in vocabulary}
    vocabulary += [(piece, -20.0) for piece in BYTES if piece not in known]
    tokenizer = Tokenizer(models.Unigram(vocabulary, 3, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens(SPECIAL)
    return tokenizer


def llama() -> Tokenizer:
    """LLaMA's and Mistral's kind: a space before the text that decoding strips again, bytes for unknown characters."""
    trained = Tokenizer(models.BPE())
    trained.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=[*SPECIAL, "<unk>", *BYTES], limit_alphabet=80, show_progress=False
    )
    trained.train_from_iterator(TEXTS[:2], trainer)
    saved = json.loads(trained.to_str())
    saved["added_tokens"] = [token for token in saved["added_tokens"] if token["content"] not in BYTES]
    saved["model"] |= {"byte_fallback": True, "unk_token": "<unk>", "fuse_unk": True}
    tokenizer = Tokenizer.from_str(json.dumps(saved))
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return tokenizer


TOKENISERS: dict[str, Tokenizer] = {
    "byte-level": byte_level(split_words=False),
    "byte-level, words split": byte_level(split_words=True),
    "unigram": unigram(),
    "llama": llama(),
    "tiny": tokenizer_for(TEXTS).backend_tokenizer,
}


def decoder(tokenizer: Tokenizer) -> Callable[[Sequence[int]], str]:
    return lambda tokens: str(tokenizer.decode(list(tokens), skip_special_tokens=True))


def reference(name: str, text: str, span: tuple[int, int]) -> list[bool]:
    """Which tokens touch a span: by the library's own alignment, or by counting the bytes that each token spells."""
    encoding = TOKENISERS[name].encode(text, add_special_tokens=False)
    if name not in ("unigram", "llama"):
        return [a < span[1] and b > span[0] for a, b in encoding.offsets]
    at = -1 if name == "llama" and text else 0
    first, last = len(text[: span[0]].encode()), len(text[: span[1]].encode())
    found = []
    for piece in encoding.tokens:
        size = 1 if piece in BYTES else len(piece.replace("▁", " ").encode())
        found.append(at < last and at + size > max(first, 0))
        at += size
    return found


words = st.lists(
    st.one_of(
        st.sampled_from([*TEXTS[:5], "☕️", "👩‍🚀", "下", "x😀", "\u200f", " ", '", "action": "', "10", "\ufffd", "é"]),
        st.text(max_size=6),
    ),
    max_size=5,
).map("".join)


@pytest.mark.parametrize("name", TOKENISERS)
@settings(max_examples=60, deadline=None)
@given(text=words, ends=st.tuples(st.integers(0, 200), st.integers(1, 8)))
@example(text="x😀y", ends=(1, 1))
@example(text='{"thoughts": "take ☕️", "action": "下"}', ends=(33, 1))
@example(text="\ufffd!", ends=(0, 1))
def test_touching_tokens_are_those_that_hold_the_characters(name: str, text: str, ends: tuple[int, int]) -> None:
    tokenizer = TOKENISERS[name]
    tokens = tokenizer.encode(text, add_special_tokens=False).ids
    decode = decoder(tokenizer)
    decoded = decode(tokens)
    spans = offsets(tokens, decode)
    span = (min(ends[0], len(decoded)), min(ends[0] + ends[1], len(decoded)))
    hit = touching(spans, span)
    assert len(spans) == len(tokens)
    held = {i for (a, b), inside in zip(spans, hit, strict=True) if inside for i in range(a, b)}
    assert held >= set(range(*span)), "the touching tokens cover the span"
    for (a, b), inside in zip(spans, hit, strict=True):
        assert inside or b <= span[0] or a >= span[1], "no other token overlaps it"
        assert 0 <= a <= b <= len(decoded)
    if decoded == text:
        wanted = reference(name, text, span)
        if "\ufffd" not in text:
            assert hit == wanted
        elif name not in ("unigram", "llama"):
            assert all(ours or not theirs for ours, theirs in zip(hit, wanted, strict=True)), "no piece left unmasked"


@pytest.mark.parametrize("name", TOKENISERS)
def test_tokens_of_plain_text_lie_end_to_end(name: str) -> None:
    tokenizer = TOKENISERS[name]
    tokens = tokenizer.encode(CARDS, add_special_tokens=False).ids
    spans = offsets(tokens, decoder(tokenizer))
    pieces = "".join(CARDS[a:b] for a, b in spans)
    assert pieces == CARDS
    assert [b for _, b in spans[:-1]] == [a for a, _ in spans[1:]]


@pytest.mark.parametrize("name", TOKENISERS)
def test_special_tokens_hold_no_characters(name: str) -> None:
    tokenizer = TOKENISERS[name]
    end = tokenizer.token_to_id("</s>")
    for text in ('"action": "2"}', "take 下", "😀"):
        tokens = tokenizer.encode(text, add_special_tokens=False).ids
        plain = offsets(tokens, decoder(tokenizer))
        assert offsets([*tokens, end], decoder(tokenizer)) == [*plain, (len(text), len(text))]
        begun = offsets([tokenizer.token_to_id("<s>"), *tokens], decoder(tokenizer))
        assert begun == [(0, 0), *plain]
        assert touching([*plain, (len(text), len(text))], (len(text) - 1, len(text)))[-1] is False


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 329), max_size=12))
@example([0xE2, 0x82])
@example([159, 0, 97])
def test_sampled_nonsense_has_spans_too(tokens: list[int]) -> None:
    """Half-trained models sample bytes that are no text: every token that shows must lie somewhere in it."""
    tokenizer = TOKENISERS["byte-level"]
    decode = decoder(tokenizer)
    text = decode(tokens)
    spans = offsets(tokens, decode)
    assert {i for a, b in spans for i in range(a, b)} == set(range(len(text)))
    starts = [a for a, _ in spans]
    assert starts == sorted(starts)
    for token, (a, b) in zip(tokens, spans, strict=True):
        assert (a < b) == (decode([token]) != ""), "only special tokens are invisible"


@pytest.mark.parametrize("name", TOKENISERS)
def test_an_action_of_several_tokens_is_found_whole(name: str) -> None:
    tokenizer = TOKENISERS[name]
    action = "take ☕️下 10"
    text = '{"thoughts": "10 下 10", "action": "' + action + '"}'
    tokens: Any = tokenizer.encode(text, add_special_tokens=False).ids
    start = text.rindex(action)
    hit = touching(offsets(tokens, decoder(tokenizer)), (start, start + len(action)))
    first, last = hit.index(True), len(hit) - 1 - hit[::-1].index(True)
    assert all(hit[first : last + 1])
    assert action in decoder(tokenizer)(tokens[first : last + 1])
    assert "thoughts" not in decoder(tokenizer)(tokens[first : last + 1])
    assert action.strip('"') not in decoder(tokenizer)(tokens[:first])


def test_nothing_touches_no_span() -> None:
    assert touching([(0, 2), (2, 5)], None) == [False, False]
    assert touching([(0, 2), (2, 5)], (2, 2)) == [False, False]
    assert touching([(0, 2), (2, 2), (2, 5)], (1, 3)) == [True, False, True]


@pytest.mark.parametrize("reply_format", ["json", "think"])
@pytest.mark.parametrize("name", ["numberline", "ezpoints", "blackjack", "frozenlake", "sokoban"])
def test_no_token_of_a_tiny_agent_holds_parts_of_an_action_and_of_a_thought(name: str, reply_format: str) -> None:
    """Else PPO on the action would train the thought too, and cloning could not leave the action out."""
    task = tasks.load(changed(preset("gtr", name), {"task.format": reply_format}).task)
    replies = [one.reply for one in expert_examples(task, 100, np.random.default_rng(0))]
    tokenizer = tokenizer_for(replies).backend_tokenizer
    for reply in replies:
        span = task.parse(reply).action_span
        ends = [one for one in tokenizer.encode(reply).offsets if one[0] < span[1] and one[1] > span[0]]
        assert (ends[0][0], ends[-1][1]) == span

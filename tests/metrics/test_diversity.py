"""Text diversity against NLTK and by hand."""

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

from gtr.metrics.diversity import distinct, distinct_per_state, sample, self_bleu2


def nltk_self_bleu(texts: list[list[str]]) -> float:
    smooth = SmoothingFunction().method1
    scores = [
        sentence_bleu(texts[:i] + texts[i + 1 :], words, weights=(0.5, 0.5), smoothing_function=smooth)
        for i, words in enumerate(texts)
    ]
    return sum(scores) / len(scores)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(st.sampled_from("abcd"), max_size=7), min_size=2, max_size=6))
def test_self_bleu_equals_nltk(texts: list[list[str]]) -> None:
    ours = self_bleu2(texts)
    assert ours == pytest.approx(nltk_self_bleu(texts), abs=1e-12)


def test_self_bleu_equals_nltk_on_thoughts() -> None:
    rng = np.random.default_rng(0)
    words = ["i", "see", "cards", "the", "formula", "is", "(", ")", "+", "*", "2", "4", "10", "so", "next", "choose"]
    texts = [[str(w) for w in rng.choice(words, rng.integers(3, 40))] for _ in range(40)]
    assert self_bleu2(texts) == pytest.approx(nltk_self_bleu(texts), abs=1e-12)


def test_self_bleu_by_hand() -> None:
    # "a b c" against "a b d e": unigrams 2/3, bigrams 1/2, shorter: exp(1 - 4/3). The other: 2/4, 1/3, no penalty.
    expected = (math.exp(-1 / 3) * math.sqrt(1 / 3) + math.sqrt(1 / 6)) / 2
    assert self_bleu2([["a", "b", "c"], ["a", "b", "d", "e"]]) == pytest.approx(expected)
    assert self_bleu2([["a"]]) is None


def test_self_bleu_is_fast() -> None:
    rng = np.random.default_rng(0)
    texts = [[str(w) for w in rng.integers(0, 300, 200)] for _ in range(256)]
    start = time.process_time()
    self_bleu2(texts)
    assert time.process_time() - start < 5  # NLTK takes minutes


def test_distinct_by_hand() -> None:
    texts = [["a", "b", "a"], ["a", "b"]]
    assert distinct(texts, 1) == 2 / 5
    assert distinct(texts, 2) == 2 / 3
    assert distinct([[]], 1) is None
    assert distinct([["a"]], 2) is None


def test_distinct_per_state_by_hand() -> None:
    assert distinct_per_state([("s1", "x"), ("s2", "x"), ("s2", "x"), ("s3", "y")]) == 2 / 3
    assert distinct_per_state([("s1", "x"), ("s1", "y"), ("s1", "y")]) == 2.0
    assert distinct_per_state([]) is None


def test_sample_is_fixed_by_its_seed_and_never_repeats() -> None:
    assert sample(5, 8, 0) == [0, 1, 2, 3, 4]
    one = sample(1000, 64, 7)
    assert one == sample(1000, 64, 7) == sorted(set(one))
    assert one != sample(1000, 64, 8)
    assert len(one) == 64

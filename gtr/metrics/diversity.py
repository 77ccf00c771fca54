"""How much texts differ from one another."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np

SMOOTHING = 0.1
"""What a precision without any match counts instead of 0 (NLTK's smoothing method 1)."""

Words = Sequence[str]
Gram = tuple[str, ...]


def sample(count: int, size: int, seed: int) -> list[int]:
    """`size` of the numbers below `count` in ascending order, equal for equal arguments; all where there are fewer."""
    if count <= size:
        return list(range(count))
    return sorted(np.random.default_rng(seed).choice(count, size, replace=False).tolist())


def grams(words: Words, n: int) -> list[Gram]:
    """The n-grams of one text, in order, for n 1 or 2."""
    return [(word,) for word in words] if n == 1 else list(pairwise(words))


def distinct(texts: Iterable[Words], n: int) -> float | None:
    """Share of different n-grams among all n-grams of the texts (Li et al. 2016); None where there are none."""
    every = [gram for words in texts for gram in grams(words, n)]
    return len(set(every)) / len(every) if every else None


def distinct_per_state(values: Iterable[tuple[str, str]]) -> float | None:
    """Number of different texts divided by number of different states, over pairs (state, text).

    1 where every state has a text of its own, near 0 where one text serves all; above 1 where a state has several.
    """
    pairs = list(values)
    return len({text for _, text in pairs}) / len({state for state, _ in pairs}) if pairs else None


def self_bleu2(texts: Sequence[Words]) -> float | None:
    """Mean BLEU-2 of each text against all the others, from 0 (nothing shared) to 1 (all alike); None below two texts.

    BLEU-2 is the geometric mean of clipped unigram and bigram precision, with smoothing method 1, times the brevity
    penalty towards the reference of nearest length, the shorter one on a tie (Papineni et al. 2002; Zhu et al. 2018).
    Equal to NLTK's `sentence_bleu` with weights (.5, .5). Takes time linear in the number of words, because the
    clipping count over "all others" is either the largest or the second largest count of an n-gram.
    """
    if len(texts) < 2:
        return None
    counts = {n: [Counter(grams(words, n)) for words in texts] for n in (1, 2)}
    tops = {n: _two_largest(counts[n]) for n in (1, 2)}
    lengths = Counter(len(words) for words in texts)
    scores = []
    for i, words in enumerate(texts):
        unigrams = _precision(counts[1][i], tops[1], i)
        if unigrams == 0 or not words:
            scores.append(0.0)
            continue
        bigrams = _precision(counts[2][i], tops[2], i)
        if bigrams == 0:
            bigrams = SMOOTHING / max(1, len(words) - 1)
        scores.append(_brevity(len(words), lengths) * math.sqrt(unigrams * bigrams))
    return math.fsum(scores) / len(scores)


Tops = dict[Gram, tuple[int, int, int]]
"""Per n-gram: its largest count in any text, that text's index, and the largest count in the other texts."""


def _two_largest(counts: Sequence[Counter[Gram]]) -> Tops:
    tops: Tops = {}
    for i, counter in enumerate(counts):
        for gram, count in counter.items():
            first, owner, second = tops.get(gram, (0, -1, 0))
            tops[gram] = (count, i, first) if count > first else (first, owner, max(second, count))
    return tops


def _precision(own: Counter[Gram], tops: Tops, i: int) -> float:
    matched = 0
    for gram, count in own.items():
        first, owner, second = tops[gram]
        matched += min(count, second if owner == i else first)
    return matched / max(1, own.total())


def _brevity(length: int, lengths: Counter[int]) -> float:
    """The penalty of a text shorter than its nearest reference; the text itself is not one of its references."""
    others = [other for other, count in lengths.items() if count > (other == length)]
    nearest = min(others, key=lambda other: (abs(other - length), other))
    return 1.0 if length > nearest else math.exp(1 - nearest / length)

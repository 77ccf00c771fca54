"""Pure token arithmetic: where each token lies in the text, and which tokens a span of characters touches.

Spans are found from the text and its offsets, never from token ids, so that byte-level, BPE and SentencePiece
tokenisers all work (the reference code hard-codes the ids of one tokeniser).
"""

from collections.abc import Callable, Sequence
from itertools import accumulate
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gtr.types import Span

Decode = Callable[[Sequence[int]], str]
"""Token ids to text, special tokens left out."""


BROKEN = "\ufffd"
"""What bytes that are no whole character decode to."""


def offsets(tokens: Sequence[int], decode: Decode) -> list[Span]:
    """The characters of ``decode(tokens)`` that each token holds, wholly or in part; special tokens get empty spans.

    A multi-byte character in pieces belongs to every token that holds some of its bytes, so spans may overlap, and a
    mask over characters never leaves a piece of one unmasked.

    Example: pieces ``['{"a', '": ', '1', '}']`` give ``[(0, 3), (3, 6), (6, 7), (7, 8)]``.
    """
    text = decode(tokens)
    pieces = [decode([token]) for token in tokens]
    if "".join(pieces) == text and BROKEN not in text:
        ends = list(accumulate(map(len, pieces)))
        return list(zip([0, *ends], ends, strict=False))
    spans: list[Span] = []
    start = 0
    for i, piece in enumerate(pieces):
        prefix = decode(tokens[: i + 1])
        settled = max(start, _settled(prefix, text))
        spans.append(_span(start, settled, prefix, piece, text))
        start = settled
    return _ordered(spans)


def _ordered(spans: Sequence[Span]) -> list[Span]:
    """Empty spans moved before what follows: a special token may stand amid the bytes of one replacement character."""
    ordered: list[Span] = []
    after = inf
    for start, end in reversed(spans):
        ordered.append((start, end) if start < end else (int(min(start, after)),) * 2)
        after = ordered[-1][0]
    return ordered[::-1]


def _span(start: int, settled: int, prefix: str, piece: str, text: str) -> Span:
    """The span of a token, `settled` characters being whole after it and `start` before it."""
    if settled == start and not piece:
        return start, start
    begun = settled < len(text) and prefix[settled : settled + 1] == BROKEN
    if begun or settled > start:
        return start, settled + begun
    # Bytes that make no character decode to one replacement character together: theirs is the one before.
    return max(0, start - 1), start


def _settled(prefix: str, text: str) -> int:
    """How many leading characters of `text` a decoded prefix has made whole."""
    for length, (ours, final) in enumerate(zip(prefix, text, strict=False)):
        if ours != final:
            return length
    return min(len(prefix), len(text))


def touching(spans: Sequence[Span], target: Span | None) -> list[bool]:
    """Which tokens hold at least one character of `target`.

    >>> touching([(0, 3), (3, 6), (6, 7)], (5, 7))
    [False, True, True]
    """
    if target is None:
        return [False] * len(spans)
    return [start < target[1] and end > target[0] and end > start for start, end in spans]


def stacked(rows: Sequence[NDArray[Any] | None], length: int, dtype: type[np.generic]) -> NDArray[Any]:
    """(n, length, k) of rows of (tokens, k); 0 after the end of a row, and in one that is None."""
    found = np.zeros((len(rows), length, max((row.shape[1] for row in rows if row is not None), default=0)), dtype)
    for i, row in enumerate(rows):
        if row is not None:
            found[i, : len(row)] = row
    return found

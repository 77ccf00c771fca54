"""Pure token arithmetic: where each token lies in the text, and which tokens a span of characters touches.

Spans are found from the text and its offsets, never from token ids, so that byte-level, BPE and SentencePiece
tokenisers all work (the reference code hard-codes the ids of one tokeniser).
"""

from collections.abc import Callable, Sequence

from gtr.types import Span

Decode = Callable[[Sequence[int]], str]
"""Token ids to text, special tokens left out."""


def offsets(tokens: Sequence[int], decode: Decode) -> list[Span]:
    """The characters of ``decode(tokens)`` that each token produced; special tokens get empty spans.

    Tokens that share one character (a multi-byte character in pieces) all get the span of that character, so that a
    mask over characters never leaves a piece of one unmasked.

    Example: pieces ``['{"a', '": ', '1', '}']`` give ``[(0, 3), (3, 6), (6, 7), (7, 8)]``.
    """
    text = decode(tokens)
    pieces = [decode([token]) for token in tokens]
    if "".join(pieces) == text:
        ends = _running_ends(pieces)
    else:
        ends = [_stable_length(decode(tokens[: i + 1]), text) for i in range(len(tokens))]
    return _shared(ends)


def _running_ends(pieces: Sequence[str]) -> list[int]:
    ends, total = [], 0
    for piece in pieces:
        total += len(piece)
        ends.append(total)
    return ends


def _stable_length(prefix: str, text: str) -> int:
    """How many leading characters of `text` a decoded prefix has settled (a split character decodes to U+FFFD)."""
    for length, (ours, final) in enumerate(zip(prefix, text, strict=False)):
        if ours != final:
            return length
    return min(len(prefix), len(text))


def _shared(ends: Sequence[int]) -> list[Span]:
    """Spans from running end positions; a token that ended no character joins the one that does."""
    spans: list[Span] = []
    for i, end in enumerate(ends):
        start = max(ends[:i][-1:], default=0)
        if end > start:
            spans.append((start, end))
            for j in range(i - 1, -1, -1):
                if spans[j] != (start, start):
                    break
                spans[j] = (start, end)
        else:
            spans.append((start, start))
    return spans


def touching(spans: Sequence[Span], target: Span | None) -> list[bool]:
    """Which tokens hold at least one character of `target`.

    >>> touching([(0, 3), (3, 6), (6, 7)], (5, 7))
    [False, True, True]
    """
    if target is None:
        return [False] * len(spans)
    return [start < target[1] and end > target[0] and end > start for start, end in spans]

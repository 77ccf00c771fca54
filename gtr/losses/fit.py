"""Whether what an algorithm asks to be learnt from fits: said before the first step, not by a tensor in the middle."""

from collections.abc import Collection, Sequence
from numbers import Real

from gtr.errors import ContractError, nearest
from gtr.types import Sample


def check_fit(samples: Sequence[Sample], terms: Collection[str], losses: Collection[str]) -> None:
    """Raises `ContractError` for a term that is no loss, and for rows of a sample that do not belong to its tokens."""
    if unknown := next((name for name in terms if name not in losses), None):
        raise ContractError(f"losses() asks for {unknown!r}", nearest(unknown, losses))
    for number, sample in enumerate(samples):
        for name in terms:
            _as_long(number, f'weights["{name}"]', sample.weights.get(name, ()), sample)
        for name in ("old", "reference", "advantage", "value", "target"):
            _as_long(number, name, getattr(sample, name), sample)


def _as_long(number: int, name: str, row: object, sample: Sample) -> None:
    if row is None or isinstance(row, Real):
        return
    if not isinstance(row, tuple | list):
        kind, right = type(row).__name__, "a tuple of numbers, one for each token"
        raise ContractError(f"{name} of sample {number} is of type {kind}", f"give {right}")
    if len(row) > len(sample.tokens):
        text = f"{name} of sample {number} has {len(row)} numbers for {len(sample.tokens)} tokens"
        raise ContractError(text, "give one for each token")

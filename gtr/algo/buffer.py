"""The thought buffer: every corrected thought of the run, aggregated as DAgger does (paper section 3.3)."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from gtr.policy.pictures import from_png, image_hash, to_png
from gtr.types import Image, Sample

NO_PICTURE = np.zeros((0, 0, 3), np.uint8)
"""Stands in a packed sample where its picture was."""
Packed = tuple[tuple[bytes, ...], Sample]
"""A sample and its pictures apart from it, oldest first, as PNG: a tenth and less of their pixels' size."""


class ThoughtBuffer:
    """Samples in the order they came; each distinct picture is held once, as PNG, and decoded when it is drawn.

    With `keep_run` False it holds those of the latest rollout only (the paper's no-DAgger ablation).
    """

    def __init__(self, keep_run: bool = True) -> None:
        self._keep_run = keep_run
        self._pictures: dict[str, bytes] = {}
        self._rows: list[Packed] = []
        self.turns = 0
        """Turns that were played for these samples, corrected or not."""
        self._latest = 0
        self._deck: list[int] = []
        """Turns that are left to deal in this pass over the latest rollout."""

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def samples(self) -> list[Sample]:
        """All samples with their pictures."""
        return [_unpacked(row) for row in self._rows]

    def add(self, samples: Sequence[Sample], turns: int | None = None) -> None:
        """Takes in the corrected thoughts of one rollout of so many turns, by default as many as thoughts."""
        if not self._keep_run:
            self._pictures = {}
        self.add_packed(
            [(tuple(self.packed(shown.image) for shown in one.prompt.shown), _bare(one)) for one in samples], turns
        )

    def add_packed(self, rows: Sequence[Packed], turns: int | None = None) -> None:
        """As `add`, of samples whose pictures went through `packed`."""
        if not self._keep_run:
            self._rows, self.turns = [], 0
        self._latest, self._deck = len(rows) if turns is None else turns, []
        self.turns += self._latest
        self._rows += rows

    def packed(self, image: Image, png: bytes | None = None) -> bytes:
        """A picture as PNG, by default made here; the same object for equal pictures of the run."""
        name = image_hash(image)
        if name not in self._pictures:
            self._pictures[name] = png or to_png(image)
        return self._pictures[name]

    def draw(self, count: int, rng: np.random.Generator) -> Sequence[Sample]:
        """`count` samples drawn uniformly with replacement; none while the buffer is empty."""
        if not self._rows:
            return []
        return [_unpacked(self._rows[i]) for i in rng.integers(len(self._rows), size=count)]

    def deal(self, count: int, rng: np.random.Generator) -> Sequence[Sample]:
        """The corrected ones of `count` turns of the run, drawn without repeats within as many as the latest rollout
        has: one pass over it (code)."""
        dealt: list[int] = []
        while self.turns and len(dealt) < count:
            self._deck = self._deck or rng.permutation(self.turns)[: self._latest or count].tolist()
            taken = count - len(dealt)
            dealt, self._deck = dealt + self._deck[:taken], self._deck[taken:]
        # Which number a turn has does not matter: corrected ones take the first.
        return [_unpacked(self._rows[i]) for i in dealt if i < len(self._rows)]


def _bare(sample: Sample) -> Sample:
    return _showing(sample, [NO_PICTURE] * len(sample.prompt.shown))


def _unpacked(row: Packed) -> Sample:
    pngs, sample = row
    return _showing(sample, [from_png(png) for png in pngs])


def _showing(sample: Sample, images: Sequence[Image]) -> Sample:
    past = tuple(replace(one, image=image) for one, image in zip(sample.prompt.past, images, strict=False))
    return replace(sample, prompt=replace(sample.prompt, image=images[-1], past=past))

"""The thought buffer: every corrected thought of the run, aggregated as DAgger does (paper section 3.3)."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from gtr.policy.pictures import image_hash
from gtr.types import Image, Prompt, Sample


class ThoughtBuffer:
    """Samples in the order they came; each distinct picture is held once, as bytes.

    With `keep_run` False it holds those of the latest rollout only (the paper's no-DAgger ablation).
    """

    def __init__(self, keep_run: bool = True) -> None:
        self._keep_run = keep_run
        self._images: dict[str, Image] = {}
        self.samples: list[Sample] = []
        self.turns = 0
        """Turns that were played for these samples, corrected or not."""
        self._latest = 0
        self._deck: list[int] = []
        """Turns that are left to deal in this pass over the latest rollout."""

    def __len__(self) -> int:
        return len(self.samples)

    def add(self, samples: Sequence[Sample], turns: int | None = None) -> None:
        """Takes in the corrected thoughts of one rollout of so many turns, by default as many as thoughts."""
        if not self._keep_run:
            self.samples, self._images, self.turns = [], {}, 0
        self._latest, self._deck = len(samples) if turns is None else turns, []
        self.turns += self._latest
        for sample in samples:
            image = self._images.setdefault(image_hash(sample.prompt.image), sample.prompt.image)
            self.samples.append(replace(sample, prompt=Prompt(image, sample.prompt.text)))

    def draw(self, count: int, rng: np.random.Generator) -> Sequence[Sample]:
        """`count` samples drawn uniformly with replacement; none while the buffer is empty."""
        if not self.samples:
            return []
        return [self.samples[i] for i in rng.integers(len(self.samples), size=count)]

    def deal(self, count: int, rng: np.random.Generator) -> Sequence[Sample]:
        """The corrected ones of `count` turns of the run, drawn without repeats within as many as the latest rollout
        has: one pass over it (code)."""
        dealt: list[int] = []
        while self.turns and len(dealt) < count:
            self._deck = self._deck or rng.permutation(self.turns)[: self._latest or count].tolist()
            taken = count - len(dealt)
            dealt, self._deck = dealt + self._deck[:taken], self._deck[taken:]
        # Which number a turn has does not matter: corrected ones take the first.
        return [self.samples[i] for i in dealt if i < len(self.samples)]

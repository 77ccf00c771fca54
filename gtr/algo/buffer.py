"""The thought buffer: every corrected thought of the run, aggregated as DAgger does (paper section 3.3)."""

from collections.abc import Iterable, Sequence
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

    def __len__(self) -> int:
        return len(self.samples)

    def add(self, samples: Iterable[Sample]) -> None:
        """Takes in the corrected thoughts of one rollout."""
        if not self._keep_run:
            self.samples, self._images = [], {}
        for sample in samples:
            image = self._images.setdefault(image_hash(sample.prompt.image), sample.prompt.image)
            self.samples.append(replace(sample, prompt=Prompt(image, sample.prompt.text)))

    def draw(self, count: int, rng: np.random.Generator) -> Sequence[Sample]:
        """`count` samples drawn uniformly with replacement; none while the buffer is empty."""
        if not self.samples:
            return []
        return [self.samples[i] for i in rng.integers(len(self.samples), size=count)]

"""The thought buffer: every lesson of the run, aggregated as DAgger does (paper section 3.3)."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from gtr.policy.prompts import image_hash
from gtr.types import Image, Lesson, Prompt


class ThoughtBuffer:
    """Lessons in the order they came; each distinct picture is held once, as bytes.

    With `keep_run` False it holds the latest rollout's lessons only (the paper's no-DAgger ablation).
    """

    def __init__(self, keep_run: bool = True) -> None:
        self._keep_run = keep_run
        self._images: dict[str, Image] = {}
        self.lessons: list[Lesson] = []

    def __len__(self) -> int:
        return len(self.lessons)

    def add(self, lessons: Iterable[Lesson]) -> None:
        """Takes in the lessons of one rollout."""
        if not self._keep_run:
            self.lessons, self._images = [], {}
        for lesson in lessons:
            image = self._images.setdefault(image_hash(lesson.prompt.image), lesson.prompt.image)
            self.lessons.append(replace(lesson, prompt=Prompt(image, lesson.prompt.text)))

    def sample(self, count: int, rng: np.random.Generator) -> Sequence[Lesson]:
        """`count` lessons drawn uniformly with replacement; none while the buffer is empty."""
        if not self.lessons:
            return []
        return [self.lessons[i] for i in rng.integers(len(self.lessons), size=count)]

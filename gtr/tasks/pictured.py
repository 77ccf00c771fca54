"""What the environments have in common that are seen as one square picture."""

from abc import abstractmethod
from typing import Any, ClassVar, TypeVar

import gymnasium
import numpy as np

from gtr.errors import TaskError, nearest
from gtr.types import Image

Action = TypeVar("Action")


class PictureEnv(gymnasium.Env[Image, Action]):
    """Observation: an RGB picture (size, size, 3). A subclass draws it and says what is played."""

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 4}  # noqa: RUF012
    options: ClassVar[tuple[str, ...]]
    """What `reset` may be told."""

    def __init__(self, size: int, actions: gymnasium.Space[Any], render_mode: str | None) -> None:
        self.size, self.render_mode, self.action_space = size, render_mode, actions
        self.observation_space = gymnasium.spaces.Box(0, 255, (size, size, 3), np.uint8)
        self._begun = False

    def begin(self, seed: int | None, options: dict[str, Any] | None) -> dict[str, Any]:
        """Seeds the generator of a new episode; returns its options. Raises TaskError for one that means nothing."""
        super().reset(seed=seed)
        for key in options or {}:
            if key not in self.options:
                raise TaskError(f"reset options: unknown option {key!r}: {nearest(key, self.options)}")
        self._begun = True
        return options or {}

    def render(self) -> Image | None:
        """The current picture where the render mode asks for it and an episode has begun."""
        return self._picture() if self.render_mode == "rgb_array" and self._begun else None

    @abstractmethod
    def _picture(self) -> Image: ...

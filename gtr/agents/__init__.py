"""What can be evaluated: whatever answers prompts, be it a policy, a script or a model behind an API."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal

from gtr.rollout import Seat
from gtr.types import Reply


class Agent(ABC):
    """Whatever answers prompts."""

    name: str
    mode: Literal["greedy", "sampled", "scripted"] = "scripted"

    @abstractmethod
    def act(self, seats: Sequence[Seat]) -> Sequence[Reply | None]:
        """One reply per seat; None where none came, which ends the episode without counting it."""

"""What can be evaluated: whatever answers prompts, be it a policy, a script or a model behind an API."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Literal

from gtr.envs import EnvState
from gtr.types import Reply

API_AGENTS = ("openai:", "openai+tool:")
"""How agents begin that are asked over a network: openai:MODEL, and openai+tool:MODEL with the task's tools."""


class Agent(ABC):
    """Whatever answers prompts."""

    name: str
    mode: Literal["greedy", "sampled", "scripted"] = "scripted"

    @abstractmethod
    def act(self, states: Sequence[EnvState]) -> Sequence[Reply | None]:
        """One reply per state; None where none came, which ends the episode without counting it."""

    def metrics(self) -> Mapping[str, float]:
        """What playing took, for agents that cost money."""
        return {}

    def close(self) -> None:
        """Releases connections."""

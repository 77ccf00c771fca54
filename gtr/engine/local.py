"""The trainer's own model, in its own process."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, final

from gtr.engine.base import Engine
from gtr.types import Prompt, Reply

if TYPE_CHECKING:
    from gtr.policy.policy import Policy


@final
class LocalEngine(Engine):
    """Samples with the weights that learn, so that there is nothing to hand over."""

    def __init__(self, policy: "Policy") -> None:
        self.policy = policy

    def generate(self, prompts: Sequence[Prompt], greedy: bool = False) -> list[Reply]:
        return self.policy.generate(prompts, greedy)

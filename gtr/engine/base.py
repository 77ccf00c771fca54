"""What the trainer asks of whoever samples."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from gtr.types import Prompt, Reply


class Engine(ABC):
    """Samples replies under the settings of `PolicyConfig`, with the weights of the last `sync`.

    With several processes each has an engine of its own, and all must call `sync` together.
    """

    @abstractmethod
    def generate(self, prompts: Sequence[Prompt], greedy: bool = False) -> list[Reply]:
        """One reply per prompt; random numbers come from torch's global generator.

        `Reply.logprobs` and `Reply.value` are the trainer's; `Reply.sampled` is empty where the trainer sampled.

        Raises `EngineError` where no reply can be had.
        """

    def sync(self, version: int) -> None:
        """Samples with the policy's weights of now from here on. `version` numbers them: a known one does nothing.

        Raises `EngineError` where they cannot be handed over.
        """

    def metrics(self) -> Mapping[str, float]:
        """What the log says of the engine itself, since the last call."""
        return {}

    def close(self) -> None:
        """Ends what is under way. The engine cannot be used afterwards."""

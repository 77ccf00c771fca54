"""What the trainer asks of whoever samples."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from gtr.errors import EngineError
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

    def sample(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Reply]:
        """One reply per prompt and seed, without log-probabilities and values, which `scored` adds.

        It touches neither the trainer's weights nor its random numbers: another thread may call it while those learn.

        Raises `EngineError` where no reply can be had, or the engine cannot sample beside the trainer.
        """
        raise EngineError("this engine samples with the trainer's own weights: set engine.max_staleness 0")

    def scored(self, prompts: Sequence[Prompt], replies: Sequence[Reply]) -> list[Reply]:
        """Replies of `sample` with the trainer's log-probabilities and values, by its weights of now."""
        return list(replies)

    def sync(self, version: int) -> None:
        """Samples with the policy's weights of now from here on. `version` numbers them: a known one does nothing.

        Raises `EngineError` where they cannot be handed over.
        """

    def metrics(self) -> Mapping[str, float]:
        """What the log says of the engine itself, since the last call."""
        return {}

    def close(self) -> None:
        """Ends what is under way. The engine cannot be used afterwards."""

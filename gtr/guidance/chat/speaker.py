"""What a conversation needs of a model, wherever the model runs."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Message = dict[str, Any]
"""One message of a chat, as the OpenAI API takes it."""


@dataclass(frozen=True)
class ToolCall:
    """A tool that the model wants called, its arguments as the text it wrote."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class Completion:
    """What the model said."""

    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    cut: bool = False
    """Whether the token limit ended it."""


class Speaker(ABC):
    """A model that answers chats with pictures. All calls belong to one event loop."""

    @abstractmethod
    async def ask(self, messages: Sequence[Message], **extra: Any) -> Completion:
        """The model's answer to a chat; `extra` are further fields of the API's request.

        Raises:
            Failure: no answer; the turn goes without a lesson.
            Broke: the budget does not cover the request.
            CorrectorError: the run cannot go on.
        """

    @abstractmethod
    async def close(self) -> None:
        """Lets go of connections or memory; what is under way is dropped."""

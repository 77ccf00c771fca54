"""What a conversation needs of a model, wherever it runs, and everything that can go wrong with one request."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from gtr.errors import CorrectorError

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
    """What the model said: text that can be written as UTF-8, without the key of the API."""

    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    cut: bool = False
    """Whether the token limit ended it."""


@dataclass(frozen=True)
class Tokens:
    """What a request takes."""

    sent: int
    written: int


class FailureKind(StrEnum):
    """Why a request brought no usable answer."""

    CONNECTION = "connection"
    TIMEOUT = "timeout"
    RATE_LIMIT = "rate_limit"
    SERVER = "server"
    """Status 5xx, 408 or 409."""
    REJECTED = "rejected"
    """Any other status that is not 200: the server will not take this request."""
    UNREADABLE = "unreadable"
    """Status 200 without a chat completion in it, or a response that is none."""
    OVERSIZED = "oversized"
    """More bytes than any answer needs."""
    INVALID = "invalid"
    """A chat completion whose text is not the answer that was asked for, after the repair too."""
    DOWN = "down"
    """Not sent: the server has been down for longer than corrector.patience."""
    LOST = "lost"
    """Under way when the process was ended or killed."""


TRANSIENT = frozenset(
    {
        FailureKind.CONNECTION,
        FailureKind.TIMEOUT,
        FailureKind.RATE_LIMIT,
        FailureKind.SERVER,
        FailureKind.UNREADABLE,
    }
)
"""What another try may mend."""


class Failure(Exception):
    """A request that brought nothing. Data, not a crash: the turn goes without a lesson.

    `retry_after` is how many seconds the server asks to wait; `unsent` says that the server never had the whole
    request, `usage` what it says it took all the same; `adapted` that another try will be written otherwise.
    """

    def __init__(
        self,
        kind: FailureKind,
        text: str,
        retry_after: float | None = None,
        adapted: bool = False,
        unsent: bool = False,
        usage: Tokens | None = None,
    ) -> None:
        super().__init__(text)
        self.kind, self.retry_after, self.unsent, self.usage = kind, retry_after, unsent, usage
        self.transient = adapted or kind in TRANSIENT
        """Whether another try may mend it."""


class BudgetExceeded(Exception):
    """The budget does not cover another request."""


class Refused(CorrectorError):
    """Nothing that is asked of this server can succeed: no key, no such model."""


class ChatModel(ABC):
    """A model that answers chats with pictures. All calls belong to one event loop."""

    @abstractmethod
    async def ask(self, messages: Sequence[Message], **extra: Any) -> Completion:
        """The model's answer to a chat; `extra` are further fields of the API's request.

        Raises:
            Failure: no answer; the turn goes without a lesson.
            BudgetExceeded: the budget does not cover the request.
            CorrectorError: the run cannot go on.
        """

    @abstractmethod
    async def close(self) -> None:
        """Lets go of connections or memory; what is under way is dropped."""

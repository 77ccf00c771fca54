"""What a server sends, made safe before anything reads, keeps or logs it: bounded, valid text, without the key."""

import email.utils
import json
import logging
import math
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from importlib import import_module
from typing import Any

import openai

from gtr.guidance.chat.model import Completion, Failure, FailureKind, Tokens, ToolCall
from gtr.report.files import UNUSABLE
from gtr.tasks.reply import valid_text

HTTP: Any = import_module(openai.DefaultAsyncHttpxClient.__mro__[1].__module__.partition(".")[0])
"""The HTTP library beneath `openai`, which is one or another by its version."""
MAX_BYTES = 1_000_000
"""Largest body that is read, of errors too; an answer has a few thousand."""
MAX_COMPRESSED = MAX_BYTES // 100
"""The same where a server compresses although it was asked not to."""
MAX_CALLS = 16
"""Tool calls of one answer that are read."""
MAX_NAME = 200
"""Characters of a tool call's name and number."""
MAX_TOKENS = 10**15
"""Taken for any larger number of tokens."""
SECRET_FROM = 6
"""Characters from which on a key is taken for a secret: a server of one's own may ask for "x"."""


# -- how much is read -------------------------------------------------------------------------------------------------
async def bound(response: Any) -> None:
    """A hook of the HTTP client, called with its response: whoever reads the body, there is an end to it."""
    plain = response.headers.get("content-encoding", "identity") == "identity"
    response.stream = _Bounded(response.stream, MAX_BYTES if plain else MAX_COMPRESSED, response.status_code >= 400)


class _Bounded(HTTP.AsyncByteStream):
    def __init__(self, stream: Any, most: int, is_error: bool) -> None:
        self._stream, self._most, self._is_error = stream, most, is_error

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for part in self._stream:
            size += len(part)
            if size > self._most and self._is_error:
                return  # Its status says enough.
            if size > self._most:
                raise Failure(FailureKind.OVERSIZED, f"more than {self._most:,} bytes")
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()


# -- the key ----------------------------------------------------------------------------------------------------------
def redactor(key: str) -> Callable[[str], str]:
    """Writes "(key)" for the key wherever a text holds it, also spelt in JSON's escapes, however often escaped."""
    if len(key) < SECRET_FROM:
        return lambda text: text
    # At most eight backslashes: without an end, a long row of them would take quadratic time.
    letters = (rf"\\{{0,8}}(?:{re.escape(letter)}|(?i:u{ord(letter):04x}))" for letter in key)
    pattern = re.compile("".join(letters))
    return lambda text: pattern.sub("(key)", text)


class RedactedLogs(logging.Filter):
    """Writes "(key)" for the key in what the HTTP libraries log of a response, while it is `attach`ed."""

    def __init__(self, redact: Callable[[str], str]) -> None:
        super().__init__()
        core = HTTP.__name__.replace("httpx", "httpcore")
        names = (
            HTTP.__name__,
            "openai._base_client",
            *(f"{core}.{part}" for part in ("connection", "http11", "proxy")),
        )
        self._redact = redact
        self._loggers = [logging.getLogger(name) for name in names]

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = self._redact(record.getMessage()), ()
        return True

    def attach(self) -> None:
        """From now on."""
        for logger in self._loggers:
            logger.addFilter(self)

    def detach(self) -> None:
        """No longer."""
        for logger in self._loggers:
            logger.removeFilter(self)


# -- what it says -----------------------------------------------------------------------------------------------------
def read_completion(data: bytes, redact: Callable[[str], str]) -> tuple[Completion, Tokens | None]:
    """A chat completion, and the tokens that it says it took; None where it does not say.

    Written for servers that are only nearly compatible.

    Raises:
        Failure: it has not the expected form. What it says it took is kept with that.
    """
    usage = None
    try:
        reply = json.loads(redact(data.decode("utf-8-sig", "replace")))
        usage = _usage(reply)
        choice = reply["choices"][0]
        message = choice["message"]
        text = message.get("content") or ""
        if not isinstance(text, str):
            raise TypeError("the content is not a text")
        calls = tuple(_call(call) for call in (message.get("tool_calls") or [])[:MAX_CALLS])
        return Completion(valid_text(text), calls, choice.get("finish_reason") == "length"), usage
    except UNUSABLE as error:
        reason = f"no chat completion: {type(error).__name__}: {error}"
        raise Failure(FailureKind.UNREADABLE, reason, usage=usage) from None


def _call(call: Mapping[str, Any]) -> ToolCall:
    function = call["function"]
    name, number, arguments = (valid_text(str(part)) for part in (function["name"], call["id"], function["arguments"]))
    return ToolCall(number[:MAX_NAME], name[:MAX_NAME], arguments)


def _usage(reply: Mapping[str, Any]) -> Tokens | None:
    usage = reply.get("usage")
    if not isinstance(usage, Mapping):
        return None
    sent, written = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    return None if not sent or written is None else Tokens(sent, written)


def _count(value: object) -> int | None:
    """A number of tokens as servers write it; None for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value or value < 0:
        return None
    return int(min(value, MAX_TOKENS))


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks to wait, from ``retry-after-ms`` or ``Retry-After`` (seconds or a date).

    None where it does not say, or says what no clock can hold.
    """
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) * unit
        except (KeyError, ValueError):
            continue
        return max(seconds, 0.0) if math.isfinite(seconds) else None
    try:
        date = email.utils.parsedate_to_datetime(headers["retry-after"]).timestamp()
    except (KeyError, ValueError, TypeError, OverflowError, OSError):
        return None
    return max(date - time.time(), 0.0)

"""One request at a time to an OpenAI-compatible server, through every limit there is, with one layer of retries."""

import asyncio
import json
import logging
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any, final

import openai
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_random_exponential

from gtr.config import CorrectorConfig
from gtr.guidance.chat.failures import MAYBE_BILLED, Broke, Failure, Fatal, Kind, retry_after
from gtr.guidance.chat.ledger import Ledger
from gtr.guidance.chat.limits import Breaker, Pace
from gtr.guidance.chat.prices import IMAGE_TOKENS, Price
from gtr.guidance.chat.speaker import Completion, Message, Speaker, ToolCall

MAX_BYTES = 1_000_000
"""Largest reply that is read; an answer has a few thousand."""
EXTRA_TOKENS = 200
"""What a server's chat template may add to what we send."""
LOCAL_KEY = "none"
"""Sent where no key is set, for servers of one's own that ask for none."""
log = logging.getLogger(__name__)


@final
class Client(Speaker):
    """Asks one model behind an OpenAI-compatible API."""

    def __init__(self, config: CorrectorConfig, price: Price | None, ledger: Ledger) -> None:
        self._config, self._price, self._ledger = config, price, ledger
        self._key = os.environ.get(config.key_env) or LOCAL_KEY
        self._api = openai.AsyncOpenAI(
            api_key=self._key, base_url=config.base_url, timeout=config.timeout, max_retries=0
        )
        self._slots = asyncio.Semaphore(config.in_flight)
        self._pace = Pace(config.requests_per_minute, config.tokens_per_minute)
        self._breaker = Breaker(config)
        self._answered = False
        """Whether this process had an answer: a refusal before the first one is final."""
        self._typical = 0.0
        """Running mean of the tokens of a request."""
        self._settings: dict[str, Any] = {"temperature": config.temperature, "max_tokens": config.max_tokens}

    async def ask(self, messages: Sequence[Message], **extra: Any) -> Completion:
        tries = AsyncRetrying(
            stop=stop_after_attempt(1 + self._config.retries),
            wait=self._pause,
            retry=retry_if_exception(lambda error: isinstance(error, Failure) and self._worth(error)),
            reraise=True,
        )
        return await tries(self._try, messages, extra)

    def _worth(self, failure: Failure) -> bool:
        if self._breaker.given_up and self._config.when_down == "continue":
            return False
        return failure.transient and (failure.retry_after or 0.0) <= self._config.patience

    def _pause(self, state: RetryCallState) -> float:
        """Seconds until the next try: random, growing, and never less than the server asks for."""
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after if isinstance(error, Failure) and error.retry_after else 0.0
        grown: float = wait_random_exponential(multiplier=0.5, max=self._config.probe_seconds)(state)
        return max(asked, grown)

    async def _try(self, messages: Sequence[Message], extra: Mapping[str, Any]) -> Completion:
        body = {"model": self._config.model, "messages": list(messages), **self._settings, **extra}
        text, images = _size(body)
        async with self._slots:
            # Asked only with a slot in hand, or all that queued for one while a server went down would still be sent.
            await self._breaker.enter()
            await self._pace.turn(expected := int(self._typical or text / 3 + images * IMAGE_TOKENS / 4))
            return await self._send(body, self._most(text, images), expected)

    def _most(self, text: int, images: int) -> float:
        """The most dollars a request can cost: a token is at least one byte of text."""
        if self._price is None:
            return 0.0
        tokens_in = text + EXTRA_TOKENS + images * self._price.image_tokens
        return self._price.usd(tokens_in, self._config.max_tokens)

    async def _send(self, body: Mapping[str, Any], most: float, expected: int) -> Completion:
        number = self._ledger.reserve(most)
        if number is None:
            raise Broke
        started = time.monotonic()
        try:
            async with asyncio.timeout(self._config.timeout):
                reply = _read(await self._fetch(body))
        except Exception as error:
            failure = self._failure(error)
            unsure = most if failure.kind in MAYBE_BILLED else 0.0
            self._ledger.failed(number, failure.kind, unsure, time.monotonic() - started)
            self._note(failure)
            raise failure from None
        except BaseException:
            self._ledger.failed(number, Kind.CONNECTION, most, time.monotonic() - started)
            raise
        self._breaker.succeeded()
        self._answered = True
        completion, tokens_in, tokens_out = reply
        usd = most if tokens_in + tokens_out == 0 else self._usd(tokens_in, tokens_out)
        self._ledger.answered(number, usd, tokens_in, tokens_out, time.monotonic() - started)
        self._pace.settle(tokens_in + tokens_out - expected)
        self._typical += (tokens_in + tokens_out - self._typical) / 10 if self._typical else tokens_in + tokens_out
        return completion

    def _usd(self, tokens_in: int, tokens_out: int) -> float:
        return self._price.usd(tokens_in, tokens_out) if self._price else 0.0

    async def _fetch(self, body: Mapping[str, Any]) -> bytes:
        data = bytearray()
        async with self._api.chat.completions.with_streaming_response.create(**body) as response:
            async for part in response.iter_bytes():
                data += part
                if len(data) > MAX_BYTES:
                    raise Failure(Kind.OVERSIZED, f"more than {MAX_BYTES:,} bytes")
        return bytes(data)

    def _note(self, failure: Failure) -> None:
        if failure.kind is Kind.RATE_LIMIT:
            self._pace.pause(min(failure.retry_after or 0.0, self._config.patience))
            self._breaker.limited(failure)
        else:
            self._breaker.failed(failure)

    def _failure(self, error: Exception) -> Failure:
        """What happened, sorted. Raises `Fatal` for what no further request can mend."""
        if isinstance(error, Failure):
            return error
        if isinstance(error, TimeoutError | openai.APITimeoutError):
            return Failure(Kind.TIMEOUT, f"no answer within {self._config.timeout:g} s")
        if isinstance(error, openai.APIStatusError):
            return self._status(error)
        if isinstance(error, openai.OpenAIError) or type(error).__module__.startswith(("httpx", "httpcore")):
            return Failure(Kind.CONNECTION, self.scrub(f"{type(error).__name__}: {error}"))
        raise error

    def _status(self, error: openai.APIStatusError) -> Failure:
        code, said = error.status_code, self.scrub(str(error))[:300]
        if error.code == "insufficient_quota" or (code in (401, 403, 404) and not self._answered):
            raise Fatal(
                f"the corrector {self._config.model} at {self._api.base_url} refuses every request ({said}): check "
                f"corrector.model, corrector.base_url and the key in ${self._config.key_env}"
            ) from None
        wait = retry_after(error.response.headers)
        if code == 400 and self._adapt(said):
            return Failure(Kind.REJECTED, said, adapted=True)
        if code == 429:
            return Failure(Kind.RATE_LIMIT, said, wait)
        return Failure(Kind.SERVER if code >= 500 or code in (408, 409) else Kind.REJECTED, said, wait)

    def _adapt(self, said: str) -> bool:
        """Writes requests as reasoning models want them, once one has said so: whether anything changed."""
        if "max_completion_tokens" in said and "max_tokens" in self._settings:
            self._settings["max_completion_tokens"] = self._settings.pop("max_tokens")
            return True
        if "temperature" in said and "temperature" in self._settings:
            log.warning("the corrector %s takes no temperature; its own is used", self._config.model)
            del self._settings["temperature"]
            return True
        return False

    def scrub(self, text: str) -> str:
        """The text without the key, which some servers repeat."""
        return text if self._key == LOCAL_KEY else text.replace(self._key, "(key)")

    async def close(self) -> None:
        await self._api.close()


def _size(body: Mapping[str, Any]) -> tuple[int, int]:
    """Bytes of text and number of pictures in a request."""
    pictures = 0
    rest = {key: value for key, value in body.items() if key != "messages"}
    text = len(json.dumps(rest, ensure_ascii=False).encode())
    for message in body["messages"]:
        content = message.get("content")
        parts = content if isinstance(content, list) else []
        pictures += sum(part["type"] == "image_url" for part in parts)
        spoken = [part for part in parts if part["type"] == "text"] if parts else content
        text += len(json.dumps({**message, "content": spoken}, ensure_ascii=False).encode())
    return text, pictures


def _read(data: bytes) -> tuple[Completion, int, int]:
    """A chat completion and its tokens in and out (0 and 0 where the server does not say).

    Written for servers that are only nearly compatible: whatever does not have the expected form is a `Failure`.
    """
    try:
        reply = json.loads(data)
        choice = reply["choices"][0]
        message = choice["message"]
        text = message.get("content") or ""
        calls = tuple(
            ToolCall(str(call["id"]), str(call["function"]["name"]), str(call["function"]["arguments"]))
            for call in message.get("tool_calls") or ()
        )
        usage = reply.get("usage") or {}
        tokens = [max(int(usage.get(name) or 0), 0) for name in ("prompt_tokens", "completion_tokens")]
        if not isinstance(text, str):
            raise TypeError("the content is no text")
        return Completion(text, calls, choice.get("finish_reason") == "length"), tokens[0], tokens[1]
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise Failure(Kind.UNREADABLE, f"no chat completion: {type(error).__name__}: {error}") from None

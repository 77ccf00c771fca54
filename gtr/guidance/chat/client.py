"""One request at a time to an OpenAI-compatible server, through every limit there is, with one layer of retries.

Whatever the server answers, a request ends in one of three ways: a `Completion`, a `Failure`, or a `CorrectorError`
that ends the run. In each of them it is settled in the ledger.
"""

import asyncio
import json
import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, final

import openai
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_random_exponential

from gtr.config import CorrectorConfig
from gtr.errors import CorrectorError
from gtr.guidance.chat.costs import FREE, IMAGE_TOKENS, Ledger, Price, TokenBounds, price_of
from gtr.guidance.chat.limits import Breaker, Pace
from gtr.guidance.chat.model import (
    BudgetExceeded,
    ChatModel,
    Completion,
    Failure,
    FailureKind,
    Message,
    Refused,
    Tokens,
)
from gtr.guidance.chat.response import HTTP, RedactedLogs, bound, read_completion, redactor, retry_after
from gtr.tasks.reply import valid_text

NO_KEY = "none"
"""Sent where no key is set, for servers of one's own that ask for none."""
UNSENT = (
    *(HTTP.ConnectError, HTTP.ConnectTimeout, HTTP.PoolTimeout, HTTP.ProxyError, HTTP.WriteError),
    *(HTTP.WriteTimeout, HTTP.LocalProtocolError, HTTP.UnsupportedProtocol, HTTP.InvalidURL),
)
"""Errors after which the server never had the whole request, so that it cannot have done the work."""
SERVER_ENDED = (FailureKind.CONNECTION, FailureKind.UNREADABLE)
"""Failures in which the server itself ended the request, after doing who knows how much of the work."""
WE_ENDED = (FailureKind.TIMEOUT, FailureKind.OVERSIZED)
"""Failures in which we stopped listening."""
QUESTION: list[Message] = [{"role": "user", "content": "Reply with the one word: ready"}]
"""By which `ready` finds out whether a server answers."""
RETRIES = 1
"""Of that question."""
log = logging.getLogger(__name__)


@final
class Client(ChatModel):
    """Asks one model behind an OpenAI-compatible API."""

    def __init__(self, config: CorrectorConfig, price: Price | None, ledger: Ledger) -> None:
        self._config, self._price, self._ledger = config, price or FREE, ledger
        key = _key(config)
        self._redact = redactor("" if key == NO_KEY else key)
        self._api = _connected(config, key)
        self._logs = RedactedLogs(self._redact)
        self._logs.attach()
        self._slots = asyncio.Semaphore(config.in_flight)
        self._pace = Pace(config.requests_per_minute, config.tokens_per_minute)
        self._breaker = Breaker(config)
        self._bounds = TokenBounds(self._price.image_tokens, config.max_tokens)
        self._answered = False
        """Whether this process had an answer: a refusal before the first one is final."""
        self._said_too_much = False
        self._typical = 0.0
        """Running mean of the tokens of a request."""
        self._settings: dict[str, Any] = {"temperature": config.temperature, "max_tokens": config.max_tokens}

    @property
    def address(self) -> str:
        """Where requests go."""
        return str(self._api.base_url)

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
        body = valid_text({"model": self._config.model, "messages": list(messages), **self._settings, **extra})
        text, images = _size(body)
        async with self._slots:
            # Asked only with a slot in hand, or all that queued for one while a server went down would still be sent.
            await self._breaker.enter()
            await self._pace.turn(expected := int(self._typical or text / 3 + images * IMAGE_TOKENS / 4))
            return await self._send(body, self._bounds.most(text, images), expected)

    async def _send(self, body: Mapping[str, Any], most: Tokens, expected: int) -> Completion:
        number = self._ledger.reserve(self._price.usd(most))
        if number is None:
            raise BudgetExceeded
        started = time.monotonic()
        try:
            async with asyncio.timeout(self._config.timeout):
                completion, said = read_completion(await self._fetch(body), self._redact)
        except Exception as error:
            failure = self._failure(error)
            self._settle(number, failure, most, time.monotonic() - started)
            if isinstance(failure, Refused):
                raise failure from None
            self._note(failure)
            raise failure from None
        except BaseException:
            unsure = self._price.usd(self._bounds.narrowed(most, None))
            self._ledger.failed(number, FailureKind.LOST, unsure, time.monotonic() - started)
            raise
        seconds = time.monotonic() - started
        self._breaker.succeeded()
        self._answered = True
        taken = self._bounds.narrowed(most, seconds) if said is None else self._within(said, most)
        self._ledger.answered(number, self._price.usd(taken), Tokens(0, 0) if said is None else taken, seconds)
        if said is not None:
            self._bounds.learn(most, taken, seconds)
            self._adjust(taken.sent + taken.written, expected)
        return completion

    def _adjust(self, tokens: int, expected: int) -> None:
        self._pace.settle(tokens - expected)
        self._typical += (tokens - self._typical) / 10 if self._typical else tokens

    def _within(self, said: Tokens, most: Tokens) -> Tokens:
        """What the server says a request took, as far as it can be: nobody pays for more than was sent and allowed."""
        taken = Tokens(min(said.sent, most.sent), min(said.written, most.written))
        if taken != said and not self._said_too_much:
            self._said_too_much = True
            log.warning(
                "the corrector %s says that a request took %.6g tokens and %.6g for its answer, which is more than "
                "it can have taken: %d and %d are booked",
                *(self._config.model, said.sent, said.written, taken.sent, taken.written),
            )
        return taken

    async def _fetch(self, body: Mapping[str, Any]) -> bytes:
        async with self._api.chat.completions.with_streaming_response.create(**body) as response:
            return bytes(await response.read())

    # -- what went wrong ------------------------------------------------------------------------------------------
    def _settle(self, number: int, failure: "Failure | Refused", most: Tokens, seconds: float) -> None:
        """Books a failed request: at nothing, at what the server says, or at the most that it may have taken."""
        if isinstance(failure, Refused):
            self._ledger.failed(number, FailureKind.REJECTED, 0.0, seconds)
        elif failure.usage is not None:
            taken = self._within(failure.usage, most)
            self._ledger.billed(number, failure.kind, self._price.usd(taken), taken, seconds)
        else:
            unsure = 0.0
            if not failure.unsent and failure.kind in (*SERVER_ENDED, *WE_ENDED):
                until = seconds if failure.kind in SERVER_ENDED else None
                unsure = self._price.usd(self._bounds.narrowed(most, until))
            self._ledger.failed(number, failure.kind, unsure, seconds)

    def _note(self, failure: Failure) -> None:
        if failure.kind is FailureKind.RATE_LIMIT:
            self._pace.pause(min(failure.retry_after or 0.0, self._config.patience))
            self._breaker.limited(failure)
        else:
            self._breaker.failed(failure)

    def _failure(self, error: Exception) -> "Failure | Refused":
        """What happened, sorted; `Refused` for what no further request can mend."""
        known = next((one for one in (error, error.__cause__) if isinstance(one, Failure)), None)
        if known is not None:
            return Failure(known.kind, self._scrub(str(known)), usage=known.usage)
        unsent = isinstance(error, UNSENT) or isinstance(error.__cause__, UNSENT)
        if isinstance(error, TimeoutError | openai.APITimeoutError):
            return Failure(FailureKind.TIMEOUT, f"no answer within {self._config.timeout:g} s", unsent=unsent)
        if isinstance(error, openai.APIStatusError):
            return self._status(error)
        # A library may stumble over a response in any way it likes: that is the response's failure, not the run's.
        connection = isinstance(error, openai.APIConnectionError | HTTP.TransportError)
        kind = FailureKind.CONNECTION if connection else FailureKind.UNREADABLE
        return Failure(kind, self._scrub(f"{type(error).__name__}: {error}"), unsent=unsent)

    def _status(self, error: openai.APIStatusError) -> "Failure | Refused":
        code, said = error.status_code, self._scrub(str(error))
        if error.code == "insufficient_quota" or (code in (401, 403, 404) and not self._answered):
            return Refused(
                f"the corrector {self._config.model} at {self.address} refuses every request ({said}): check "
                f"corrector.model, corrector.base_url and the key in ${self._config.key_env}"
            )
        wait = retry_after(error.response.headers)
        if code == 400 and self._adapt(said):
            return Failure(FailureKind.REJECTED, said, adapted=True)
        if code == 429:
            return Failure(FailureKind.RATE_LIMIT, said, wait)
        return Failure(FailureKind.SERVER if code >= 500 or code in (408, 409) else FailureKind.REJECTED, said, wait)

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

    def _scrub(self, text: str) -> str:
        """A message fit for logs and errors: short, valid, without the key that some servers repeat."""
        return valid_text(self._redact(text)[:300])  # type: ignore[no-any-return]

    async def close(self) -> None:
        await self._api.close()
        self._logs.detach()


def _connected(config: CorrectorConfig, key: str) -> openai.AsyncOpenAI:
    """The library's client; nothing is sent yet. Raises `CorrectorError` for addresses that it cannot use."""
    try:
        return openai.AsyncOpenAI(
            api_key=key,
            base_url=config.base_url,
            # Connecting gives up first: a server that was never reached is told apart from one that never answers.
            timeout=HTTP.Timeout(config.timeout, connect=0.8 * config.timeout),
            max_retries=0,
            default_headers={"Accept-Encoding": "identity"},
            http_client=openai.DefaultAsyncHttpxClient(event_hooks={"response": [bound]}),
        )
    except Exception as error:  # What stands in OPENAI_BASE_URL, in a proxy's or a certificate's variable.
        raise CorrectorError(
            f"no server can be asked ({type(error).__name__}: {error}): check corrector.base_url, and in the "
            "environment OPENAI_BASE_URL, HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and SSL_CERT_FILE"
        ) from error


def _key(config: CorrectorConfig) -> str:
    """The key from the environment. Raises `CorrectorError` where it cannot be sent, without showing it."""
    key = os.environ.get(config.key_env, "").strip() or NO_KEY
    if not (key.isascii() and key.isprintable()):
        raise CorrectorError(f"the key in ${config.key_env} holds characters that no key has: set it anew")
    return key


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


def ready(config: CorrectorConfig) -> None:
    """Asks once. A server that asks to wait is there; a budget that covers nothing is met by corrector.at_budget.

    Raises:
        CorrectorError: no usable answer came.
    """
    asyncio.run(_ask(replace(config, retries=min(config.retries, RETRIES))))


async def _ask(config: CorrectorConfig) -> None:
    client = Client(config, price_of(config), Ledger(None, config.budget_usd))
    try:
        await client.ask(QUESTION)
    except BudgetExceeded:
        pass
    except Failure as failure:
        if failure.kind is not FailureKind.RATE_LIMIT:
            key = f"the key in ${config.key_env}" + ("" if os.environ.get(config.key_env) else " (which is not set)")
            raise CorrectorError(
                f"{config.model} at {client.address} does not answer ({failure}): check corrector.base_url, the "
                f"network, corrector.model and {key}"
            ) from None
    finally:
        await client.close()

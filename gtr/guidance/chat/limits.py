"""How fast is asked, and what happens while a server is down."""

import asyncio
import logging
import time

from gtr.config import CorrectorConfig
from gtr.errors import CorrectorError
from gtr.guidance.chat.model import Failure, FailureKind

SAY_EVERY = 60.0
"""Seconds between two notes that the server is still down."""
log = logging.getLogger(__name__)


class Pace:
    """Spaces requests evenly, so that no minute holds more requests or tokens than allowed (0: no cap)."""

    def __init__(self, requests_per_minute: int, tokens_per_minute: int) -> None:
        self._per_request = 60.0 / requests_per_minute if requests_per_minute else 0.0
        self._per_token = 60.0 / tokens_per_minute if tokens_per_minute else 0.0
        self._request_at = self._token_at = self._paused_until = 0.0
        self._line = asyncio.Lock()

    async def turn(self, tokens: int) -> None:
        """Waits in line until a request of about so many tokens may start."""
        async with self._line:
            while (wait := max(self._request_at, self._token_at, self._paused_until) - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            now = time.monotonic()
            self._request_at = now + self._per_request
            self._token_at = now + tokens * self._per_token

    def settle(self, surplus: int) -> None:
        """Corrects the estimate given to `turn` once the true number of tokens is known."""
        self._token_at += surplus * self._per_token

    def pause(self, seconds: float) -> None:
        """Holds all requests back, because the server said so."""
        self._paused_until = max(self._paused_until, time.monotonic() + seconds)


class Breaker:
    """Stops asking a server that fails again and again, and probes it until it answers.

    Down from `corrector.breaker` failures in a row on, or after `corrector.patience` of nothing but "slow down" (429);
    up again at the first success. While down, one request per `corrector.probe_seconds` goes through; the others wait,
    and after `corrector.patience` do what `corrector.when_down` says.
    """

    def __init__(self, config: CorrectorConfig) -> None:
        self._config = config
        self._failures = 0
        self._down_since: float | None = None
        self._limited_since: float | None = None
        self._probe_at = self._said_at = 0.0
        self._last = ""

    async def enter(self) -> None:
        """Returns when a request may be sent.

        Raises:
            Failure: down for too long, and the turn shall go without a lesson.
            CorrectorError: down for too long, and the run shall end.
        """
        while self._down_since is not None:
            now = time.monotonic()
            if self.given_up and self._config.when_down == "stop":
                raise CorrectorError(
                    f"the corrector {self._config.model} has been down for {now - self._down_since:.0f} s "
                    f"({self._last}): mend it, or set corrector.when_down wait or continue"
                )
            if now >= self._probe_at:
                self._probe_at = now + self._config.probe_seconds
                return
            if self.given_up:
                raise Failure(FailureKind.DOWN, self._last)
            self._say(now, now - self._down_since)
            await asyncio.sleep(min(0.5, self._probe_at - now))

    @property
    def given_up(self) -> bool:
        """Whether the server has been down for so long that it is no longer waited for."""
        if self._down_since is None or self._config.when_down == "wait":
            return False
        return time.monotonic() - self._down_since >= self._config.patience

    def succeeded(self) -> None:
        """Notes an answer, whatever it says."""
        if self._down_since is not None:
            log.warning("the corrector %s answers again", self._config.model)
        self._failures, self._down_since, self._limited_since = 0, None, None

    def failed(self, failure: Failure) -> None:
        """Notes a request that brought nothing."""
        self._failures += 1
        self._last = f"{failure.kind}: {failure}"
        now = time.monotonic()
        if self._failures >= self._config.breaker and self._down_since is None:
            self._down_since, self._probe_at, self._said_at = now, now + self._config.probe_seconds, 0.0

    def limited(self, failure: Failure) -> None:
        """Notes a request that the server put off: no failure by itself, but a server may do nothing else."""
        now = time.monotonic()
        if self._limited_since is None:
            self._limited_since = now
        elif now - self._limited_since >= self._config.patience and self._down_since is None:
            self._last = f"{failure.kind}: {failure}"
            self._down_since, self._probe_at, self._said_at = self._limited_since, now, 0.0

    def _say(self, now: float, seconds: float) -> None:
        if now - self._said_at >= SAY_EVERY:
            self._said_at = now
            then = self._config.when_down
            log.warning(
                "the corrector %s has been down for %.0f s (%s); probing every %g s, after %g s: %s",
                *(self._config.model, seconds, self._last, self._config.probe_seconds, self._config.patience, then),
            )

"""Several servers with the same weights: who is asked, who is asked instead, and when to give up."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from gtr.engine.server import Failure, Server
from gtr.errors import EngineError

T = TypeVar("T")
MOST_FAILURES = 4
"""Failures in a row after which a server is left alone."""
BETWEEN = 1.0
"""Seconds between two looks at a server that is down."""
log = logging.getLogger(__name__)


class Pool:
    """Asks the least busy server that is up. Safe to use from several threads."""

    def __init__(self, servers: Sequence[Server], retries: int, patience: float, what: str = "engine.servers") -> None:
        """`what` names the setting that gives their addresses."""
        self.servers, self._what = servers, what
        self.failed = 0
        """Requests that failed, since it was last set to 0."""
        self.restore: Callable[[Server], None] = lambda server: None
        """Gives a server that was down the weights of now; raises `Failure` where it cannot."""
        self._retries, self._patience = retries, patience
        self._lock = threading.RLock()
        self._lost: str | None = None

    def up(self) -> list[Server]:
        """The servers that answer."""
        return [server for server in self.servers if server.up]

    def ask(self, use: Callable[[Server], T]) -> T:
        """What `use` makes of a server; it raises `Failure` where no answer can be used, and is then called anew.

        Raises `EngineError` after `engine.retries` further tries, or when no server came back in time.
        """
        tries = Retrying(
            stop=stop_after_attempt(1 + self._retries),
            wait=wait_random_exponential(multiplier=0.1, max=5),
            retry=retry_if_exception_type(Failure),
            reraise=True,
        )
        try:
            found: T = tries(self._once, use)
        except Failure as failure:
            raise EngineError(f"no usable answer in {1 + self._retries} tries: {failure}") from None
        return found

    def _once(self, use: Callable[[Server], T]) -> T:
        server = self._pick()
        try:
            found = use(server)
        except Failure as failure:
            self.note(server, failure)
            raise
        server.failures = 0
        return found

    def note(self, server: Server, failure: Failure, fatal: bool = False) -> None:
        """Counts a failure, and leaves a server alone that has failed too often, or whose failure is `fatal`."""
        with self._lock:
            self.failed += 1
            server.failures += 1
            if server.up and (fatal or server.failures >= MOST_FAILURES):
                server.up = False
                log.warning("%s; it is left alone, %d of %d servers go on", failure, len(self.up()), len(self.servers))

    def _pick(self) -> Server:
        with self._lock:
            if not self.up():
                self._wait()
            return min(self.up(), key=lambda server: server.busy)

    def _wait(self) -> None:
        """Waits for any server to come back, with everybody else who asks."""
        if self._lost is not None:
            raise EngineError(self._lost)
        until = time.monotonic() + self._patience
        why = ""
        while True:
            for server in self.servers:
                why = self.revive(server) or ""
            if self.up():
                return
            if time.monotonic() >= until:
                break
            time.sleep(min(BETWEEN, self._patience))
        self._lost = (
            f"none of the {len(self.servers)} of {self._what} answers, and none came back within engine.patience "
            f"{self._patience:g} s: {why}"
        )
        raise EngineError(self._lost)

    def revive(self, server: Server) -> str | None:
        """Takes a server back if it is well and takes the weights of now; else says why not."""
        if server.up:
            return None
        try:
            self.restore(server)
        except Failure as failure:
            return str(failure)
        server.up, server.failures = True, 0
        log.warning("%s is back", server.address)
        return None

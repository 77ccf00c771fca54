"""One vLLM server over HTTP: what it is asked, and every way in which it can fail to answer, as one `Failure`."""

import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import httpx

from gtr.report.inside import Unreadable, parsed

SHORT = 10.0
"""Seconds within which a server must accept a connection, or say that it is well."""
LATE = 1.0
"""Seconds beyond its limit for which a request is waited for, so that it can say itself what is wrong."""
CHAT = "/v1/chat/completions"
LARGEST = 50_000_000
"""Bytes of an answer that are read; a reply of 131,072 tokens has fewer."""


class Failure(Exception):
    """A request without a usable answer; the message names the server and says what came instead."""


class Server:
    """A server and how it has been doing. Safe to use from several threads."""

    def __init__(self, address: str, timeout: float, sync_timeout: float, in_flight: int) -> None:
        self.address = address.rstrip("/").removesuffix("/v1")
        self.timeout, self.sync_timeout = timeout, sync_timeout
        self.model = ""
        """Under what name it serves the weights of now."""
        self.up = True
        self.busy = 0
        """Requests under way."""
        self.failures = 0
        """Failed requests since the last answer."""
        limits = httpx.Limits(max_connections=in_flight + 4, max_keepalive_connections=in_flight)
        # Addresses are given in full: a proxy of the environment would send a neighbour's weights around the world.
        self._http = httpx.Client(base_url=self.address, limits=limits, trust_env=False)
        self._adapter = ""
        self._lock = threading.Lock()

    def models(self) -> list[str]:
        """The names of what it serves, first the model that it was started with; `Failure` where it does not answer."""
        found = self._json("GET", "/v1/models", None, SHORT)
        try:
            names = [str(one["id"]) for one in found["data"]]
        except (KeyError, TypeError) as error:
            raise self._failed(f"names no model ({error!r}): it is no vLLM server") from None
        if not names:
            raise self._failed("serves no model")
        return names

    def complete(self, request: Mapping[str, Any], path: str = CHAT) -> Any:
        """The answer to a request, as JSON values; `request` names no model."""
        with self._lock:
            self.busy += 1
        try:
            return self._json("POST", path, {**request, "model": self.model}, self.timeout)
        finally:
            with self._lock:
                self.busy -= 1

    def load(self, folder: Path) -> None:
        """Puts a folder's weights in place of all that it has, and forgets what it had computed with those."""
        model = self.models()[0]
        self._call("POST", "/collective_rpc", _reload(folder), self.sync_timeout)
        # All three, or it answers from before, or dies of an encoder output that its worker has dropped.
        done = self._json("POST", "/reset_prefix_cache", None, self.sync_timeout)
        if not (isinstance(done, dict) and done.get("success") is True):
            raise self._failed("could not reset its prefix cache: somebody else is asking it")
        for cache in ("mm", "encoder"):
            self._call("POST", f"/reset_{cache}_cache", None, self.sync_timeout)
        self.model = model

    def load_adapter(self, folder: Path, name: str) -> None:
        """Loads a LoRA adapter under a name that no other weights have had, and drops the one before."""
        known = self.models()
        if name not in known:
            adapter = {"lora_name": name, "lora_path": str(folder)}
            self._call("POST", "/v1/load_lora_adapter", adapter, self.sync_timeout)
        if self._adapter in known and self._adapter != name:
            self._call("POST", "/v1/unload_lora_adapter", {"lora_name": self._adapter}, self.sync_timeout)
        self.model = self._adapter = name

    def close(self) -> None:
        """Breaks off what is under way."""
        self._http.close()

    def _json(self, method: str, path: str, body: Mapping[str, Any] | None, timeout: float) -> Any:
        """The JSON value that a request brings."""
        try:
            return parsed(self._call(method, path, body, timeout), exact=True)
        except Unreadable as error:
            raise self._failed(f"gives {path} an answer that {error}") from None

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None, timeout: float) -> bytes:
        """What a request brings."""
        answer: Future[bytes] = Future()

        def ask() -> None:
            try:
                answer.set_result(self._read(method, path, body, timeout))
            except BaseException as error:
                answer.set_exception(error)

        # The library's limits hold from byte to byte, and headers may drip for ever.
        threading.Thread(target=ask, daemon=True, name="request").start()
        try:
            return answer.result(timeout + LATE)
        except TimeoutError:
            raise self._failed(f"gave no answer to {path} within {timeout:g} s") from None

    def _read(self, method: str, path: str, body: Mapping[str, Any] | None, timeout: float) -> bytes:
        until = time.monotonic() + timeout
        limits = httpx.Timeout(timeout, connect=min(SHORT, timeout))
        try:
            with self._http.stream(method, path, json=body, timeout=limits) as response:
                text = b""
                for part in response.iter_bytes():
                    text += part
                    # The library's limit is between two parts; a server may drip.
                    if time.monotonic() > until or len(text) > LARGEST:
                        raise self._failed(f"did not finish its answer within {timeout:g} s or {LARGEST:,} bytes")
            if response.status_code >= 400:
                raise self._failed(f"says {response.status_code} to {path}: {text[:300].decode(errors='replace')}")
            return text
        except httpx.TimeoutException:
            raise self._failed(f"gave no answer to {path} within {timeout:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, RuntimeError, ValueError) as error:
            raise self._failed(f"cannot be reached ({type(error).__name__}: {error})") from None

    def _failed(self, what: str) -> Failure:
        return Failure(f"{self.address} {what}")


def _reload(folder: Path) -> Mapping[str, Any]:
    return {"method": "reload_weights", "kwargs": {"weights_path": str(folder)}}

"""One vLLM server that is broken or hostile: every way in which it can answer is a value or a `Failure`, in time."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import pytest
from hostile import VALUES, statuses, transports

from gtr.engine.server import CHAT, Failure, Server

SHORT = {name: value for name, value in VALUES.items() if len(value) < 200_000}
Use = Callable[[Server], object]
USES: dict[str, Use] = {
    "models": lambda server: server.models()[0].encode(),
    "load": lambda server: server.load(Path("weights")),
    "load_adapter": lambda server: server.load_adapter(Path("weights"), "name"),
    "complete": lambda server: server.complete({}),
}
WELL = {"/v1/models": {"data": [{"id": "m"}]}, "/reset_prefix_cache": {"success": True}}
Reply = Callable[[str, socket.socket], None]


class Hostile:
    """Does with each connection, once it was asked for a path, whatever it is told to."""

    def __init__(self) -> None:
        self.reply: Reply = lambda path, connection: None
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._listen, daemon=True).start()
        self.server = Server(f"http://127.0.0.1:{self._listener.getsockname()[1]}", 1.0, 1.0, 4)

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._one, args=(self._listener.accept()[0],), daemon=True).start()

    def _one(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            self.reply(connection.recv(1 << 16).split(b" ")[1].decode(), connection)

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def hostile() -> Iterator[Hostile]:
    made = Hostile()
    yield made
    made.close()


def whole(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def ends(use: Use, server: Server) -> None:
    """It is answered, or fails in words, within its limits."""
    started = time.monotonic()
    with contextlib.suppress(Failure):
        use(server)
    assert time.monotonic() - started < 8


@pytest.mark.parametrize("name", USES)
def test_any_value_is_an_answer_or_a_failure(name: str, hostile: Hostile) -> None:
    for path, value in product(("/v1/models", "/reset_prefix_cache", ""), SHORT.values()):

        def reply(asked: str, connection: socket.socket, path: str = path, value: str = value) -> None:
            well = json.dumps(WELL.get(asked, {})) if path and asked != path else value
            connection.sendall(whole(well.encode()))

        hostile.reply = reply
        ends(USES[name], hostile.server)


def test_any_bytes_are_an_answer_or_a_failure(hostile: Hostile) -> None:
    for raw in (*transports().values(), *list(statuses().values())[::9]):
        hostile.reply = lambda asked, connection, raw=raw: connection.sendall(raw)
        ends(USES["complete"], hostile.server)


@pytest.mark.parametrize("part", [b"a", b"HTTP/1.1 100 Continue\r\n\r\n", b"X: 1\r\n"])
def test_headers_that_drip_end_with_the_limit(part: bytes, hostile: Hostile) -> None:
    def reply(asked: str, connection: socket.socket) -> None:
        connection.sendall(b"" if b"100" in part else b"HTTP/1.1 200 OK\r\n")
        for _ in range(40):
            connection.sendall(part)
            time.sleep(0.3)

    hostile.reply = reply
    with pytest.raises(Failure, match=f"no answer to {CHAT} within 1 s"):
        USES["complete"](hostile.server)

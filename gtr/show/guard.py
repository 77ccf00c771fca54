"""What keeps other sites, and what a model wrote, away from a page that is served on this machine."""

import socket
from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}


class Guarded:
    """Answers only who asks for this machine by a name of its own, from no other site; adds headers to every answer.

    A site that points its own name at this machine (DNS rebinding) is told by the ``Host`` header, which holds that
    name; an address of digits cannot be pointed elsewhere. Pages of other sites are told by what browsers add.
    """

    def __init__(self, app: ASGIApp, policy: str, host: str = "localhost", headers: Mapping[str, str] = {}) -> None:
        self.app = app
        self.names = {"localhost", host.lower(), *_own_names(host)}
        self.headers = {**HEADERS, "Content-Security-Policy": policy, **headers}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self.headers)
            await send(message)

        if scope["type"] != "http":
            return
        refused = self._refused(Headers(scope=scope))
        app = self.app if refused is None else PlainTextResponse(*refused)
        await app(scope, receive, guarded)

    def _refused(self, headers: Headers) -> tuple[str, int] | None:
        host = headers.get("host", "")
        if not self._own(host):
            return "this page does not go by that name", 400
        origin = headers.get("origin")
        if origin is not None and urlsplit_or_none(origin) != host.lower():
            return "requests from other sites are not answered", 403
        site, mode = headers.get("sec-fetch-site", "none"), headers.get("sec-fetch-mode", "")
        if site in ("cross-site", "same-site") and mode != "navigate":
            return "requests from other sites are not answered", 403
        return None

    def _own(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return name in self.names or is_address(name)


def urlsplit_or_none(origin: str) -> str | None:
    """The host and port of an origin; None for one that is hidden (``null``) or no address."""
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None


def is_address(name: str) -> bool:
    """Whether a host is given by its number."""
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def is_local(host: str) -> bool:
    """Whether only this machine reaches what listens there."""
    return host == "localhost" or (is_address(host) and ip_address(host).is_loopback)


def _own_names(host: str) -> Iterable[str]:
    return () if is_local(host) else (socket.gethostname().lower(), socket.getfqdn().lower())

"""The page over HTTP: for one person on their own machine, or on another one through a forwarded port."""

import contextlib
import re
import socket
import webbrowser
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gtr.errors import RunError
from gtr.report.files import encode
from gtr.show import page
from gtr.show.run import Run
from gtr.show.source import Source

PICTURE = re.compile(r"[0-9a-f]{20}\.png")
KINDS = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}
LOCAL = ("localhost", "127.0.0.1", "[::1]")
HEADERS = (
    (b"content-security-policy", page.SERVED_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-cache"),
)


class Guarded:
    """Adds to every answer the headers that keep what a model wrote from ever running."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *HEADERS]
            await send(message)

        await self.app(scope, receive, guarded)


def make_app(runs: Sequence[Run], hosts: Sequence[str] = LOCAL) -> Starlette:
    """The application; `hosts` are the names under which it answers, so that no other site can reach it by a trick."""
    source = Source(runs)

    def overview(request: Request) -> Response:
        return _json(source.overview())

    def version(request: Request) -> Response:
        return _json({"version": source.version()})

    def parts(request: Request) -> Response:
        return _json(source.parts(_run(request), int(request.path_params["after"])))

    def turns(request: Request) -> Response:
        at = request.path_params
        return _json(source.turns(_run(request), at["update"], at["env"], at["episode"]))

    def panel(request: Request) -> Response:
        return _json(source.panel(_run(request), request.path_params["update"]))

    def play(request: Request) -> Response:
        at = request.path_params
        return _json(source.play(_run(request), at["update"], at["episode"]))

    def probe(request: Request) -> Response:
        return _json(source.probe(_run(request), request.path_params["update"]))

    def image(request: Request) -> Response:
        name = request.path_params["name"]
        file = runs[_run(request)].path / "images" / name
        if PICTURE.fullmatch(name) is None or not file.is_file():
            return PlainTextResponse("there is no such picture", 404)
        return FileResponse(file, media_type="image/png")

    def asset(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in page.names():
            return PlainTextResponse("there is no such file", 404)
        return Response(page.own(name), media_type=KINDS[name[name.rindex(".") :]])

    def _run(request: Request) -> int:
        index = int(request.path_params["run"])
        if index >= len(runs):
            raise HTTPException(404, "there is no such run")
        return index

    at_update = "{run:int}/{update:int}"
    routes = [
        Route("/", lambda _: HTMLResponse(page.served())),
        Route("/page/{name}", asset),
        Route("/charts.js", lambda _: Response(page.chart_library(), media_type=KINDS[".js"])),
        Route("/image/{run:int}/{name}", image),
        Route("/api/overview", overview),
        Route("/api/version", version),
        Route("/api/parts/{run:int}/{after}", parts),
        Route(f"/api/turns/{at_update}/{{env:int}}/{{episode:int}}", turns),
        Route(f"/api/panel/{at_update}", panel),
        Route(f"/api/play/{at_update}/{{episode:int}}", play),
        Route(f"/api/probe/{at_update}", probe),
    ]
    trusted = Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False)
    return Starlette(
        routes=routes, middleware=[Middleware(Guarded), trusted, Middleware(GZipMiddleware, compresslevel=4)]
    )


def _json(value: Any) -> Response:
    """Strict JSON, whatever a damaged file or half a surrogate pair brought in."""
    return Response(encode(value), media_type="application/json")


def serve(runs: Sequence[Run], host: str, port: int, browser: bool) -> None:
    """Serves the page until it is stopped. Port 0 takes any that is free.

    Raises `RunError` where the port is taken or the host is not this machine's.
    """
    with _listening(host, port) as listener:
        address = f"http://{_shown(host)}:{listener.getsockname()[1]}/"
        print(f"{address}  shows {', '.join(run.path.name for run in runs)}; Ctrl-C ends it", flush=True)
        if browser:
            webbrowser.open(address)
        hosts = [*LOCAL, _shown(host)] if _is_local(host) else ["*"]
        config = uvicorn.Config(make_app(runs, hosts), log_level="warning", lifespan="off", timeout_graceful_shutdown=1)
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])


def _listening(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise RunError(
            f"cannot listen on {host}, port {port} ({error.strerror}): choose another with --port"
        ) from error


def _is_local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host

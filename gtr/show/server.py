"""The page over HTTP: for one person on their own machine, or on another one through a forwarded port."""

import contextlib
import re
import socket
import webbrowser
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from gtr.errors import RunError
from gtr.report import Run
from gtr.report.files import encode
from gtr.show import page
from gtr.show.begun import Begun
from gtr.show.guard import Guarded
from gtr.show.source import Source

NUMBER = re.compile(r"[0-9]{1,9}")
LONGEST_SEARCH = 200
FEW = 4
"""Runs that are named where it is said what is served."""
KINDS = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}


def make_app(
    runs: Sequence[Run], study: Mapping[str, Any] | None = None, host: str = "localhost", begun: Begun | None = None
) -> ASGIApp:
    """The application; it answers under `host`, this machine's own names and addresses. `begun` finds further runs."""
    source = Source(runs, study=study, begun=begun)

    def of_run(answer: Callable[..., Any], *names: str) -> Callable[[Request], Response]:
        """Answers about a run, by the numbers that stand under these names in the address."""
        return lambda request: _json(answer(_run(request), *_numbers(request, *names)))

    def parts(request: Request) -> Response:
        after = request.path_params["after"]
        return _json(source.parts(_run(request), -1 if after == "-1" else _number(after)))

    def search(request: Request) -> Response:
        text, after = request.path_params["text"], request.path_params["after"]
        if len(text) > LONGEST_SEARCH:
            raise HTTPException(404, "there is no such long text")
        return _json(source.search(_run(request), -1 if after == "-1" else _number(after), text))

    def image(request: Request) -> Response:
        data = source.runs[_run(request)].picture(request.path_params["name"])
        if data is None:
            return PlainTextResponse("there is no such picture", 404)
        return Response(data, media_type="image/png")

    def asset(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in page.names():
            return PlainTextResponse("there is no such file", 404)
        return Response(page.own(name), media_type=KINDS[name[name.rindex(".") :]])

    def _run(request: Request) -> int:
        (index,) = _numbers(request, "run")
        if index >= len(source.runs):
            raise HTTPException(404, "there is no such run")
        return index

    routes = [
        Route("/", lambda _: HTMLResponse(page.served())),
        Route("/page/{name}", asset),
        Route("/charts.js", lambda _: Response(page.chart_library(), media_type=KINDS[".js"])),
        Route("/image/{run}/{name}", image),
        Route("/api/overview", lambda _: _json(source.overview())),
        Route("/api/study", lambda _: _json(study)),
        Route("/api/version", lambda _: _json({"version": source.version()})),
        Route("/api/parts/{run}/{after}", parts),
        Route("/api/turns/{run}/{update}/{env}/{episode}", of_run(source.turns, "update", "env", "episode")),
        Route("/api/panel/{run}/{update}", of_run(source.panel, "update")),
        Route("/api/panels/{run}", of_run(source.panels)),
        Route("/api/search/{run}/{after}/{text:path}", search),
        Route("/api/play/{run}/{update}/{episode}", of_run(source.play, "update", "episode")),
        Route("/api/probe/{run}/{update}", of_run(source.probe, "update")),
    ]
    packed = GZipMiddleware(Starlette(routes=routes), compresslevel=4)
    return Guarded(packed, page.SERVED_POLICY, host, {"Cache-Control": "no-cache"})


def _numbers(request: Request, *names: str) -> list[int]:
    return [_number(request.path_params[name]) for name in names]


def _number(text: str) -> int:
    if NUMBER.fullmatch(text) is None:
        raise HTTPException(404, "there is no such place")
    return int(text)


def _json(value: Any) -> Response:
    """Strict JSON, whatever a damaged file or half a surrogate pair brought in."""
    return Response(encode(value), media_type="application/json")


def serve(
    runs: Sequence[Run],
    study: Mapping[str, Any] | None,
    host: str,
    port: int,
    browser: bool,
    begun: Begun | None = None,
) -> None:
    """Serves the page until it is stopped. Port 0 takes any that is free.

    Raises `RunError` where the port is taken or the host is not this machine's.
    """
    with _listening(host, port) as listener:
        address = f"http://{_shown(host)}:{listener.getsockname()[1]}/"
        names = ", ".join(run.path.name for run in runs[:FEW]) or "the runs as they begin"
        names += f" and {len(runs) - FEW} more runs" if len(runs) > FEW else ""
        print(f"{address}  shows {names}; Ctrl-C ends it", flush=True)
        if browser:
            webbrowser.open(address)
        app = make_app(runs, study, host, begun)
        config = uvicorn.Config(app, log_level="warning", lifespan="off", timeout_graceful_shutdown=1)
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])


def _listening(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RunError(f"cannot listen on {host}, port {port} ({reason}): choose another with --port") from error


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host

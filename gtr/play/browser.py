"""Playing in a browser: one page with the picture, the prompt, boxes for thought and action, and the verdict."""

import base64
import io
import socket
import sys
import webbrowser
from urllib.parse import parse_qs

import uvicorn
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image as Pictures
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from gtr.errors import ConfigError
from gtr.play.game import Game, value_of
from gtr.report.text import visible

HOST = "127.0.0.1"
LONGEST = 100_000
"""Bytes of a form that are read."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src data:; style-src 'unsafe-inline'; form-action 'self'",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}


def play(game: Game, episodes: int, port: int) -> None:
    """Serves the game on this machine alone until Ctrl-C. Port 0 takes a free one.

    Raises `ConfigError` where the port is taken.
    """
    try:
        listener = socket.create_server((HOST, port))
    except OSError as error:
        raise ConfigError(f"--port {port} cannot be used ({error.strerror}): choose another, 0 is any free") from error
    address = f"http://{HOST}:{listener.getsockname()[1]}/"
    print(f"play at {address}  (Ctrl-C ends it)", flush=True)
    if sys.stdout.isatty():
        webbrowser.open(address)
    config = uvicorn.Config(application(game, episodes), log_level="warning", lifespan="off")
    with listener:
        uvicorn.Server(config).run(sockets=[listener])


def application(game: Game, episodes: int) -> Starlette:
    """The page and its three buttons. Handlers never wait in mid-move, so requests cannot mix."""
    page = Environment(
        loader=PackageLoader("gtr.play", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    ).get_template("page.html")  # fmt: skip
    shown: dict[str, str | None] = {"expert": None}

    async def index(request: Request) -> Response:
        said = game.turns[-1].account() if game.turns else {}
        text = page.render(
            game=game,
            episodes=episodes,
            picture=png(game),
            prompt=visible(game.prompt.text),
            keys=game.task.thought_keys,
            account=said,
            typed=visible(game.turns[-1].turn.reply.text) if game.turns else "",
            allowed=[] if game.over else game.allowed(),
            expert=visible(shown["expert"] or ""),
        )
        return HTMLResponse(text, headers=HEADERS)

    async def turn(request: Request) -> Response:
        fields = await form(request)
        if not game.over:
            whole = fields.get("whole", "").strip()
            thought = {key: value_of(fields.get(f"thought.{key}", "")) for key in game.task.thought_keys}
            game.play(whole or game.written(thought, fields.get("action", "").strip()))
            shown["expert"] = None
        return RedirectResponse("/", 303)

    async def expert(request: Request) -> Response:
        shown["expert"] = game.expert() or "the expert knows no move here"
        return RedirectResponse("/", 303)

    async def deal(request: Request) -> Response:
        if len(game.returns) < episodes:
            game.deal()
            shown["expert"] = None
        return RedirectResponse("/", 303)

    handlers = {"/turn": turn, "/expert": expert, "/deal": deal}
    routes = [Route("/", index), *(Route(path, one, methods=["POST"]) for path, one in handlers.items())]
    own = Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"], www_redirect=False)
    return Starlette(routes=routes, middleware=[own])


async def form(request: Request) -> dict[str, str]:
    """The fields of a form, each once."""
    body = (await request.body())[:LONGEST]
    return {key: values[0] for key, values in parse_qs(body.decode(errors="replace"), keep_blank_values=True).items()}


def png(game: Game) -> str:
    """The picture as the address of its own contents."""
    data = io.BytesIO()
    Pictures.fromarray(game.prompt.image).save(data, format="png")
    return "data:image/png;base64," + base64.b64encode(data.getvalue()).decode()

"""Playing in a browser: one page with the picture, the prompt, boxes for thought and action, and the verdict."""

import secrets
import socket
import sys
import webbrowser
from collections.abc import Mapping
from urllib.parse import parse_qs

import uvicorn
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from gtr.errors import ConfigError
from gtr.play.game import Game, value_of
from gtr.policy.pictures import data_url, to_png
from gtr.report.text import visible
from gtr.show.guard import Guarded

HOST = "127.0.0.1"
LONGEST = 100_000
"""Bytes of a form that are read."""
POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)


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


def application(game: Game, episodes: int) -> ASGIApp:
    """The page and its three buttons. Handlers never wait in mid-move, so requests cannot mix.

    Only the page itself knows the token that a button sends along: no other site can move.
    """
    token = secrets.token_urlsafe(16)
    page = Environment(
        loader=PackageLoader("gtr.play", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    ).get_template("page.html")  # fmt: skip
    shown: dict[str, str | None] = {"expert": None}

    async def index(request: Request) -> Response:
        said = game.turns[-1].account() if game.turns else {}
        text = page.render(
            game=game,
            token=token,
            episodes=episodes,
            picture=png(game),
            prompt=visible(game.prompt.text),
            keys=game.task.thought_keys,
            account=said,
            typed=visible(game.turns[-1].turn.reply.text) if game.turns else "",
            allowed=[] if game.over else game.allowed(),
            expert=visible(shown["expert"] or ""),
        )
        return HTMLResponse(text)

    def turn(fields: Mapping[str, str]) -> None:
        if not game.over:
            whole = fields.get("whole", "").strip()
            thought = {key: value_of(fields.get(f"thought.{key}", "")) for key in game.task.thought_keys}
            action = fields.get("choice", fields.get("action", "")).strip()
            if whole or any(fields.get(f"thought.{key}", "").strip() for key in thought):
                game.play(whole or game.written(thought, action))
            else:
                game.act(action)
            shown["expert"] = None

    def expert(fields: Mapping[str, str]) -> None:
        shown["expert"] = game.expert() or "the expert knows no move here"

    def deal(fields: Mapping[str, str]) -> None:
        if len(game.returns) < episodes:
            game.deal()
            shown["expert"] = None

    buttons = {"/turn": turn, "/expert": expert, "/deal": deal}

    async def pressed(request: Request) -> Response:
        fields = await form(request)
        if not secrets.compare_digest(fields.get("token", "").encode(), token.encode()):
            return PlainTextResponse("this is not the page's own form: load the page anew", 403)
        buttons[request.url.path](fields)
        return RedirectResponse("/", 303)

    routes = [Route("/", index), *(Route(path, pressed, methods=["POST"]) for path in buttons)]
    return Guarded(Starlette(routes=routes), POLICY, HOST, {"Cache-Control": "no-store"})


async def form(request: Request) -> dict[str, str]:
    """The fields of a form, each once; of one that is too long its beginning."""
    body = b""
    async for part in request.stream():
        body = (body + part)[:LONGEST]
    return {key: values[0] for key, values in parse_qs(body.decode(errors="replace"), keep_blank_values=True).items()}


def png(game: Game) -> str:
    """The picture as the address of its own contents."""
    return data_url(to_png(game.prompt.image))

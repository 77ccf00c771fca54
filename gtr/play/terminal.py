"""Playing in a terminal: the picture as coloured half blocks and as a file, replies typed as the agent writes them."""

import contextlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image as Pictures
from rich.color import Color
from rich.console import Console
from rich.style import Style
from rich.text import Text

from gtr.play.game import Game, Played
from gtr.report.text import visible
from gtr.tasks.formats import ReplyFormat
from gtr.types import Image, ReplyStatus

HELP = (
    'Type a whole reply {"...": ..., "action": "..."} or just an action. '
    "? shows the expert's reply, ! plays it, q leaves."
)
LARGEST = 72
"""Characters across the picture."""

Ask = Callable[[], str]


def play(game: Game, episodes: int, pictures: Path, console: Console | None = None, ask: Ask | None = None) -> None:
    """Plays `episodes` episodes, or until the person leaves; every picture is saved into the folder `pictures`."""
    console = console or Console(highlight=False)
    ask = ask or _asker()
    console.print(HELP, style="dim", markup=False)
    with contextlib.suppress(EOFError):
        while _episode(game, pictures, console, ask) and len(game.returns) < episodes:
            game.deal()
    ended = len(game.returns)
    mean = f", mean return {sum(game.returns) / ended:g}" if ended else ""
    console.print(f"{ended} episodes ended, {game.won} won{mean}", markup=False)


def _episode(game: Game, pictures: Path, console: Console, ask: Ask) -> bool:
    """Plays one episode; False where the person left."""
    _show(game, pictures, console)
    while not game.over:
        text = _read(ask, game.task.reply_format)
        if text == "q" and text not in game.allowed():
            return False
        if text == "?":
            console.print(visible(game.expert() or "the expert knows no move here"), markup=False, soft_wrap=True)
            continue
        reply = game.expert() if text == "!" else text
        if reply is None:
            console.print("the expert knows no move here", markup=False)
            continue
        tell(game.play(reply) if reply.startswith("{") else game.act(reply), game, console)
        _show(game, pictures, console)
    return True


def tell(played: Played, game: Game, console: Console) -> None:
    """Prints what came of a reply."""
    for title, text in played.account().items():
        bad = title in ("verdict", "checks") and ("wrong" in text.lower() or text.startswith("no thought"))
        console.print(Text(f"{title:>11}  ", "dim").append(text, "bold red" if bad else ""), soft_wrap=True)
    console.print(Text(f"{'return':>11}  ", "dim").append(f"{game.total:g}", ""))


def _show(game: Game, pictures: Path, console: Console) -> None:
    """The state as the agent sees it; the last one of an episode that ended as a picture only."""
    image = game.prompt.image
    file = pictures / f"episode{game.episode}-turn{len(game.turns)}.png"
    Pictures.fromarray(image).save(file)
    if console.is_terminal and not console.no_color:
        console.print(blocks(image, min(LARGEST, console.width)))
    console.print(f"picture: {file}", markup=False, soft_wrap=True)
    if not game.over:
        console.print(f"prompt of turn {len(game.turns)}:", style="dim", markup=False)
        console.print(visible(game.prompt.text), markup=False, soft_wrap=True)


def blocks(image: Image, width: int) -> Text:
    """A picture (height, width, 3) as characters, each two pixels high: the upper in its ink, the lower behind it."""
    height = max(2, round(image.shape[0] / image.shape[1] * width / 2) * 2)
    pixels = np.asarray(Pictures.fromarray(image).resize((width, height), Pictures.Resampling.BOX))
    text = Text(no_wrap=True)
    for upper, lower in zip(pixels[::2], pixels[1::2], strict=True):
        for ink, paper in zip(upper, lower, strict=True):
            text.append("▀", Style(color=Color.from_rgb(*ink), bgcolor=Color.from_rgb(*paper)))
        text.append("\n")
    return text


def _read(ask: Ask, form: ReplyFormat) -> str:
    """One line; a reply may go on over several, until it is whole or a line is empty."""
    text = ask().strip()
    while text.startswith(form.begin({})) and form.parse(text, False, ()).status is ReplyStatus.CUT:
        if not (more := ask()).strip():
            break
        text += "\n" + more
    return text


def _asker() -> Ask:
    """Python's own prompt, with line editing and history where the system has them."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401
    return lambda: input("> ")

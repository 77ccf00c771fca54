"""A person plays the agent's own view of a game and sees the oracle's verdict on what they typed. Imports no torch."""

import tempfile
from contextlib import closing
from pathlib import Path

from gtr.config import Config
from gtr.errors import ConfigError, to_install
from gtr.play import terminal
from gtr.play.game import Game

EXTRA = ("starlette", "uvicorn")
"""What `guided-thought[show]` brings."""


def play(config: Config, episodes: int = 10, pictures: Path | None = None, port: int | None = None) -> None:
    """Plays in the terminal, its pictures in a folder; or serves a page at a port, where one is given.

    Raises:
        TaskError: the game cannot be loaded or begun.
        ConfigError: what serves the page is not installed, or the port is taken.
    """
    with closing(Game(config, config.seed)) as game:
        if port is not None:
            _in_browser(game, episodes, port)
        else:
            folder = pictures or Path(tempfile.mkdtemp(prefix="gtr-play-"))
            folder.mkdir(parents=True, exist_ok=True)
            terminal.play(game, episodes, folder)


def _in_browser(game: Game, episodes: int, port: int) -> None:
    try:
        from gtr.play import browser
    except ModuleNotFoundError as error:
        if error.name not in EXTRA:
            raise
        raise ConfigError(f"--browser needs {error.name}, which is not installed: {to_install('show')}") from None
    browser.play(game, episodes, port)

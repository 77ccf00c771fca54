"""A person plays the agent's own view of a game and sees the oracle's verdict on what they typed. Imports no torch."""

import tempfile
from contextlib import closing
from pathlib import Path

from gtr.config import Config
from gtr.errors import ConfigError
from gtr.options import PlayOptions
from gtr.play import terminal
from gtr.play.game import Game

EXTRA = ("starlette", "uvicorn")
"""What `gtr[show]` brings."""


def play(options: PlayOptions, config: Config) -> None:
    """Plays in the terminal, or serves the page.

    Raises:
        TaskError: the game cannot be loaded or begun.
        ConfigError: the browser is wanted and what serves it is not installed, or the port is taken.
    """
    with closing(Game(config, options.seed)) as game:
        if options.browser:
            _in_browser(game, options)
        else:
            folder = options.pictures or Path(tempfile.mkdtemp(prefix="gtr-play-"))
            folder.mkdir(parents=True, exist_ok=True)
            terminal.play(game, options.episodes, folder)


def _in_browser(game: Game, options: PlayOptions) -> None:
    try:
        from gtr.play import browser
    except ModuleNotFoundError as error:
        if error.name not in EXTRA:
            raise
        raise ConfigError(f"--browser needs {error.name}, which is not installed: pip install 'gtr[show]'") from None
    browser.play(game, options.episodes, options.port)

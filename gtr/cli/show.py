"""``gtr show``: runs in the browser, or in one file that travels."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from annotated_types import Ge, Le

from gtr.cli.argv import check_file, parse
from gtr.errors import ConfigError
from gtr.show import TURNS


@dataclass(frozen=True)
class ShowOptions:
    """Look at runs in the browser: curves, episodes, turns token by token, two agents side by side, how thoughts rot.

    On another machine: `ssh -L 8024:localhost:8024 MACHINE`, there `gtr show RUN --no-browser`, and open the address
    here.
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN [RUN ...]")] = ()
    """Run folders, the folder of a `gtr compare`, or any folder of run folders."""
    export: Path | None = None
    """Write one HTML file that holds everything and can be mailed, instead of serving the page."""
    turns: Annotated[int, Ge(0), Le(100_000_000)] = TURNS
    """Training turns that the exported file holds at most, spread over the runs and updates."""
    task: str | None = None
    """The import path of a game of yours, if the runs play one: its code is run, to judge thoughts in the page."""
    host: str = "127.0.0.1"
    """Address to serve at; by default only this machine can reach the page."""
    port: Annotated[int, Ge(0), Le(65_535)] = 8024
    """Port to serve at; 0 takes any that is free."""
    no_browser: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Do not open a browser."""


def show(arguments: Sequence[str]) -> None:
    """RUN ...                look at runs in the browser, or --export one HTML file"""
    chosen = parse_show(arguments)
    from gtr.show import show as run

    run(chosen.runs, chosen.export, chosen.turns, chosen.task, chosen.host, chosen.port, not chosen.no_browser)


def parse_show(arguments: Sequence[str]) -> ShowOptions:
    """The options of ``gtr show``."""
    options = parse(ShowOptions, arguments, ShowOptions(), "show", flags=True)
    if not options.runs:
        raise ConfigError("write the run folders first: gtr show RUN [RUN ...]")
    check_file("--export", options.export)
    return options

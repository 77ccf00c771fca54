"""``gtr play``: a person plays the agent's view."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import tyro
from annotated_types import Ge, Le

from gtr import tasks
from gtr.cli.argv import Scale, check_folder, flag_value, leading, parse
from gtr.config import Config, TaskConfig
from gtr.config.checks import validate
from gtr.config.presets import build
from gtr.config.section import Seed
from gtr.errors import ConfigError, nearest


@dataclass(frozen=True)
class PlayOptions:
    """Play a game yourself, from the picture and the prompt that the agent gets, and see the oracle's verdict."""

    task: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="TASK")] = ""
    """The game: one of `gtr tasks`, or the import path of a Task of yours."""
    scale: Scale = "7b"
    """The paper's picture and full prompt, or those of a tiny agent."""
    browser: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Play on a page in the browser instead of the terminal."""
    port: Annotated[int, Ge(0), Le(65_535)] = 8025
    """Port of that page; 0 takes a free one."""
    episodes: Annotated[int, Ge(1), Le(1_000_000)] = 10
    """Episodes to play."""
    seed: Seed = 1
    """Deals the start states that the first environment of a training run with this seed meets."""
    pictures: Path | None = None
    """Folder for the pictures; by default a new one among the temporary files."""
    settings: Annotated[TaskConfig, tyro.conf.arg(name="task"), tyro.conf.FlagConversionOff] = field(
        default_factory=TaskConfig
    )


def play(arguments: Sequence[str]) -> None:
    """TASK                   play the agent's own view yourself, and see the oracle's verdict"""
    chosen, config = parse_play(arguments)
    from gtr.play import play as run

    run(config, chosen.episodes, chosen.pictures, chosen.port if chosen.browser else None)


def parse_play(arguments: Sequence[str]) -> tuple[PlayOptions, Config]:
    """The options of ``gtr play`` and the settings of the game."""
    names = leading(arguments)
    if len(names) != 1 and not {"-h", "--help"} & set(arguments):
        raise ConfigError(f"write one game first: gtr play TASK ... . {nearest('', tasks.TASKS)}")
    task = names[0] if names else tasks.DEFAULT
    base = build("gtr", task, flag_value(arguments, "--scale") or "7b")
    options = parse(PlayOptions, arguments, PlayOptions(task, settings=base.task), "play", flags=True)
    if options.settings.name != task:
        raise ConfigError(f"--task.name {options.settings.name}: name the game first, gtr play TASK")
    check_folder("--pictures", options.pictures)
    config = replace(base, task=options.settings, seed=options.seed)
    validate(config)
    return options, config

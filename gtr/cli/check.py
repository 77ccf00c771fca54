"""``gtr check``: what will go wrong with a task, in words."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated

import tyro

from gtr import tasks
from gtr.cli.argv import Scale, flag_value, leading, parse
from gtr.config import Config, TaskConfig
from gtr.config.checks import validate
from gtr.config.presets import build
from gtr.config.section import Seed
from gtr.errors import ConfigError, nearest

FOUND = 1
"""Exit status where something is wrong."""


@dataclass(frozen=True)
class CheckOptions:
    """Play a task, at random and by its expert, and say in words what will go wrong in training, and what mends it.

    The exit status is 1 where something is wrong.
    """

    task: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="TASK")] = ""
    """The import path of a Task of yours (package.module:Class, file.py:Class), or one of `gtr tasks`."""
    scale: Scale = "tiny"
    """For which agent: a tiny one, or the paper's."""
    seed: Seed = 1
    """Of the starts and of the random play."""
    settings: Annotated[TaskConfig, tyro.conf.arg(name="task"), tyro.conf.FlagConversionOff] = field(
        default_factory=TaskConfig
    )


def check(arguments: Sequence[str]) -> None:
    """TASK                   what will go wrong with a task of yours, in words, before you train"""
    config = parse_check(arguments)
    from gtr.check import findings

    wrong = 0
    for one in findings(config):
        print(one.line(), flush=True)
        wrong += not one.fine
    if wrong:
        print(f"{wrong} thing(s) to mend")
        raise SystemExit(FOUND)
    print(f"nothing wrong was found: gtr train gtr --task {config.task.name}")


def parse_check(arguments: Sequence[str]) -> Config:
    """The settings under which the task is to be checked."""
    names = leading(arguments)
    if len(names) != 1 and not {"-h", "--help"} & set(arguments):
        raise ConfigError(f"write one task first: gtr check file.py:Class ... . {nearest('', tasks.TASKS)}")
    task = names[0] if names else tasks.DEFAULT
    base = build("gtr", task, flag_value(arguments, "--scale") or "tiny")
    options = parse(CheckOptions, arguments, CheckOptions(task, settings=base.task), "check", flags=True)
    config = replace(base, task=options.settings, seed=options.seed)
    validate(config)
    return config

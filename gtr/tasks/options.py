"""Checks of free-form options: an unknown key is an error that names the nearest right one."""

from collections.abc import Mapping, Sequence
from typing import Any

from gtr.config import TaskConfig
from gtr.errors import ConfigError, TaskError, nearest


def known_options(options: Mapping[str, Any], known: Sequence[str], what: str) -> None:
    """TaskError for an option that means nothing."""
    for key in options:
        if key not in known:
            hint = nearest(key, known) if known else "there are none"
            raise TaskError(f"{what}: unknown option {key!r}: {hint}")


def choice(config: TaskConfig, key: str, choices: Sequence[str]) -> str:
    """The value of a free option with a fixed set of values, by default the first."""
    value = config.options.get(key, choices[0])
    if value not in choices:
        raise ConfigError(f"task.options {key}={value!r}: {nearest(value, choices)}")
    return value


def no_hands(config: TaskConfig) -> None:
    """ConfigError where a game without hand sets is given one."""
    if config.hands is not None:
        raise ConfigError(f"task.hands={config.hands}: {config.name} has no sets of hands; leave it out")

"""The games: importing this registers their environments with gymnasium; `load` finds a task by name.

Light: no torch. A task of your own needs no registration, only its import path.
"""

from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Any, NamedTuple

import gymnasium

from gtr.config import TaskConfig
from gtr.config.reading import read
from gtr.config.section import Kept, is_path
from gtr.errors import TaskError, nearest
from gtr.imports import built, load_class
from gtr.tasks.task import Task


class Row(NamedTuple):
    """Where a game that comes with gtr lives."""

    task: str
    id: str
    """Of its environment at gymnasium."""
    env: str
    extra: bool = False
    """Whether its environment needs the extra of gtr that has the game's name."""


TASKS: Mapping[str, Row] = {
    "numberline": Row("gtr.tasks.numberline:NumberLineTask", "gtr/NumberLine-v0", "gtr.tasks.numberline:NumberLineEnv"),
    "ezpoints": Row("gtr.tasks.points:EZPointsTask", "gtr/EZPoints-v0", "gtr.tasks.points_env:EZPointsEnv"),
    "points24": Row("gtr.tasks.points:Points24Task", "gtr/Points24-v0", "gtr.tasks.points_env:Points24Env"),
    "blackjack": Row("gtr.tasks.blackjack:BlackjackTask", "gtr/Blackjack-v0", "gtr.tasks.blackjack:BlackjackEnv"),
    "frozenlake": Row("gtr.tasks.frozenlake:FrozenLakeTask", "gtr/FrozenLake-v0", "gtr.tasks.frozenlake:FrozenLakeEnv"),
    "sokoban": Row("gtr.tasks.sokoban:SokobanTask", "gtr/Sokoban-v0", "gtr.tasks.sokoban:SokobanEnv"),
    "alfworld": Row(
        "gtr.tasks.alfworld.task:ALFWorldTask", "gtr/ALFWorld-v0", "gtr.tasks.alfworld.env:ALFWorldEnv", extra=True
    ),
}
DEFAULT = "points24"
"""The game that is played where none is named: the paper's main one."""

for _row in TASKS.values():
    gymnasium.register(_row.id, entry_point=_row.env)


def find(name: str) -> type[Task]:
    """The class of a task: by a built-in name, ``package.module:Class`` or ``path/file.py:Class``, whose code is run.

    Raises `TaskError`: no such name, file, module or class, a module that fails when imported, or a class that is no
    `Task`.
    """
    if name not in TASKS and not is_path(name):
        raise TaskError(f"unknown task {name!r}: {hint(name)}")
    return load_class(TASKS[name].task if name in TASKS else name, Task, "task", TaskError)  # type: ignore[type-abstract]


def hint(name: str) -> str:
    """What would be a task's name, the nearest first."""
    return f"{nearest(name, TASKS)}. A task of yours is written package.module:Class or path/file.py:Class"


def settings_class(name: str) -> type[TaskConfig] | None:
    """The class of a task's settings; None where there is no such task. Code of the user's own is run."""
    return find(name).Settings if name in TASKS or is_path(name) else None


def settings(name: str, **values: Any) -> TaskConfig:
    """A task's settings by its name, some of them changed; ConfigError for one that does not exist or cannot work."""
    return read(find(name).Settings, {"name": name, **values}, "task.")


def load(config: TaskConfig, code: Collection[str] = ()) -> Task:
    """The task that ``config.name`` means, built with its settings.

    A run folder is data: settings that come from one run code of the user's own only where `code` names it.

    Raises:
        TaskError: as `find`, or code that nobody named.
        ContractError: a class that cannot be built from its settings.
        ConfigError: settings that the task does not have, or that cannot work.
    """
    if isinstance(config, Kept) and is_path(config.name) and config.name not in code:
        raise TaskError(f"the game {config.name} is code of its own, run only where you name it: --task {config.name}")
    kind = find(config.name)
    own = config if isinstance(config, kind.Settings) else read(kind.Settings, asdict(config), "task.")
    return built(config.name, kind, "its settings", own)

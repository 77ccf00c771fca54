"""The games: importing this registers their environments with gymnasium; `load` finds a task by name.

Light: no torch. A task of your own needs no registration, only its import path.
"""

import importlib
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import gymnasium

from gtr.config import TaskConfig
from gtr.errors import GtrError, TaskError, nearest
from gtr.tasks.task import Task

TASKS = {
    "numberline": "gtr.tasks.numberline:NumberLineTask",
    "ezpoints": "gtr.tasks.points:EZPointsTask",
    "points24": "gtr.tasks.points:Points24Task",
    "blackjack": "gtr.tasks.blackjack:BlackjackTask",
}
"""The built-in tasks and where they live."""

EXTRA_TASKS = {"alfworld": "gtr.tasks.alfworld.task:ALFWorldTask"}
"""Built-in tasks whose environments need one of gtr's extras, which has the task's name."""

ENVIRONMENTS = {
    "gtr/NumberLine-v0": "gtr.tasks.numberline:NumberLineEnv",
    "gtr/EZPoints-v0": "gtr.tasks.points_env:EZPointsEnv",
    "gtr/Points24-v0": "gtr.tasks.points_env:Points24Env",
    "gtr/Blackjack-v0": "gtr.tasks.blackjack:BlackjackEnv",
}
"""The gymnasium ids and where the environments live."""

EXTRA_ENVIRONMENTS = {"gtr/ALFWorld-v0": "gtr.tasks.alfworld.env:ALFWorldEnv"}
"""Those that need one of gtr's extras."""

for _id, _entry in {**ENVIRONMENTS, **EXTRA_ENVIRONMENTS}.items():
    gymnasium.register(_id, entry_point=_entry)


def load(config: TaskConfig) -> Task:
    """The task that ``config.name`` means: a built-in name, ``package.module:Class`` or ``path/file.py:Class``.

    Raises:
        TaskError: no such name, file, module or class; a module that fails when imported; a class that is no `Task`
            or cannot be built from a `TaskConfig`.
    """
    known = {**TASKS, **EXTRA_TASKS}
    path = known.get(config.name, config.name)
    place, colon, name = path.rpartition(":")
    if not colon or not place or not name:
        raise TaskError(
            f"unknown task {config.name!r}: {nearest(config.name, known)}. "
            "A task of yours is written package.module:Class or path/file.py:Class"
        )
    module = _from_file(Path(place)) if place.endswith(".py") else _from_package(place)
    found = vars(module).get(name)
    if found is None:
        classes = [key for key, value in vars(module).items() if isinstance(value, type) and issubclass(value, Task)]
        hint = nearest(name, [key for key in classes if key != "Task"]) if classes else "it defines no Task"
        raise TaskError(f"{place} has no {name!r}: {hint}")
    if not (isinstance(found, type) and issubclass(found, Task)):
        raise TaskError(f"{path} is not a Task: derive the class from gtr.tasks.task.Task")
    try:
        return found(config)
    except GtrError:
        raise
    except Exception as error:
        raise TaskError(f"{path} cannot be built from a TaskConfig: {type(error).__name__}: {error}") from error


def _from_file(path: Path) -> ModuleType:
    """The module in a file, imported once under a name made from its full path."""
    if not path.is_file():
        raise TaskError(f"task file {str(path)!r} does not exist (looked in {Path.cwd()})")
    name = "gtr_task_" + "".join(letter if letter.isalnum() else "_" for letter in str(path.resolve()))
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise TaskError(f"task file {str(path)!r} cannot be read as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, Exception):
            raise TaskError(f"task file {str(path)!r} fails when imported: {_why(error)}") from error
        raise
    return module


def _from_package(name: str) -> ModuleType:
    """A module by its dotted name, the current folder included in the search."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise TaskError(f"task module {name!r} cannot be imported: {_why(error)}") from error


def _why(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"

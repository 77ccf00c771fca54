"""Classes of the user's own by their import path, ``package.module:Class`` or ``path/file.py:Class``; what gtr needs.

Importing runs code: only what the user named may come here, never what a file or a run folder says.
"""

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from packaging.requirements import Requirement

from gtr.contract import blamed, watch
from gtr.errors import DISTRIBUTION, GtrError, nearest

T = TypeVar("T")


def declared() -> list[Requirement]:
    """What the installed package says it needs; nothing where it runs from a checkout that was not installed."""
    try:
        return [Requirement(line) for line in metadata.requires(DISTRIBUTION) or []]
    except metadata.PackageNotFoundError:
        return []


def load_class(path: str, base: type[T], what: str, error: type[GtrError]) -> type[T]:
    """The class at an import path, which must derive from `base`; one of the user's own is watched.

    Args:
        what: what it is to be, for messages, such as ``task``.
        error: raised where there is no such file, module or class, a module fails when imported, or the class is
            another kind of thing.
    """
    place, _, name = path.rpartition(":")
    try:
        module = _from_file(Path(place)) if place.endswith(".py") else _from_package(place)
    except ImportError as problem:
        raise error(f"{what} {problem}") from problem.__cause__
    found = vars(module).get(name)
    if found is None:
        classes = [key for key, value in vars(module).items() if isinstance(value, type) and issubclass(value, base)]
        own = [key for key in classes if key != base.__name__]
        raise error(f"{place} has no {name!r}: " + (nearest(name, own) if own else f"it defines no {base.__name__}"))
    if not (isinstance(found, type) and issubclass(found, base)):
        wanted = f"{base.__module__}.{base.__name__}"
        raise error(f"{path} is no {base.__name__}: derive the class from {wanted}")
    if missing := sorted(getattr(found, "__abstractmethods__", ())):
        raise error(f"{path} is no whole {base.__name__}: define {', '.join(missing)} as {base.__module__} says")
    watch(found)
    return found


def built(path: str, kind: Callable[..., T], what: str, *arguments: Any) -> T:
    """An object of a class that `load_class` found; ContractError where building it raises anything but a `GtrError`.

    Args:
        what: what it is built from, for the message, such as ``(config, task)``.
    """
    try:
        return kind(*arguments)
    except GtrError:
        raise
    except Exception as error:
        raise blamed(f"{path} cannot be built: {_why(error)}", f"let __init__ take {what}", error) from error


def _from_file(path: Path) -> ModuleType:
    """The module in a file, imported once under a name made from its full path."""
    try:
        there = path.is_file()
    except OSError as error:
        raise ImportError(f"file {str(path)[:80]!r} cannot be looked for: {error.strerror}") from error
    if not there:
        raise ImportError(f"file {str(path)!r} does not exist (looked in {Path.cwd()})")
    name = "gtr_own_" + "".join(letter if letter.isalnum() else "_" for letter in str(path.resolve()))
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, Exception):
            raise ImportError(f"file {str(path)!r} fails when imported: {_why(error)}") from error
        raise
    return module


def _from_package(name: str) -> ModuleType:
    """A module by its dotted name, the current folder included in the search."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise ImportError(f"module {name!r} cannot be imported: {_why(error)}") from error


def _why(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"

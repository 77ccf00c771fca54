"""gtr trains vision-language-model agents with reinforcement learning and guided thought.

The command line, in Python (docs/PYTHON.md): ``from gtr import preset, train, evaluate, compare``.
"""

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gtr.compare import compare
    from gtr.config import Config
    from gtr.config.presets import preset
    from gtr.evaluate import evaluate
    from gtr.policy.loading import load_policy
    from gtr.train import train

__all__ = ("Config", "compare", "evaluate", "load_policy", "preset", "train")

_HOMES = {"Config": "gtr.config", "preset": "gtr.config.presets", "load_policy": "gtr.policy.loading"}
_CALLED = ("compare", "evaluate", "train")
"""Functions whose modules have their name: such a module is called as its function is."""


class _Called(ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return vars(self)[self.__name__.rpartition(".")[2]](*args, **kwargs)


class _Package(ModuleType):
    """Importing ``gtr.train`` sets it here, whoever does it first; so this is where it learns to be called."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _CALLED and isinstance(value, ModuleType):
            value.__class__ = _Called
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def _version() -> str:
    """Of the package as it was installed; a checkout that was not installed has none."""
    from importlib import metadata

    from gtr.errors import DISTRIBUTION

    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return "not installed"


def __getattr__(name: str) -> Any:
    """What the package offers, imported when it is asked for: importing gtr stays light."""
    if name in _CALLED:
        return importlib.import_module(f"gtr.{name}")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name == "__version__":
        return _version()
    raise AttributeError(f"module 'gtr' has no attribute {name!r}")

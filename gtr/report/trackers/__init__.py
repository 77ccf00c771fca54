"""Where a run's curves and thoughts are shown besides its own folder: chosen by ``report.trackers``.

A tracker is a class with four methods. Its library is imported when it is chosen and never otherwise.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from gtr.config import Config
from gtr.errors import ConfigError
from gtr.types import Turn


class Tracker(Protocol):
    """What a run tells a tracker, in the order of its updates."""

    def rewind(self, update: int) -> None:
        """The run goes on after `update`: what it told of later ones comes again."""

    def scalars(self, update: int, values: Mapping[str, float]) -> None:
        """One point per metric; values that are not finite are left out."""

    def examples(self, update: int, turns: Sequence[Turn]) -> None:
        """Pictures and thoughts of some of an update's turns."""

    def close(self) -> None:
        """Hands over what is still on its way."""


def _tensorboard(path: Path, config: Config) -> Tracker:
    from gtr.report.trackers.tensorboard import TensorBoard

    return TensorBoard(path / "tensorboard")


def _wandb(path: Path, config: Config) -> Tracker:
    from gtr.report.trackers.wandb import WeightsAndBiases

    return WeightsAndBiases(path, config)


def _trackio(path: Path, config: Config) -> Tracker:
    from gtr.report.trackers.trackio import Trackio

    return Trackio(path, config)


TRACKERS: Mapping[str, Callable[[Path, Config], Tracker]] = {
    "tensorboard": _tensorboard,
    "wandb": _wandb,
    "trackio": _trackio,
}
"""By the name of the package each needs, which is also the name of gtr's extra that brings it."""


def open_trackers(path: Path, config: Config) -> list[Tracker]:
    """The trackers of the run at `path`.

    Raises `ConfigError` where a package is missing, `RunError` where a tracker does not let us in.
    """
    require(config.report.trackers)
    return [TRACKERS[name](path, config) for name in config.report.trackers]


def require(names: Iterable[str]) -> None:
    """Raises `ConfigError` naming the first tracker whose package is not installed and what installs it."""
    for name in names:
        found = find_spec(name)
        # A folder of that name, such as W&B leaves behind, passes for a package without an origin.
        if found is None or found.origin is None:
            raise ConfigError(
                f"report.trackers {name} needs the package {name}, which is not installed: "
                f"pip install 'gtr[{name}]', or leave {name} out of --report.trackers"
            )

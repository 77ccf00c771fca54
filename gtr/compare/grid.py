"""One setting tried at several values: a method becomes as many, each named by its value."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from gtr.config import Config
from gtr.config.io import settings_of
from gtr.errors import ConfigError

GUIDING = ("guidance.", "noise.", "corrector.")
"""Settings that say nothing to a method without guidance."""
DIMENSIONS = {"seed": "--seeds", "sft.seed": "--starts"}
"""Settings that a comparison varies by flags of their own."""


@dataclass(frozen=True)
class Grid:
    """A setting's dotted key, and its values as words of a command line."""

    key: str
    values: tuple[str, ...]

    @property
    def words(self) -> tuple[str, ...]:
        """Of the command line."""
        return ("--grid", self.key, *self.values)


Make = Callable[[str, Mapping[str, str], bool], Config]
"""A method's settings, some of them changed, with or without what the user asked of guidance."""


def read_grid(words: Sequence[str]) -> Grid | None:
    """What stands after ``--grid``. Raises `ConfigError` where it is no setting with values, or has its own flag."""
    if not words:
        return None
    key, *values = words
    if key in DIMENSIONS:
        raise ConfigError(f"--grid {key}: give the values by {DIMENSIONS[key]}")
    if not values or len(set(values)) != len(values):
        said = " ".join(words)
        raise ConfigError(f"--grid {said}: write a setting and its values, each once, as in --grid algo.clip .1 .2")
    return Grid(key, tuple(values))


def along(methods: Iterable[str], grid: Grid | None, make: Make) -> dict[str, Config]:
    """The settings of every method, one per value of the grid: ``gtr noise.wrong=0.2``.

    A method without guidance takes no part in a grid over settings of guidance: it stands there once, as it is.
    """
    configs: dict[str, Config] = {}
    for method in methods:
        if grid is None:
            config = make(method, {}, True)
            configs[config.preset] = config
        elif grid.key.startswith(GUIDING) and (plain := make(method, {}, False)).guidance.corrector == "none":
            configs[plain.preset] = plain
        else:
            tried = [make(method, {grid.key: value}, True) for value in grid.values]
            configs |= {f"{one.preset} {grid.key}={settings_of(one)[grid.key]}": one for one in tried}
    return configs

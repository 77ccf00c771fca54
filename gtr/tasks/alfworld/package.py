"""What lies in the installed ``alfworld`` package, read as plain files.

The package itself is never imported: doing so makes a folder in the user's home and sets ``ALFWORLD_DATA``, behind
the back of whoever set it for real game files.
"""

import functools
import json
import runpy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gtr.errors import TaskError, to_install

INSTALL = to_install("alfworld")
ENGINE = ("textworld", "fast_downward", "tatsu")
"""Modules that the engine is made of."""
VERSIONS = ("alfworld", "textworld", "fast-downward-textworld", "tatsu")
"""Distributions whose versions shape the games."""


def missing() -> tuple[str, ...]:
    """Modules of the engine that are not installed."""
    return tuple(name for name in ("alfworld", *ENGINE) if util.find_spec(name) is None)


def need() -> None:
    """TaskError with the remedy where the engine is not installed."""
    lacking = missing()
    if lacking:
        raise TaskError(f"ALFWorld needs {', '.join(lacking)}, which is not installed: {INSTALL}")


def versions() -> dict[str, str]:
    """Version of each installed distribution that shapes the games."""
    found = {}
    for name in VERSIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@dataclass(frozen=True)
class Logic:
    """The rules that all games share."""

    domain: str
    """PDDL domain."""
    grammar: str
    """Words of commands and feedback; the task's text stands as ``UNKNOWN GOAL``."""


def folder() -> Path:
    """Where the package lies."""
    need()
    spec = util.find_spec("alfworld")
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(next(iter(spec.submodule_search_locations)))


def _read(*parts: str) -> str:
    path = folder().joinpath(*parts)
    try:
        return path.read_text()
    except OSError as error:
        raise TaskError(f"the alfworld package lacks {path}: {error}; reinstall it: {INSTALL}") from error


@functools.cache
def logic() -> Logic:
    """Domain and grammar of this version of the package."""
    return Logic(_read("data", "alfred.pddl"), _read("data", "alfred.twl2"))


@functools.cache
def constants() -> Mapping[str, Any]:
    """What may lie where, and what can be done with it."""
    _read("gen", "constants.py")
    return runpy.run_path(str(folder() / "gen" / "constants.py"))


@functools.cache
def goals() -> Mapping[str, Mapping[str, Any]]:
    """By kind of task: ``pddl`` (goal with ``{obj}``, ``{recep}``, ``{toggle}``) and ``templates`` of its text."""
    _read("gen", "goal_library.py")
    found: Mapping[str, Mapping[str, Any]] = runpy.run_path(str(folder() / "gen" / "goal_library.py"))["gdict"]
    return found


@dataclass(frozen=True)
class FloorPlan:
    """A room without its small things."""

    number: int
    receptacles: Mapping[str, tuple[float, float, float, float]]
    """By id, as ``Drawer|+01.58|+00.17|+02.14``: where one stands before it (x, z in metres; rotation, tilt in
    degrees)."""
    kinds: Sequence[str]
    """Kinds of objects that this room is known to have."""
    floor: NDArray[np.float64]
    """Free points, shape (points, 2), x and z in metres."""


@functools.cache
def floor_plan(number: int) -> FloorPlan:
    """One of the 120 rooms: 1-30 kitchens, 201-230 living rooms, 301-330 bedrooms, 401-430 bathrooms."""
    name = f"FloorPlan{number}"
    poses = json.loads(_read("gen", "layouts", f"{name}-openable.json"))
    kinds = json.loads(_read("gen", "layouts", f"{name}-objects.json"))
    floor = np.load(folder() / "gen" / "layouts" / f"{name}-layout.npy")
    receptacles = {key: (float(p[0]), float(p[1]), float(p[2]), float(p[3])) for key, p in sorted(poses.items())}
    return FloorPlan(number, receptacles, tuple(sorted(kinds)), floor)

"""Whether household tasks can be played on this machine, for ``gtr doctor``."""

import os
import shutil
import sys
from collections.abc import Iterator

from gtr.errors import TaskError
from gtr.imports import declared
from gtr.tasks.alfworld import package
from gtr.tasks.alfworld.engine import Engine
from gtr.tasks.alfworld.games import FOLDERS, GAME_FILE, data_folder
from gtr.tasks.task import Finding


def findings() -> Iterator[Finding]:
    """The engine, started once, and the optional data."""
    lacking, mend = package.missing(), install()
    if len(lacking) > len(package.ENGINE):
        yield Finding(True, "ALFWorld is not installed; it is optional", mend)
        if not any(map(shutil.which, ("c++", "g++", "clang++"))):
            yield Finding(True, "no C++ compiler, which its engine is built with", "apt install g++, or the like")
        return
    if lacking:
        yield Finding(False, f"ALFWorld's engine is incomplete: {', '.join(lacking)} missing", mend)
        return
    try:
        Engine()
    except TaskError as error:
        yield Finding(False, str(error), f"{mend} --force-reinstall")
        return
    yield Finding(True, "ALFWorld: " + ", ".join(f"{name} {version}" for name, version in package.versions().items()))
    yield games()


def games() -> Finding:
    """ALFWorld's own games, by split."""
    if not os.environ.get("ALFWORLD_DATA"):
        return Finding(True, "ALFWorld's own games: ALFWORLD_DATA is not set; generated games need no data")
    try:
        folder = data_folder()
    except TaskError as error:
        return Finding(False, str(error), "alfworld-download, or unset ALFWORLD_DATA")
    counts = {split: sum(1 for _ in (folder / name).glob(f"*/*/{GAME_FILE}")) for split, name in FOLDERS.items()}
    return Finding(True, f"ALFWorld's own games in {folder}: {', '.join(f'{n} {s}' for s, n in counts.items())}")


def install() -> str:
    """The command that installs the engine, from wherever gtr itself came."""
    missing = [
        f"'{one.name}{one.specifier}'"
        for one in declared()
        if one.marker and not one.marker.evaluate({"extra": ""}) and one.marker.evaluate({"extra": "alfworld"})
    ]
    return f"{sys.executable} -m pip install {' '.join(missing)}"

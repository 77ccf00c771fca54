"""Whether a machine is ready, and the exact command that mends what is missing."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from packaging.requirements import Requirement

EXTRAS = {
    "chat": "correctors and agents behind an API",
    "show": "the viewer, and playing in the browser",
    "wandb": "Weights & Biases as tracker",
    "trackio": "trackio as tracker",
}
"""Optional parts and what they are for; ALFWorld has a check of its own."""
SMALL_DISK_GB = 5
"""Below this a tiny run still fits; a 7B checkpoint does not."""


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    fine: bool
    text: str
    remedy: str = ""

    def line(self) -> str:
        """As printed."""
        mark = "ok" if self.fine else "!!"
        return f"{mark}  {self.text}" + (f"\n      -> {self.remedy}" if self.remedy else "")


def report() -> str:
    """All findings as text, the remedies below those that need one."""
    found = list(findings())
    lines = [one.line() for one in found]
    wrong = sum(not one.fine for one in found)
    verdict = "Everything is ready. Try: gtr compare rl4vlm gtr --task ezpoints --seeds 1"
    return "\n".join([*lines, "", f"{wrong} thing(s) to mend." if wrong else verdict, ""])


def findings() -> Iterator[Finding]:
    """Checks the machine, cheap things first."""
    yield python()
    yield from packages()
    yield from (extra(name) for name in EXTRAS)
    yield from guarded(device)
    yield from alfworld()
    yield threads()
    yield disk(Path.cwd())
    yield writable(Path.cwd())


def guarded(check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """A check that needs an installed torch; a broken one is a finding, not a crash."""
    try:
        yield from check()
    except Exception as error:
        mend = f"{sys.executable} -m pip install --force-reinstall torch"
        yield Finding(False, f"torch does not work: {type(error).__name__}: {error}", mend)


def python() -> Finding:
    """The interpreter."""
    fine = sys.version_info >= (3, 11)
    return Finding(fine, f"Python {sys.version.split()[0]}", "" if fine else "install Python 3.11 or newer")


def packages() -> Iterator[Finding]:
    """Every dependency that the package declares, with its version."""
    for line in metadata.requires("gtr") or []:
        wanted = Requirement(line)
        if wanted.marker is None or wanted.marker.evaluate({"extra": ""}):
            yield package(wanted)


def extra(name: str) -> Finding:
    """Whether an optional part is installed; doing without is fine."""
    declared = [Requirement(line) for line in metadata.requires("gtr") or []]
    wanted = [one for one in declared if one.marker is not None and one.marker.evaluate({"extra": name})]
    found = [package(one) for one in wanted]
    if found and all(one.fine for one in found):
        return Finding(True, f"gtr[{name}]: {', '.join(one.text for one in found)}")
    return Finding(True, f"no gtr[{name}] ({EXTRAS[name]}); pip install 'gtr[{name}]' brings it")


def package(wanted: Requirement) -> Finding:
    """Whether a requirement is met here."""
    mend = f"{sys.executable} -m pip install '{wanted.name}{wanted.specifier}'"
    try:
        found = metadata.version(wanted.name)
    except metadata.PackageNotFoundError:
        return Finding(False, f"{wanted.name} is missing", mend)
    if not wanted.specifier.contains(found, prereleases=True):
        return Finding(False, f"{wanted.name} {found}, but {wanted.specifier} is needed", mend)
    return Finding(True, f"{wanted.name} {found}")


def device() -> Iterator[Finding]:
    """What torch computes on."""
    import torch

    for index in range(torch.cuda.device_count()):
        gigabytes = torch.cuda.get_device_properties(index).total_memory / 2**30
        yield Finding(True, f"GPU {index}: {torch.cuda.get_device_name(index)}, {gigabytes:.0f} GiB")
    if not torch.cuda.is_available():
        yield Finding(True, "no GPU: tiny agents train on the CPU; --scale 7b needs one with about 80 GiB")
    if util.find_spec("torchvision") is not None:
        yield torchvision()


def torchvision() -> Finding:
    """Not needed, but a build that does not match torch breaks the processors that look for it."""
    try:
        import torchvision  # type: ignore[import-not-found, unused-ignore]
    except Exception as error:
        mend = f"{sys.executable} -m pip uninstall torchvision"
        return Finding(False, f"torchvision does not fit this torch: {error}", mend)
    return Finding(True, f"torchvision {torchvision.__version__} (optional)")


def alfworld() -> Iterator[Finding]:
    """The optional extra for household tasks: its engine, started once, and its optional data."""
    from gtr.errors import TaskError
    from gtr.tasks.alfworld import package
    from gtr.tasks.alfworld.engine import Engine

    lacking, mend = package.missing(), install("alfworld")
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
    from gtr.errors import TaskError
    from gtr.tasks.alfworld.games import FOLDERS, GAME_FILE, data_folder

    if not os.environ.get("ALFWORLD_DATA"):
        return Finding(True, "ALFWorld's own games: ALFWORLD_DATA is not set; generated games need no data")
    try:
        folder = data_folder()
    except TaskError as error:
        return Finding(False, str(error), "alfworld-download, or unset ALFWORLD_DATA")
    counts = {split: sum(1 for _ in (folder / name).glob(f"*/*/{GAME_FILE}")) for split, name in FOLDERS.items()}
    return Finding(True, f"ALFWorld's own games in {folder}: {', '.join(f'{n} {s}' for s, n in counts.items())}")


def install(extra: str) -> str:
    """The command that installs what one of gtr's extras names, from wherever gtr itself came."""
    wanted = [Requirement(line) for line in metadata.requires("gtr") or []]
    missing = [
        f"'{one.name}{one.specifier}'"
        for one in wanted
        if one.marker and not one.marker.evaluate({"extra": ""}) and one.marker.evaluate({"extra": extra})
    ]
    return f"{sys.executable} -m pip install {' '.join(missing)}"


def threads() -> Finding:
    """Cores, and a warning for settings that make tiny agents slow."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Finding(True, f"{cores} cores; a run uses train.threads of them (1), a comparison one per run")


def disk(folder: Path) -> Finding:
    """Free space where runs go."""
    free = shutil.disk_usage(folder).free / 2**30
    if free < SMALL_DISK_GB:
        return Finding(False, f"only {free:.1f} GiB free in {folder}", "free some space, or use --runs DIR elsewhere")
    return Finding(True, f"{free:.0f} GiB free in {folder}")


def writable(folder: Path) -> Finding:
    """Whether runs can be written here."""
    if os.access(folder, os.W_OK):
        return Finding(True, f"{folder} can be written")
    return Finding(False, f"{folder} cannot be written", "put runs elsewhere: --runs DIR")

"""``gtr doctor``: whether a machine is ready, and the exact command that mends what is missing."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata, util
from pathlib import Path

from packaging.requirements import Requirement

from gtr import tasks
from gtr.cli.argv import parse_nothing
from gtr.errors import DISTRIBUTION, to_install
from gtr.imports import declared
from gtr.tasks.task import Finding

EXTRAS = {
    "chat": "correctors and agents behind an API",
    "hub": "turns as tables with pictures: gtr export, gtr push",
    "show": "the viewer, and playing in the browser",
    "wandb": "Weights & Biases as tracker",
    "trackio": "trackio as tracker",
    "vllm": "sampling by vLLM servers",
}
"""Optional parts and what they are for; games have checks of their own (`Task.findings`)."""
SMALL_DISK_GB = 5
"""Below this a tiny run still fits; a 7B checkpoint does not."""


def doctor(arguments: Sequence[str]) -> None:
    """is this machine ready? versions, devices, disk, and what mends it"""
    parse_nothing(arguments, "doctor", "Checks this machine: versions, devices, disk space, threads.")
    sys.stdout.write(report())


def report() -> str:
    """All findings as text, the remedies below those that need one."""
    found = list(findings())
    lines = [one.line() for one in found]
    wrong = sum(not one.fine for one in found)
    verdict = "Everything is ready. Try: gtr compare rl4vlm gtr --seeds 1"
    return "\n".join([*lines, "", f"{wrong} thing(s) to mend." if wrong else verdict, ""])


def findings() -> Iterator[Finding]:
    """Checks the machine, cheap things first."""
    yield python()
    yield from packages()
    yield from (extra(name) for name in EXTRAS)
    yield engine()
    yield from guarded(device)
    yield from games()
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
    if not declared():
        mend = f"{sys.executable} -m pip install -e ."
        yield Finding(False, f"{DISTRIBUTION} is not installed, so that what it needs cannot be looked up", mend)
    for wanted in declared():
        if wanted.marker is None or wanted.marker.evaluate({"extra": ""}):
            yield package(wanted)


def extra(name: str) -> Finding:
    """Whether an optional part is installed; doing without is fine."""
    wanted = [one for one in declared() if one.marker is not None and one.marker.evaluate({"extra": name})]
    found = [package(one) for one in wanted]
    if found and all(one.fine for one in found):
        return Finding(True, f"{DISTRIBUTION}[{name}]: {', '.join(one.text for one in found)}")
    return Finding(True, f"no {DISTRIBUTION}[{name}] ({EXTRAS[name]}); {to_install(name)} brings it")


def engine() -> Finding:
    """Whether vLLM is at hand; doing without is fine."""
    if shutil.which("vllm") is not None or util.find_spec("vllm") is not None:
        return Finding(True, "vllm is here; `gtr serve-engine MODEL` says how to start a server")
    return Finding(
        True,
        "no vllm here (sampling by servers): it wants an environment of its own, python -m venv ENV; ENV/bin/pip "
        "install vllm; then gtr serve-engine MODEL --python ENV/bin/python",
    )


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


def games() -> Iterator[Finding]:
    """What the games have to say of this machine."""
    for name in tasks.TASKS:
        yield from tasks.find(name).findings()


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

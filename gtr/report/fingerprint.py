"""What else a run depends on beside its settings: versions, code, machine, and the very pictures it starts from."""

import hashlib
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

import gtr
from gtr.config import Config
from gtr.errors import DISTRIBUTION
from gtr.tasks.steps import reset
from gtr.tasks.task import Task

PACKAGES = ("torch", "transformers", "peft", "accelerate", "tokenizers", "gymnasium", "numpy", "pillow", "safetensors")
START_STATES = 8


def fingerprint(
    config: Config,
    task: Task | None = None,
    device: str | None = None,
    competence: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """A record for ``fingerprint.json``; two runs with equal settings and fingerprints give equal curves.

    `task` adds the hash of the first start states; `device` is the trainer's device, else it is looked up;
    `competence` says how able the starting agent is that SFT made.
    """
    return {
        "command": sys.argv,
        "gtr": _version(DISTRIBUTION),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "code": code_version(),
        "platform": platform.platform(),
        "device": device or device_name(),
        "threads": config.train.threads,
        "processes": int(os.environ.get("WORLD_SIZE", "1")),
        "seeds": {"run": config.seed, "sft": config.sft.seed},
        "task": {} if task is None else dict(task.describe()),
        "starting_agent": dict(competence or {}),
        "start_states": None if task is None else start_states(task),
    }


def start_states(task: Task, count: int = START_STATES) -> str:
    """A hash of the pictures of the first `count` start states from seed 0: changes when the game or its look does."""
    rng = np.random.default_rng(0)
    digest = hashlib.sha256()
    env = task.make_env()
    try:
        for _ in range(count):
            image, _ = reset(env, task.reset_arguments(rng))
            digest.update(repr(np.asarray(image).shape).encode() + np.asarray(image).tobytes())
    finally:
        env.close()
    return digest.hexdigest()[:20]


def code_version() -> Mapping[str, Any] | None:
    """Commit and whether it has uncommitted changes, when gtr runs from a git checkout; else None."""
    package = Path(gtr.__file__).parent
    if _git(package, "ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    changes = _git(package, "status", "--porcelain", "--untracked-files=no", ".")
    return {"commit": _git(package, "rev-parse", "HEAD"), "dirty": bool(changes)}


def device_name() -> str:
    """The accelerator's name, or ``cpu`` and its model."""
    import torch

    if torch.cuda.is_available():
        return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
    return f"cpu, {os.cpu_count()} cores, {platform.processor() or platform.machine()}"


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What would keep a resumed run from following the first one bit for bit, as ``key: old -> new``."""
    keys = ("python", "packages", "code", "device", "threads", "processes", "task", "start_states")
    return [f"{key}: {old.get(key)} -> {new.get(key)}" for key in keys if old.get(key) != new.get(key)]


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git(folder: Path, *arguments: str) -> str | None:
    """Output of a git command, or None where it fails or there is no git."""
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None

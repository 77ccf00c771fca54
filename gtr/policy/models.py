"""Names of models: what `policy.model` may say, before anything is loaded."""

import os
import re
from pathlib import Path

from gtr.errors import GtrError, PolicyError, RunError, nearest
from gtr.report.inside import names_inside

CHECKPOINT = re.compile(r"update_(\d+)")
"""How finished checkpoints of a run are named."""
BUILT_IN_MODELS = ("tiny-llava", "tiny-llava-next", "tiny-qwen2.5-vl")


def check_model(model: str, key: str = "policy.model", error: type[GtrError] = PolicyError) -> None:
    """An `error` for what can be no model: asking a hub for a mistyped folder costs a minute without a network."""
    path = Path(model)
    if model in BUILT_IN_MODELS or os.path.isdir(model):
        return
    if os.path.isdir(path.parent) and len(path.parts) > 1:
        # A hub id has an owner, and no folder here is likely to be called like one.
        beside = [str(path.parent / name) for name in names_inside(path.parent, ".")]
        hint = nearest(model, beside) if beside else "the folder is empty"
        raise error(f"{key}: there is no folder '{model}': {hint}")
    if not re.fullmatch(r"\w[\w.-]*/[\w.-]+", model):
        hint = nearest(model, BUILT_IN_MODELS)
        raise error(f"{key}: '{model[:200]}' is no folder here and no hub id (owner/name). {hint}")


def checkpoints_in(folder: Path) -> list[Path]:
    """All finished checkpoints, oldest first."""
    if not folder.is_dir():
        return []
    named = [(int(name[1]), path) for path in folder.iterdir() if (name := CHECKPOINT.fullmatch(path.name))]
    return [path for _, path in sorted(named) if path.is_dir() and not path.is_symlink()]


def model_folder(path: str) -> str:
    """Where a model lies: of a run folder its last checkpoint's, of a checkpoint its own; else the path, or hub id.

    Raises `RunError` for a run that has no checkpoint.
    """
    folder = Path(path)
    if (folder / "state.json").exists() and (folder / "model").is_dir():
        return str(folder / "model")
    if not (folder / "config.json").exists() or not (folder / "checkpoints").is_dir():
        return path
    saved = checkpoints_in(folder / "checkpoints")
    if not saved:
        raise RunError(f"{folder} holds no finished checkpoint; train it on with: gtr train --resume {folder}")
    return str(saved[-1] / "model")

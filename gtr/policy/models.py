"""Names of models: what `policy.model` may say, before anything is loaded."""

import re
from pathlib import Path

from gtr.errors import GtrError, PolicyError, nearest
from gtr.report.inside import names_inside

BUILT_IN_MODELS = ("tiny-llava", "tiny-llava-next", "tiny-qwen2.5-vl")


def check_model(model: str, key: str = "policy.model", error: type[GtrError] = PolicyError) -> None:
    """An `error` for what can be no model: asking a hub for a mistyped folder costs a minute without a network."""
    path = Path(model)
    if model in BUILT_IN_MODELS or path.is_dir():
        return
    if path.parent.is_dir() and len(path.parts) > 1:
        # A hub id has an owner, and no folder here is likely to be called like one.
        beside = [str(path.parent / name) for name in names_inside(path.parent, ".")]
        hint = nearest(model, beside) if beside else "the folder is empty"
        raise error(f"{key}: there is no folder '{model}': {hint}")
    if not re.fullmatch(r"\w[\w.-]*/[\w.-]+", model):
        hint = nearest(model, BUILT_IN_MODELS)
        raise error(f"{key}: '{model}' is no folder here and no hub id (owner/name). {hint}")

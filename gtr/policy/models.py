"""Names of models: what `policy.model` may say, before anything is loaded."""

import re
from pathlib import Path

from gtr.errors import GtrError, PolicyError, nearest

BUILT_IN_MODELS = ("tiny-llava", "tiny-llava-next", "tiny-qwen2.5-vl")


def check_model(model: str, key: str = "policy.model", error: type[GtrError] = PolicyError) -> None:
    """An `error` for what can be no model: asking a hub for a mistyped folder costs a minute without a network."""
    known = model in BUILT_IN_MODELS or Path(model).is_dir() or re.fullmatch(r"\w[\w.-]*/[\w.-]+", model)
    if not known:
        hint = nearest(model, BUILT_IN_MODELS)
        raise error(f"{key}: '{model}' is no folder here and no hub id (owner/name). {hint}")

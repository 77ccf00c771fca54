"""Names of models: what `policy.model` may say, before anything is loaded."""

import os
import re

from gtr.errors import PolicyError, nearest

BUILT_IN_MODELS = ("tiny-llava", "tiny-llava-next", "tiny-qwen2.5-vl")


def check_model(model: str) -> None:
    """PolicyError for what can be no model: asking a hub for a mistyped folder costs a minute without a network."""
    known = model in BUILT_IN_MODELS or os.path.isdir(model) or re.fullmatch(r"\w[\w.-]*/[\w.-]+", model)
    if not known:
        hint = nearest(model, BUILT_IN_MODELS)
        raise PolicyError(f"policy.model: '{model[:200]}' is no folder here and no hub id (owner/name). {hint}")

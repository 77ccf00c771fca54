"""The policy's weights in a folder, as an inference engine reads them."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from gtr.errors import EngineError
from gtr.policy.families import family_of
from gtr.policy.policy import Policy
from gtr.policy.sharding import whole_state

LANGUAGE = ".language_model."
"""What the names of the language model's weights hold in every family of transformers."""
ADAPTER = "adapter_model.safetensors"


def export(policy: Policy, folder: Path, adapter: bool) -> None:
    """Writes all weights, LoRA's merged into them, or the LoRA adapter alone; the policy stays as it is.

    Raises `EngineError` for an adapter that an engine would apply in part only.
    """
    model: Any = policy.network.model
    if adapter:
        check_adapter(model)
        model.save_pretrained(folder, state_dict=whole_state(model))
        return
    whole = model.get_base_model() if hasattr(model, "get_base_model") else model
    family = family_of(whole)
    weights = {family.served(name): tensor for name, tensor in merged(whole).items()}
    whole.save_pretrained(folder, state_dict=weights)
    policy.processor.save_pretrained(folder)


def check_adapter(model: Any) -> None:
    """Raises `EngineError` where there is no adapter, or where it touches more than the language model."""
    learnt = [name for name, weight in model.named_parameters() if weight.requires_grad]
    beside = [name for name in learnt if LANGUAGE not in name]
    if not hasattr(model, "get_base_model"):
        raise EngineError("engine.sync adapter, but policy.finetune is full: set engine.sync full")
    if beside:
        raise EngineError(
            f"engine.sync adapter, but LoRA also learns {beside[0]}, which vLLM would ignore without a word: set "
            "policy.lora_target language, or engine.sync full"
        )


def merged(model: Any) -> Mapping[str, Tensor]:
    """A model's weights by the names that they have without LoRA, whose products are added to copies."""
    found: dict[str, Tensor] = {}
    layers = {name: layer for name, layer in model.named_modules() if hasattr(layer, "get_delta_weight")}
    for name, weight in whole_state(model).items():
        owner = name.removesuffix(".base_layer.weight")
        if owner in layers:
            weight = weight + layers[owner].get_delta_weight("default").to(weight.dtype)
        if ".lora_" not in name:
            found[name.replace(".base_layer.", ".")] = weight
    return found


def adapter_name(folder: Path) -> str:
    """A name that no other adapter has: engines keep what they computed under a name."""
    return "gtr-" + hashlib.sha256((folder / ADAPTER).read_bytes()).hexdigest()[:16]

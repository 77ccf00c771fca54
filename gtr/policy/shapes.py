"""A model's shape without its weights: on torch's meta device, where tensors have sizes and no memory."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForImageTextToText, LlavaNextConfig, Qwen2_5_VLConfig, Qwen3VLConfig

from gtr.config import PolicyConfig
from gtr.errors import PolicyError
from gtr.policy.families import one_tile
from gtr.policy.folder import check_files
from gtr.policy.loading import BESIDE_LANGUAGE, SAFE, first_line, prepare
from gtr.policy.models import BUILT_IN_MODELS, check_model
from gtr.policy.value import ValueHead

KNOWN: Mapping[str, tuple[type[Any], Mapping[str, Any]]] = {
    "llava-hf/llava-v1.6-mistral-7b-hf": (
        LlavaNextConfig,
        {
            "vision_config": {
                **{"model_type": "clip_vision_model", "hidden_size": 1024, "intermediate_size": 4096},
                **{"num_hidden_layers": 24, "num_attention_heads": 16, "image_size": 336, "patch_size": 14},
            },
            "text_config": {
                **{"model_type": "mistral", "hidden_size": 4096, "intermediate_size": 14336, "vocab_size": 32064},
                **{"num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8},
            },
        },
    ),
    "Qwen/Qwen2.5-VL-7B-Instruct": (
        Qwen2_5_VLConfig,
        {
            "tie_word_embeddings": False,
            "text_config": {
                **{"hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28, "vocab_size": 152064},
                **{"num_attention_heads": 28, "num_key_value_heads": 4, "tie_word_embeddings": False},
            },
            "vision_config": {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "out_hidden_size": 3584},
        },
    ),
    "Qwen/Qwen2.5-VL-3B-Instruct": (
        Qwen2_5_VLConfig,
        {
            "tie_word_embeddings": True,
            "text_config": {
                **{"hidden_size": 2048, "intermediate_size": 11008, "num_hidden_layers": 36, "vocab_size": 151936},
                **{"num_attention_heads": 16, "num_key_value_heads": 2, "tie_word_embeddings": True},
            },
            "vision_config": {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "out_hidden_size": 2048},
        },
    ),
    "Qwen/Qwen3-VL-2B-Instruct": (
        Qwen3VLConfig,
        {
            "tie_word_embeddings": True,
            "text_config": {
                **{"hidden_size": 2048, "intermediate_size": 6144, "num_hidden_layers": 28, "vocab_size": 151936},
                **{"num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128, "tie_word_embeddings": True},
            },
            "vision_config": {
                **{"depth": 24, "hidden_size": 1024, "intermediate_size": 4096, "num_heads": 16, "patch_size": 16},
                **{"out_hidden_size": 2048, "deepstack_visual_indexes": [5, 11, 17]},
            },
        },
    ),
}
"""Shapes of published models, for machines that cannot reach a hub."""


@dataclass(frozen=True)
class Shape:
    """What memory depends on."""

    weights: int
    """Of the base model."""
    trained: int
    """Weights that learn, adapters and value head included."""
    added: int
    """Weights beside the base model's: adapters and value head, always in float32."""
    hidden: int
    inner: int
    """Width between the two halves of a decoder layer's MLP."""
    layers: int
    """Of the decoder."""
    cached: int
    """Numbers that a decoder layer keeps of a token while sampling: keys and values."""
    queries: int
    """Width of a decoder layer's queries."""
    vocabulary: int
    picture_tokens: int
    """Of one picture in the prompt."""
    packable: int = 0
    """Weights of the language model's linear layers, which `policy.load_in_4bit` packs."""


def shape_of(config: PolicyConfig, image_size: int) -> Shape:
    """The shape of the agent that these settings ask for, pictures being squares of `image_size` pixels.

    Raises:
        PolicyError: the model is neither known here nor to be had.
    """
    settings = model_config(config.model)
    try:
        return _shape_of(settings, config, image_size)
    except Exception as error:
        # A folder's configuration may be of another kind of model, or hold any numbers.
        raise PolicyError(
            f"policy.model: '{config.model}' has no shape that can be computed ({type(error).__name__}: "
            f"{str(error)[:200]}): give an image-text-to-text model"
        ) from error


def _shape_of(settings: Any, config: PolicyConfig, image_size: int) -> Shape:
    settings = one_tile(settings) if config.tiles == "one" else settings
    with torch.device("meta"):
        base = AutoModelForImageTextToText.from_config(settings)
        text = settings.get_text_config()
        weights = sum(p.numel() for p in base.parameters())
        linear = [one for one in base.named_modules() if isinstance(one[1], nn.Linear)]
        packable = sum(one.weight.numel() for name, one in linear if not re.fullmatch(BESIDE_LANGUAGE, name))
        model = prepare(base, config, None)
        head = ValueHead(text.hidden_size, config.value_hidden)
    parts = [*model.parameters(), *head.parameters()]
    width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    return Shape(
        weights=weights,
        trained=sum(p.numel() for p in parts if p.requires_grad),
        added=sum(p.numel() for p in parts) - weights,
        hidden=text.hidden_size,
        inner=text.intermediate_size,
        layers=text.num_hidden_layers,
        cached=2 * text.num_key_value_heads * width,
        queries=text.num_attention_heads * width,
        vocabulary=text.vocab_size,
        picture_tokens=picture_tokens(settings, image_size),
        packable=packable,
    )


def model_config(model: str) -> Any:
    """A model's configuration: from a folder, from the table, or from the hub."""
    if model in KNOWN and not Path(model).is_dir():
        kind, settings = KNOWN[model]
        return kind(**settings)
    check_model(model)
    if model in BUILT_IN_MODELS:
        raise PolicyError(f"policy.model: {model} is made for each game, and small: it needs no plan")
    check_files(Path(model))
    try:
        return AutoConfig.from_pretrained(model, **SAFE)
    except Exception as error:
        raise PolicyError(
            f"policy.model: the shape of '{model}' cannot be had ({first_line(error)}); give a folder with "
            f"its config.json, or one of {', '.join(KNOWN)}"
        ) from error


def picture_tokens(settings: Any, size: int) -> int:
    """Tokens of a square picture of `size` pixels in the prompt."""
    vision = settings.vision_config
    if settings.model_type.startswith("qwen"):
        step = vision.patch_size * vision.spatial_merge_size
        return int(max(2, round(size / step)) ** 2)
    side = vision.image_size // vision.patch_size
    if settings.model_type != "llava_next":
        return int(getattr(settings, "image_seq_length", None) or side**2)
    # The picture whole, and in tiles: up to one tile's size it is shown in one, and each of its rows ends in a token.
    rows = side if size <= vision.image_size else 2 * side
    return int(side**2 + rows**2 + rows)

"""All that gtr knows about particular model families, in one table; everything else works from their interfaces."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch
from torch import nn
from transformers import CLIPImageProcessorPil, LlavaConfig, LlavaNextProcessor, LlavaProcessor

from gtr.errors import PolicyError


@dataclass(frozen=True)
class Family:
    """What differs between families of image-text-to-text models.

    Example: Qwen2.5-VL computes its own three-dimensional positions, so `own_positions` is True.
    """

    own_positions: bool = False
    """The model derives positions from token ids and image grids; passing `position_ids` would break them."""
    reply_type: int = 0
    """The `token_type_ids` of a reply's tokens, where the model has such: 1 where 0 marks a prefix whose tokens see
    one another both ways, so that a reply read as 0 would see its own future."""
    served_as: tuple[str, str] | None = None
    """What weights are called in a folder, and what vLLM wants to read instead."""
    shares: bool = True
    """Text before the picture may be read once for all prompts (`gtr.policy.prefix`): its tokens see nothing later, and
    all that is kept of them are keys and values."""
    vision: tuple[str, ...] = ("vision_tower", "visual", "vision_model")
    """Names of submodules that hold the vision tower."""

    def served(self, weight: str) -> str:
        """What vLLM calls a weight."""
        if self.served_as is None or self.served_as[1] in weight:
            return weight
        return weight.replace(*self.served_as)


CLIP_TOWER = ("vision_tower.", "vision_tower.vision_model.")
FAMILIES: dict[str, Family] = {
    "aya_vision": Family(),
    "cohere2_vision": Family(),
    "gemma3": Family(shares=False),
    "glm46v": Family(own_positions=True),
    "glm4v": Family(own_positions=True),
    "got_ocr2": Family(),
    "idefics2": Family(),
    "idefics3": Family(),
    "internvl": Family(),
    "lfm2_vl": Family(shares=False),
    "lighton_ocr": Family(vision=("vision_encoder",)),
    "llava": Family(served_as=CLIP_TOWER),
    "llava_next": Family(served_as=CLIP_TOWER),
    "llava_onevision": Family(),
    "mistral3": Family(),
    "ovis2": Family(),
    "paligemma": Family(own_positions=True, reply_type=1, shares=False),
    "qwen2_5_vl": Family(own_positions=True),
    "qwen2_vl": Family(own_positions=True),
    "qwen3_5": Family(own_positions=True, shares=False),
    "qwen3_vl": Family(own_positions=True),
    "smolvlm": Family(),
    "vipllava": Family(),
}
"""By `config.model_type`. Of each, a small model has been seen to score its own samples alike (a test)."""


def family_of(model: nn.Module) -> Family:
    """The row of the table for a loaded model; families that are not listed take the defaults, and positions of their
    own if they can make them."""
    kind = str(model.config.model_type)  # type: ignore[union-attr]
    own = any(callable(getattr(module, "get_rope_index", None)) for module in model.modules())
    return FAMILIES.get(kind, Family(own_positions=own, shares=False))


def check_usable(model: nn.Module, path: str) -> None:
    """PolicyError for a model that does not write its reply as a continuation of the prompt."""
    kind = str(model.config.model_type)  # type: ignore[union-attr]
    decoder = "logits_to_keep" in signature(model.forward).parameters
    if getattr(model.config, "is_encoder_decoder", False) or not decoder:
        raise PolicyError(
            f"policy.model: '{path}' is of type {kind}, which does not continue a prompt token by token as a decoder "
            f"does; give a model of another type, for example {', '.join(FAMILIES)}"
        )


def vision_modules(model: nn.Module) -> list[nn.Module]:
    """The vision tower's modules of a loaded model; PolicyError if it has none under a known name."""
    names = family_of(model).vision
    found = [module for name, module in model.named_modules() if name.rsplit(".", 1)[-1] in names]
    if not found:
        raise PolicyError(
            f"policy.freeze_vision: this model has no part named {', '.join(names)}; set it to False, or name the "
            "vision tower of its family in gtr/policy/families.py"
        )
    return found


def picture_ids(config: Any) -> frozenset[int]:
    """Ids of the tokens that a model's config names for pictures, and for where they begin and end."""
    keys = ("image_token", "video_token", "vision_start_token", "vision_end_token", "boi_token", "eoi_token")
    found = [getattr(config, f"{key}_id", getattr(config, f"{key}_index", None)) for key in keys]
    return frozenset(int(one) for one in found if one is not None)


def forbidden_ids(model_config: Any, tokenizer: Any, end_ids: Sequence[int], vocabulary: int) -> list[int]:
    """Token ids that a reply may never hold: special and image tokens, and rows beyond the tokeniser's vocabulary.

    A policy that samples an image placeholder breaks its own next forward pass.
    """
    ids = set(tokenizer.all_special_ids)
    ids |= {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    ids |= picture_ids(model_config)
    ids |= set(range(len(tokenizer), vocabulary))
    return sorted(i for i in ids - set(end_ids) if 0 <= i < vocabulary)


def one_tile(config: Any) -> Any:
    """LLaVA-NeXT's config as that of LLaVA, which its weights without tiles are; any other as it is."""
    if config.model_type != "llava_next":
        return config
    kept = LlavaConfig().to_dict().keys() - {"model_type", "architectures"}
    return LlavaConfig(**{key: value for key, value in config.to_dict().items() if key in kept})


def one_tile_processor(processor: Any) -> Any:
    """LLaVA-NeXT's processor as LLaVA's, which shows pictures whole; any other as it is."""
    if not isinstance(processor, LlavaNextProcessor):
        return processor
    shown = processor.image_processor
    names = ("size", "crop_size", "image_mean", "image_std", "do_center_crop", "do_resize", "do_normalize", "resample")
    return LlavaProcessor(
        image_processor=CLIPImageProcessorPil(**{name: getattr(shown, name) for name in names}),
        tokenizer=processor.tokenizer,
        patch_size=processor.patch_size,
        vision_feature_select_strategy=processor.vision_feature_select_strategy,
        num_additional_image_tokens=processor.num_additional_image_tokens,
        image_token=processor.image_token,
        chat_template=processor.chat_template,
    )


class GridProcessor:
    """Image processor and tokeniser side by side, for Qwen-VL models where their own processor cannot be loaded.

    The official processor wants torchvision for its video half. This one serves pictures only: one image token per
    merged patch, as the official one.
    """

    def __init__(self, image_processor: Any, tokenizer: Any, image_token: str) -> None:
        self.image_processor, self.tokenizer, self.image_token = image_processor, tokenizer, image_token

    def apply_chat_template(self, messages: Any, **options: Any) -> str:
        return str(self.tokenizer.apply_chat_template(messages, **options))

    def __call__(
        self, images: Any, text: str, return_tensors: str = "pt", add_special_tokens: bool = True
    ) -> dict[str, torch.Tensor]:
        pixels = self.image_processor(images=images, return_tensors=return_tensors)
        merge = self.image_processor.merge_size**2
        between = text.split(self.image_token)
        grids = pixels["image_grid_thw"].tolist()
        if len(between) != len(grids) + 1:
            raise PolicyError(
                f"the chat template of this model wrote {self.image_token} {len(between) - 1} times for {len(grids)} "
                "picture(s)"
            )
        patches = [self.image_token * (math.prod(grid) // merge) for grid in grids]
        whole = between[0] + "".join(patch + after for patch, after in zip(patches, between[1:], strict=True))
        tokens = self.tokenizer(whole, return_tensors=return_tensors, add_special_tokens=add_special_tokens)
        kinds = (tokens["input_ids"] == self.tokenizer.convert_tokens_to_ids(self.image_token)).long()
        return {**tokens, **pixels, "mm_token_type_ids": kinds}

    def save_pretrained(self, folder: str) -> None:
        self.image_processor.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

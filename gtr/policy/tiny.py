"""Tiny models of real classes, built on the spot: the embedded default, and what the tests walk the street with.

A few seconds of CPU make a complete model folder (config, random weights, processor, tokeniser, chat template) that
`AutoModelForImageTextToText` loads like any other. The tokeniser is learnt from the task's own replies, so that a
whole answer is about 25 tokens.
"""

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaNextImageProcessorPil,
    LlavaNextProcessor,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2VLImageProcessorPil,
)

from gtr.errors import PolicyError, nearest
from gtr.policy.seeded import seeded

VOCABULARY = 382
FEW_WORDS, LARGE_VOCABULARY = 40, 1024
"""Games of more words than the first get word tokens and up to the second many of them: names cut into pieces would
make a household's answers three times as long."""
BESIDE_ACTION = r'", "action": "|"\}|\n</think><answer>|</answer>'
"""What stands around an action: tokens of their own, so that none holds parts of an action and of a thought."""
ACTS_IN_WORDS = r'(?:"action": "|<answer>)[A-Za-z]'
SYMBOLS = r"\d+|[-+*/()=]"
WORDS = r'\d+|(?:, |\{)"[a-z]+": "|"\}| ?[A-Za-z]+ (?=\d)| ?[A-Za-z]+|[;,] |[-+*/()=]'
"""What stays together when texts are cut before tokens are learnt; a name keeps the blank before its number."""
IMAGE, PAD, BOS, EOS = "<image>", "<pad>", "<s>", "</s>"
PATCH = 24

# The picture comes late, right before the answer: a tiny model loses what it read over many tokens of text. It is
# not the very last token: Qwen-VL's incremental positions are wrong after a prompt that ends in a picture.
CHAT_TEMPLATE = (
    "<s>{% for message in messages %}{% set said = message['role'] == 'assistant' %}{{ '\\n' if said }}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}IMAGE{% endif %}{% endfor %}"
    "{{ '</s>' if said }}{% endfor %}"
    "{{ '\\n' }}"
)


def tokenizer_for(texts: Iterable[str], image_token: str = IMAGE) -> Any:
    """A byte-level BPE tokeniser of `VOCABULARY` tokens learnt from `texts`; numbers and operators stay whole tokens.

    Words are not split at white space, so that fixed stretches of JSON become single tokens. Where there are many
    words they are, and the JSON around a key is a token of its own; where actions are words, what stands around them.
    """
    texts = list(texts)
    wordy = len({word for text in texts for word in re.findall("[A-Za-z]+", text)}) > FEW_WORDS
    symbols = f"{BESIDE_ACTION}|{SYMBOLS}" if any(re.search(ACTS_IN_WORDS, text) for text in texts) else SYMBOLS
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS if wordy else symbols), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=LARGE_VOCABULARY if wordy else VOCABULARY,
        special_tokens=[PAD, BOS, EOS, image_token],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=EOS,
        additional_special_tokens=[image_token],
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def _clip(image_size: int) -> Any:
    return CLIPVisionConfig(
        hidden_size=96,
        intermediate_size=192,
        num_hidden_layers=3,
        num_attention_heads=4,
        image_size=image_size,
        patch_size=PATCH,
        projection_dim=96,
    )


def _llama(tokenizer: Any) -> Any:
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=320,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=2048,
        tie_word_embeddings=False,
        **_ids(tokenizer),
    )


def _ids(tokenizer: Any) -> dict[str, int]:
    return {
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }


def _llava_config(tokenizer: Any, image_size: int) -> dict[str, Any]:
    """What configs of LLaVA and LLaVA-NeXT share."""
    return {
        "vision_config": _clip(image_size),
        "text_config": _llama(tokenizer),
        "image_token_index": tokenizer.convert_tokens_to_ids(IMAGE),
        "vision_feature_layer": -1,
        "vision_feature_select_strategy": "default",
        "image_seq_length": (image_size // PATCH) ** 2,
        "tie_word_embeddings": False,
        **_ids(tokenizer),
    }


def _llava_processor(tokenizer: Any) -> dict[str, Any]:
    """What their processors share."""
    return {
        "tokenizer": tokenizer,
        "patch_size": PATCH,
        "vision_feature_select_strategy": "default",
        "num_additional_image_tokens": 1,
        "image_token": IMAGE,
        "chat_template": CHAT_TEMPLATE.replace("IMAGE", IMAGE),
    }


def _llava(texts: Iterable[str], image_size: int) -> tuple[Any, Any]:
    tokenizer = tokenizer_for(texts)
    size = {"height": image_size, "width": image_size}
    images = CLIPImageProcessorPil(size=size, do_center_crop=False, do_convert_rgb=False)
    processor = LlavaProcessor(image_processor=images, **_llava_processor(tokenizer))
    return LlavaForConditionalGeneration(LlavaConfig(**_llava_config(tokenizer, image_size))), processor


def _llava_next(texts: Iterable[str], image_size: int) -> tuple[Any, Any]:
    tokenizer = tokenizer_for(texts)
    grid = [[image_size, image_size]]
    config = LlavaNextConfig(**_llava_config(tokenizer, image_size), image_grid_pinpoints=grid)
    images = LlavaNextImageProcessorPil(
        size={"shortest_edge": image_size},
        crop_size={"height": image_size, "width": image_size},
        image_grid_pinpoints=grid,
    )
    processor = LlavaNextProcessor(image_processor=images, **_llava_processor(tokenizer))
    return LlavaNextForConditionalGeneration(config), processor


def _qwen(texts: Iterable[str], image_size: int) -> tuple[Any, Any]:
    from gtr.policy.families import GridProcessor

    image_token = "<|image_pad|>"
    tokenizer = tokenizer_for(texts, image_token)
    tokenizer.chat_template = CHAT_TEMPLATE.replace("IMAGE", image_token)
    image = tokenizer.convert_tokens_to_ids(image_token)
    side = image_size // 24 * 24
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 128,
            "intermediate_size": 320,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "num_key_value_heads": 4,
            "max_position_embeddings": 2048,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 6, 6]},
            **_ids(tokenizer),
        },
        vision_config={
            "depth": 3,
            "hidden_size": 96,
            "intermediate_size": 192,
            "num_heads": 4,
            "patch_size": PATCH // 2,
            "spatial_merge_size": 2,
            "out_hidden_size": 128,
            "fullatt_block_indexes": [2],
            "window_size": 96,
        },
        image_token_id=image,
        # Ids that no tokeniser of this size holds: the defaults lie outside the vocabulary and would match nothing.
        video_token_id=len(tokenizer) + 1,
        vision_start_token_id=len(tokenizer) + 2,
        vision_end_token_id=len(tokenizer) + 3,
        tie_word_embeddings=False,
        **_ids(tokenizer),
    )
    images = Qwen2VLImageProcessorPil(
        patch_size=PATCH // 2, merge_size=2, size={"shortest_edge": side * side, "longest_edge": side * side}
    )
    return Qwen2_5_VLForConditionalGeneration(config), GridProcessor(images, tokenizer, image_token)


BUILDERS: dict[str, Callable[[Iterable[str], int], tuple[Any, Any]]] = {
    "tiny-llava": _llava,
    "tiny-llava-next": _llava_next,
    "tiny-qwen2.5-vl": _qwen,
}


def build(kind: str, texts: Iterable[str], image_size: int, seed: int, folder: Path) -> Path:
    """Builds a tiny model with random weights into `folder` and returns it.

    Args:
        kind: a key of `BUILDERS`.
        texts: sample prompts and replies that the tokeniser is learnt from.
        image_size: side of the square picture that the vision tower sees, in pixels; a multiple of 24.
        seed: of the random weights; the global generator is left as it was.
    """
    if kind not in BUILDERS:
        raise PolicyError(f"policy.model: no built-in model '{kind}'; {nearest(kind, BUILDERS)}")
    if image_size % PATCH:
        raise PolicyError(f"task.image_size is {image_size}; {kind} needs a multiple of {PATCH}, for example 96")
    with seeded(seed):
        model, processor = BUILDERS[kind](texts, image_size)
    folder.mkdir(parents=True, exist_ok=True)
    model.generation_config.update(**_ids(processor.tokenizer))
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder

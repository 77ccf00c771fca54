"""Families with their own processor and chat template, from folders that the tests make: the contract of every family.

A folder holds a random model of two layers, a tokeniser with the family's special tokens, its image processor and its
processor. All of it goes through `load_policy`, as a published model would.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from families import BOS, EOS, IMAGE, PAD, SETTINGS
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForImageTextToText, PreTrainedTokenizerFast

from gtr import checkpoint
from gtr.config import PolicyConfig, TrainConfig
from gtr.learner import make_optimizer
from gtr.policy.families import FAMILIES
from gtr.policy.loading import load_policy
from gtr.policy.policy import Policy
from gtr.types import Exchange, Prompt, Reply

BEGINNING = {PAD: "<pad>", BOS: "<s>", EOS: "</s>"}
FIXED = 64
"""Special tokens come first, at ids that `families.SETTINGS` names."""
TEMPLATE = (
    "{{ BEGUN }}{% for message in messages %}{{ message['role'] + ':' }}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}MARK{% else %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{{ '</s>' if message['role'] == 'assistant' }}{{ '\n' }}{% endfor %}assistant:"
)


@dataclass(frozen=True)
class Made:
    """What a family's processor is made of."""

    processor: str
    images: str
    """Class of its image processor."""
    shown: Mapping[str, Any]
    """Settings of that."""
    mark: str = "<image>"
    """What its chat template writes for a picture."""
    begun: str = "<s>"
    """What it writes before all else."""
    tokens: Mapping[int, str] = field(default_factory=lambda: {IMAGE: "<image>"})
    """Its special tokens by id."""
    named: Mapping[str, str] = field(default_factory=dict)
    """Those that its tokeniser knows by name."""
    own: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the processor."""
    video: str = ""
    """Class of its video processor, which wants torchvision as some image processors do."""
    model: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the model in place of `families.SETTINGS`."""


SQUARE = {"size": {"height": 32, "width": 32}}
PIXTRAL = {"size": {"longest_edge": 48}, "patch_size": {"height": 8, "width": 8}}
TILES = {"size": {"longest_edge": 32}, "max_image_size": {"longest_edge": 32}, "do_image_splitting": False}
GRIDS = {"patch_size": 8, "merge_size": 2, "size": {"shortest_edge": 256, "longest_edge": 2048}}
QWEN = {"mark": "<|vision_start|><|image_pad|><|vision_end|>"} | {
    "tokens": {IMAGE: "<|image_pad|>", 60: "<|video_pad|>", 61: "<|vision_start|>", 62: "<|vision_end|>"}
}
GLM = {"mark": "<|begin_of_image|><|image|><|end_of_image|>"} | {
    "tokens": {
        **{IMAGE: "<|image|>", 60: "<|video|>", 61: "<|begin_of_image|>", 62: "<|end_of_image|>"},
        **{63: "<|begin_of_video|>", 59: "<|end_of_video|>"},
    }
}
FAKE = {IMAGE: "<image>", 6: "<fake_token_around_image>", 7: "<global-img>", 8: "<end_of_utterance>"}
LFM = {IMAGE: "<image>", 6: "<|image_start|>", 7: "<|image_end|>", 8: "<|img_thumbnail|>"}
LFM |= {10 + 4 * i + j: f"<|img_row_{i + 1}_col_{j + 1}|>" for i in range(4) for j in range(4)}
INDICATORS = ("<IMG_START>", "<IMG_GRID>", "<IMG_COL>", "<IMG_ROW>", "<IMG_END>")
MADE: Mapping[str, Made] = {
    "aya_vision": Made(
        "AyaVisionProcessor",
        "GotOcr2ImageProcessorPil",
        {**SQUARE, "max_patches": 2},
        tokens={
            **{3: "<image>", IMAGE: "<|IMG_PATCH|>", 6: "<|START_OF_IMG|>", 7: "<|END_OF_IMG|>"},
            **{8: "TILE_1", 9: "TILE_2", 10: "TILE_GLOBAL"},
        },
        own={"patch_size": 8, "img_size": 32, "downsample_factor": 2},
    ),
    "cohere2_vision": Made(
        "Cohere2VisionProcessor",
        "Cohere2VisionImageProcessor",
        {**SQUARE, "patch_size": 2, "max_patches": 2},
        mark="<|IMG_PATCH|>",
        tokens={IMAGE: "<|IMG_PATCH|>", 6: "<|START_OF_IMG|>", 7: "<|END_OF_IMG|>", 8: "<|IMG_LINE_BREAK|>"},
        named={
            **{"image_token": "<|IMG_PATCH|>", "boi_token": "<|START_OF_IMG|>", "eoi_token": "<|END_OF_IMG|>"},
            "img_line_break_token": "<|IMG_LINE_BREAK|>",
        },
    ),
    "got_ocr2": Made(
        "GotOcr2Processor",
        "GotOcr2ImageProcessorPil",
        {"size": {"height": 256, "width": 256}},
        mark="<img><imgpad></img>",
        tokens={IMAGE: "<imgpad>", 6: "<img>", 7: "</img>"},
        # It writes 256 tokens for a picture, whatever its size.
        model={
            "vision_config": {**SETTINGS["got_ocr2"]["vision_config"], "image_size": 256, "global_attn_indexes": []}
        },
    ),
    "gemma3": Made(
        "Gemma3Processor",
        "Gemma3ImageProcessorPil",
        SQUARE,
        mark="<start_of_image>",
        tokens={IMAGE: "<image_soft_token>", 6: "<start_of_image>", 7: "<end_of_image>"},
        named={
            **{"image_token": "<image_soft_token>", "boi_token": "<start_of_image>"},
            "eoi_token": "<end_of_image>",
        },
        own={"image_seq_length": 4},
    ),
    "glm46v": Made("Glm46VProcessor", "Glm46VImageProcessorPil", GRIDS, video="Glm46VVideoProcessor", **GLM),
    "glm4v": Made("Glm4vProcessor", "Glm4vImageProcessorPil", GRIDS, video="Glm4vVideoProcessor", **GLM),
    "idefics2": Made(
        "Idefics2Processor",
        "Idefics2ImageProcessorPil",
        {"size": {"shortest_edge": 16, "longest_edge": 32}, "do_image_splitting": False},
        tokens=FAKE,
        own={"image_seq_len": 4},
    ),
    "idefics3": Made("Idefics3Processor", "Idefics3ImageProcessorPil", TILES, tokens=FAKE, own={"image_seq_len": 4}),
    "internvl": Made(
        "InternVLProcessor",
        "GotOcr2ImageProcessorPil",
        {**SQUARE, "max_patches": 2},
        mark="<IMG_CONTEXT>\n",
        tokens={IMAGE: "<IMG_CONTEXT>", 6: "<img>", 7: "</img>", 60: "<video>"},
        named={
            **{"context_image_token": "<IMG_CONTEXT>", "start_image_token": "<img>", "end_image_token": "</img>"},
            "video_token": "<video>",
        },
        own={"image_seq_length": 4},
        video="InternVLVideoProcessor",
    ),
    "lfm2_vl": Made(
        "Lfm2VlProcessor",
        "Lfm2VlImageProcessor",
        {"encoder_patch_size": 8, "tile_size": 32, "min_image_tokens": 1, "max_image_tokens": 4, "max_num_patches": 16}
        | {"do_image_splitting": False},
        tokens=LFM,
    ),
    "lighton_ocr": Made(
        "LightOnOcrProcessor",
        "PixtralImageProcessorPil",
        PIXTRAL,
        mark="<|image_pad|>",
        tokens={IMAGE: "<|image_pad|>", 6: "<|vision_pad|>", 7: "<|vision_end|>"},
        named={
            **{"image_token": "<|image_pad|>", "image_break_token": "<|vision_pad|>"},
            "image_end_token": "<|vision_end|>",
        },
        own={"patch_size": 8, "spatial_merge_size": 2},
    ),
    "llava_onevision": Made(
        "LlavaOnevisionProcessor",
        "LlavaOnevisionImageProcessorPil",
        {**SQUARE, "image_grid_pinpoints": [[32, 32], [32, 64], [64, 32]]},
        tokens={IMAGE: "<image>", 60: "<video>"},
        own={"num_image_tokens": 4, "vision_feature_select_strategy": "full"},
        video="LlavaOnevisionVideoProcessor",
        model={"image_grid_pinpoints": [[32, 32], [32, 64], [64, 32]], "video_token_index": 60},
    ),
    "mistral3": Made(
        "PixtralProcessor",
        "PixtralImageProcessorPil",
        PIXTRAL,
        mark="[IMG]",
        tokens={IMAGE: "[IMG]", 6: "[IMG_BREAK]", 7: "[IMG_END]"},
        own={"patch_size": 8, "spatial_merge_size": 2},
    ),
    "ovis2": Made(
        "Ovis2Processor",
        "Ovis2ImageProcessorPil",
        {**SQUARE, "crop_to_patches": False},
        tokens={3: "<image>", IMAGE: "<IMG_ATOM>", **dict(enumerate(INDICATORS, start=50))},
        own={"image_seq_length": 4},
    ),
    "paligemma": Made("PaliGemmaProcessor", "SiglipImageProcessorPil", SQUARE, begun=""),
    "qwen2_vl": Made("Qwen2VLProcessor", "Qwen2VLImageProcessorPil", GRIDS, video="Qwen2VLVideoProcessor", **QWEN),
    "qwen3_5": Made("Qwen3VLProcessor", "Qwen2VLImageProcessorPil", GRIDS, video="Qwen3VLVideoProcessor", **QWEN),
    "qwen3_vl": Made("Qwen3VLProcessor", "Qwen2VLImageProcessorPil", GRIDS, video="Qwen3VLVideoProcessor", **QWEN),
    "smolvlm": Made(
        "SmolVLMProcessor",
        "SmolVLMImageProcessorPil",
        TILES,
        tokens=FAKE,
        own={"image_seq_len": 4},
        video="SmolVLMVideoProcessor",
    ),
    "vipllava": Made(
        "LlavaProcessor",
        "CLIPImageProcessorPil",
        {**SQUARE, "do_center_crop": False},
        own={"patch_size": 16, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1},
    ),
}
"""By family; those of tiny models are made, processor and all, in `gtr.policy.tiny`."""


def tokenizer_of(made: Made) -> Any:
    """A byte-level tokeniser whose first tokens are special, the family's at its ids."""
    tokens = {**{i: f"<special {i}>" for i in range(FIXED)}, **made.tokens, **BEGINNING}
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = [tokens[i] for i in sorted(tokens)]
    trainer = trainers.BpeTrainer(
        vocab_size=FIXED + 256, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        **{"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "padding_side": "left"},
        extra_special_tokens={**{f"special_{i}": token for i, token in made.tokens.items()}, **made.named},
    )


def processor_of(made: Made) -> Any:
    """A family's processor; an `ImportError` or `AttributeError` where it wants a library that is not there."""
    parts = {"image_processor": getattr(transformers, made.images)(**made.shown), "tokenizer": tokenizer_of(made)}
    if made.images.startswith("Siglip"):
        parts["image_processor"].image_seq_length = 4
    if made.video:
        parts["video_processor"] = getattr(transformers, made.video)()
    template = TEMPLATE.replace("MARK", made.mark).replace("{{ BEGUN }}", made.begun)
    return getattr(transformers, made.processor)(**parts, **made.own, chat_template=template)


def model_of(kind: str, vocabulary: int) -> Any:
    """A random model whose distributions are far from uniform, so that a wrong position or mask shows."""
    own = {**SETTINGS[kind], **MADE[kind].model}
    own["text_config"] = {**own["text_config"], "vocab_size": vocabulary, "max_position_embeddings": 1024}
    if "sliding_window" in own["text_config"]:
        own["text_config"]["sliding_window"] = 512  # Two layers would not see as far as an earlier turn.
    if "vocab_size" in own:
        own["vocab_size"] = vocabulary
    config = AutoConfig.for_model(kind, **own, pad_token_id=PAD, bos_token_id=BOS, eos_token_id=EOS)
    config.tie_word_embeddings = config.text_config.tie_word_embeddings = False
    torch.manual_seed(0)
    model = AutoModelForImageTextToText.from_config(config)
    with torch.no_grad():
        head = model.get_output_embeddings().weight
        head.copy_(1.5 * torch.randn(head.shape))
        for weight in model.parameters():
            # Gemma's projection of pictures, which begins as nothing, and convolutions one after another (GOT-OCR).
            if weight.dim() == 4 or (weight.dim() > 1 and not weight.any()):
                weight.copy_(torch.randn(weight.shape) / weight[0].numel() ** 0.5)
    model.generation_config.update(pad_token_id=PAD, bos_token_id=BOS, eos_token_id=EOS)
    return model


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A family's folder, made on first use."""

    @cache
    def make(kind: str) -> Path:
        made, folder = MADE[kind], tmp_path_factory.mktemp("families") / kind
        try:
            processor = processor_of(made)
        except (ImportError, AttributeError) as error:
            if find_spec("torchvision"):
                raise
            pytest.skip(f"{made.processor} wants torchvision ({type(error).__name__})")
        processor.save_pretrained(folder)
        model_of(kind, len(processor.tokenizer)).save_pretrained(folder)
        return folder

    return make


Load = Callable[..., Policy]


@pytest.fixture
def load(folder_of: Callable[[str], Path]) -> Load:
    def make(kind: str, **settings: Any) -> Policy:
        return load_policy(folder_of(kind), PolicyConfig(value_hidden=(8,), max_new_tokens=8, **settings))

    return make


@pytest.fixture
def seen() -> list[Prompt]:
    """Eight prompts of eight lengths, with pictures of two sizes."""
    rng = np.random.default_rng(3)
    shapes = [(32, 32, 3), (32, 48, 3)]
    pictures = [rng.integers(0, 256, shapes[i % 2], dtype=np.uint8) for i in range(8)]
    return [Prompt(picture, "move " * (i + 1)) for i, picture in enumerate(pictures)]


every = pytest.mark.parametrize("kind", sorted(MADE))


def test_every_family_has_a_processor_of_its_own() -> None:
    assert set(MADE) | {"llava", "llava_next", "qwen2_5_vl"} == set(FAMILIES)


@every
def test_a_prompt_has_one_start_token_and_pictures_that_no_reply_holds(
    kind: str, load: Load, seen: Sequence[Prompt]
) -> None:
    policy = load(kind, temperature=1.0)
    rows = [policy.prompts.encode(prompt)["input_ids"][0].tolist() for prompt in seen[:2]]
    assert [row.count(BOS) for row in rows] == [1, 1]
    assert all(row.count(IMAGE) > 0 for row in rows)
    special = {token for token in rows[0] + rows[1] if token < FIXED} - {EOS}
    assert special <= set(policy.network.forbidden), "no reply holds what stands for pictures"


def assert_scored(policy: Policy, prompts: Sequence[Prompt], replies: Sequence[Reply]) -> None:
    """Replies are scored as they were sampled, together and alone."""
    with torch.no_grad():
        together = policy.score(prompts, [reply.tokens for reply in replies])
        alone = [policy.score([prompt], [reply.tokens]) for prompt, reply in zip(prompts, replies, strict=True)]
    for i, reply in enumerate(replies):
        assert together.logprobs[i, : len(reply.tokens)].tolist() == pytest.approx(reply.logprobs, abs=1e-3)
        assert alone[i].logprobs[0].tolist() == pytest.approx(reply.logprobs, abs=1e-3)


@every
def test_eight_together_are_eight_alone_and_scored_as_sampled(kind: str, load: Load, seen: Sequence[Prompt]) -> None:
    policy = load(kind, temperature=1.0)
    replies = policy.generate(seen)
    assert sum(len(reply.tokens) for reply in replies) > 16
    assert not {token for reply in replies for token in reply.tokens} & set(policy.network.forbidden)
    assert_scored(policy, seen, replies)
    other = [replace(prompt, image=255 - prompt.image) for prompt in seen]
    with torch.no_grad():
        blind = policy.score(other, [reply.tokens for reply in replies]).logprobs
        sighted = policy.score(seen, [reply.tokens for reply in replies]).logprobs
    assert not torch.equal(blind, sighted), "the picture is seen"


@every
def test_earlier_turns_with_their_pictures(kind: str, load: Load, seen: Sequence[Prompt]) -> None:
    policy = load(kind, temperature=1.0)
    past = tuple(Exchange(one.image, one.text, f"went {i}") for i, one in enumerate(seen))
    told = [replace(seen[5], past=past[:count]) for count in range(3)]
    rows = [policy.prompts.encode(prompt)["input_ids"][0].tolist() for prompt in told]
    assert rows[2].count(IMAGE) > rows[1].count(IMAGE) > rows[0].count(IMAGE)
    assert "went 0" in policy.decode(rows[2])
    replies = policy.generate(told)
    assert_scored(policy, told, replies)
    with torch.no_grad():
        swapped = replace(told[2], past=(replace(past[0], image=255 - past[0].image), past[1]))
        one, other = (policy.score([prompt], [replies[2].tokens]).logprobs for prompt in (told[2], swapped))
    assert not torch.equal(one, other), "the earlier picture is seen"


def learnt(policy: Policy, optimizer: torch.optim.Optimizer, seen: Sequence[Prompt]) -> None:
    policy.network.learning()
    scores = policy.score(seen[:2], [(70, 71, 72, EOS), (80, 81)])
    optimizer.zero_grad()
    (scores.values.sum() - scores.logprobs.sum()).backward()
    optimizer.step()


def weights_of(policy: Policy) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in policy.network.named_parameters() if weight.requires_grad}


@every
@pytest.mark.parametrize("finetune", ["full", "lora"])
def test_an_update_is_saved_and_gone_on_with_bit_for_bit(
    finetune: Any, kind: str, load: Load, seen: Sequence[Prompt], tmp_path: Path
) -> None:
    policy = load(kind, finetune=finetune, lora_rank=2, freeze_vision=finetune == "full")
    train = TrainConfig(lr=1e-2)
    optimizer = make_optimizer(policy, train)
    before = weights_of(policy)
    learnt(policy, optimizer, seen)
    saved = checkpoint.save(tmp_path, 1, policy, optimizer, {"ranks": [], "alarm": {}}, 1)
    again = load_policy(saved / "model", policy.config)
    resumed = make_optimizer(again, train)
    checkpoint.restore_optimizer(saved, resumed)
    for one, theirs in ((policy, optimizer), (again, resumed)):
        learnt(one, theirs, seen)
    ours, others = weights_of(policy), weights_of(again)
    assert ours.keys() == others.keys()
    assert all(torch.equal(ours[name], others[name]) for name in ours)
    assert any(not torch.equal(ours[name], before[name]) for name in ours)

"""Families of models in small: what a family samples is what it scores, with padding, pictures and all.

Their processors want libraries that are not needed otherwise, so the inputs are written by hand as these would.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from families import BOS, EOS, IDS, IMAGE, PAD, SETTINGS, WIDTH
from torch import Tensor
from transformers import AutoConfig, AutoModelForImageTextToText

from gtr.config import PolicyConfig
from gtr.errors import PolicyError
from gtr.policy.families import FAMILIES, check_usable, family_of, vision_modules
from gtr.policy.loading import prepare
from gtr.policy.network import Network
from gtr.policy.prefix import KINDS, SHARED
from gtr.policy.value import ValueHead

FORBIDDEN = (PAD, BOS, IMAGE, 6, 7, 60, 61, 62)
WALKED = ("llava", "llava_next", "qwen2_5_vl")
"""Families that are built in small and walk the whole street in other tests."""


def small(kind: str) -> Any:
    """A random model of a family whose distributions are far from uniform, so that a wrong position or mask shows."""
    config = AutoConfig.for_model(kind, **SETTINGS[kind], **IDS, tie_word_embeddings=False)
    model = AutoModelForImageTextToText.from_config(config).eval()
    with torch.no_grad():
        head = model.get_output_embeddings().weight
        head.copy_(1.5 * torch.randn(head.shape))
    return model


Pictures = Mapping[str, Tensor]


def plain(side: int = 32) -> Pictures:
    return {"pixel_values": torch.randn(2, 3, side, side)}


def sized() -> Pictures:
    return {**plain(), "image_sizes": torch.tensor([[32, 32]] * 2)}


def tiled(tiles: int) -> Pictures:
    return {"pixel_values": torch.randn(2, tiles, 3, 32, 32)}


def gridded() -> Pictures:
    return {"pixel_values": torch.randn(2 * 16, 3 * 2 * 8 * 8), "image_grid_thw": torch.tensor([[1, 4, 4]] * 2)}


def patched() -> Pictures:
    shapes = {"spatial_shapes": torch.tensor([[4, 4]] * 2), "pixel_attention_mask": torch.ones(2, 16, dtype=torch.long)}
    return {"pixel_values": torch.randn(2, 16, 3 * 8 * 8), **shapes}


PICTURES: Mapping[str, Callable[[], Pictures]] = {
    **dict.fromkeys(("glm46v", "glm4v", "qwen2_vl", "qwen3_5", "qwen3_vl"), gridded),
    **dict.fromkeys(("idefics2", "idefics3", "smolvlm"), lambda: tiled(1)),
    **dict.fromkeys(("lighton_ocr", "mistral3"), sized),
    "got_ocr2": lambda: plain(64),
    "lfm2_vl": patched,
    "llava_onevision": lambda: {**tiled(2), "image_sizes": torch.tensor([[32, 32]] * 2)},
}
"""By family, what its processor makes of two pictures; other families take them plain."""
TOKENS = {"got_ocr2": 16, "llava_onevision": 10}
"""Of a picture; of other families 4."""


def inputs_of(kind: str) -> dict[str, Tensor]:
    """Two prompts of different lengths with a picture each, as the family's processor would write them."""
    made = dict(PICTURES.get(kind, plain)())
    tokens = TOKENS.get(kind, 4)
    rows = [[BOS, 20, 21, 22, *[IMAGE] * tokens, 30, 31], [BOS, *[IMAGE] * tokens, 33]]
    longest = max(map(len, rows))
    ids = torch.tensor([[PAD] * (longest - len(row)) + row for row in rows])
    made |= {"input_ids": ids, "attention_mask": (ids != PAD).long()}
    if "image_grid_thw" in made:
        made["mm_token_type_ids"] = (ids == IMAGE).long()
    if kind in ("gemma3", "paligemma"):
        made["token_type_ids"] = (ids == IMAGE).long() if kind == "gemma3" else torch.zeros_like(ids)
    return made


def second_of(batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The second prompt alone, without the padding on its left."""
    length = int(batch["attention_mask"][1].sum())
    rows = {name: value[len(value) // 2 :] for name, value in batch.items()}
    return {
        name: row[:, -length:] if row.shape == (1, batch["input_ids"].shape[1]) else row for name, row in rows.items()
    }


@pytest.mark.parametrize("kind", sorted(SETTINGS))
def test_a_family_scores_alone_as_in_a_batch_and_after_a_reload(kind: str, tmp_path: Path) -> None:
    model = small(kind)
    prompt = inputs_of(kind)
    reply = torch.randint(20, 50, (2, 5))
    ones = torch.ones_like(reply)

    def scored(model: Any, prompt: Mapping[str, Tensor], rows: slice) -> Tensor:
        network = Network(model, ValueHead(WIDTH, (8,)), FORBIDDEN, family_of(model), PAD)
        with torch.no_grad():
            found: Tensor = network(prompt, reply[rows], ones[rows], torch.ones(len(reply[rows]))).logprobs
        return found

    together = scored(model, prompt, slice(None))
    torch.testing.assert_close(scored(model, second_of(prompt), slice(1, 2)), together[1:], atol=1e-4, rtol=0)
    model.save_pretrained(tmp_path)
    again = AutoModelForImageTextToText.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(scored(again, prompt, slice(None)), together, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", sorted(SETTINGS))
def test_a_family_scores_its_own_samples_alike(kind: str) -> None:
    model = small(kind)
    family = family_of(model)
    network = Network(model, ValueHead(WIDTH, (8,)), FORBIDDEN, family, PAD)
    prompt = inputs_of(kind)
    samples = network.sample(prompt, 1.0, False, 8, [EOS])
    live = (samples.tokens == EOS).cumsum(1) == 0
    assert live.sum() >= 6, "replies long enough to tell"
    with torch.no_grad():
        scores = network(prompt, samples.tokens, torch.ones_like(samples.tokens), torch.ones(2))
    torch.testing.assert_close(scores.logprobs[live], samples.logprobs[live], atol=1e-4, rtol=0)
    assert samples.logprobs[live].min() < -0.02
    assert not torch.isin(samples.tokens[live], torch.tensor(FORBIDDEN)).any()
    assert vision_modules(model), "the vision tower is found, so that it can be frozen"


HEAD = torch.tensor([[BOS, *(20 + i % 30 for i in range(40))]])


def behind_head(batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A batch whose every row begins with `HEAD`, behind its padding."""
    heads = {"input_ids": HEAD[0], "attention_mask": torch.ones_like(HEAD[0])}
    pads = [int((row == 0).sum()) for row in batch["attention_mask"]]
    found = dict(batch)
    for name in KINDS & batch.keys():
        head = heads.get(name, torch.zeros_like(HEAD[0]))
        rows = zip(batch[name], pads, strict=True)
        found[name] = torch.stack([torch.cat([row[:pad], head, row[pad:]]) for row, pad in rows])
    return found


@pytest.mark.parametrize("kind", sorted(kind for kind in SETTINGS if FAMILIES[kind].shares))
def test_a_beginning_that_is_read_once_gives_what_whole_rows_give(kind: str) -> None:
    """Scores, values, gradients and samples, in every family that shares."""
    model = small(kind)
    network = Network(model, ValueHead(WIDTH, (8,)), FORBIDDEN, family_of(model), PAD)
    torch.nn.init.normal_(network.value_head.layers[-1].weight)
    batch, reply = inputs_of(kind), torch.randint(20, 50, (2, 5))
    shared, whole = {**batch, SHARED: HEAD}, behind_head(batch)
    found = []
    for prompt in (shared, whole):
        network.zero_grad()
        scores = network(prompt, reply, torch.ones_like(reply), torch.ones(2))
        (scores.logprobs.sum() + scores.values.sum()).backward()
        grads = {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}
        found.append((scores.logprobs, scores.values, grads))
    torch.testing.assert_close(*found, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(network.values(shared), found[1][1], atol=1e-5, rtol=0)
    samples = network.sample(shared, 1.0, False, 8, [EOS])
    live = (samples.tokens == EOS).cumsum(1) == 0
    with torch.no_grad():
        scores = network(whole, samples.tokens, torch.ones_like(samples.tokens), torch.ones(2))
    torch.testing.assert_close(scores.logprobs[live], samples.logprobs[live], atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", sorted(SETTINGS))
def test_adapters_learn_in_every_family_and_can_leave_the_picture_alone(kind: str) -> None:
    config = PolicyConfig(finetune="lora", lora_rank=2, lora_target="language")
    model = prepare(small(kind), config, None)
    network = Network(model, ValueHead(WIDTH, (8,)), FORBIDDEN, family_of(model), PAD)
    reply = torch.randint(20, 50, (2, 5))
    network(inputs_of(kind), reply, torch.ones_like(reply), torch.ones(2)).logprobs.sum().backward()
    learnt = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert learnt
    assert all("lora_" in name for name in learnt)
    # An adapter's second half begins as zeros: it is the one that a first gradient reaches.
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in learnt.values())
    towers = {id(p) for tower in vision_modules(model) for p in tower.parameters()}
    assert not any(id(p) in towers for p in learnt.values())


def test_every_row_of_the_table_is_tried() -> None:
    assert set(SETTINGS) | set(WALKED) == set(FAMILIES)


@pytest.mark.parametrize("kind", ["glm4v", "internvl"])
def test_a_family_that_is_not_listed_takes_sensible_defaults(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = small(kind)
    known = family_of(model)
    monkeypatch.delitem(FAMILIES, kind)
    assert family_of(model) == replace(known, shares=False), "whether its tokens keep more than keys is not known"


def test_a_model_that_is_no_decoder_is_refused() -> None:
    config = AutoConfig.for_model("pix2struct")
    config.text_config.update({"hidden_size": 8, "d_ff": 8, "d_kv": 4, "num_layers": 1, "num_heads": 2})
    config.vision_config.update({"hidden_size": 8, "d_ff": 8, "d_kv": 4, "num_hidden_layers": 1})
    config.vision_config.num_attention_heads = 2
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
    with pytest.raises(PolicyError, match=r"'there' is of type pix2struct, .* qwen2_5_vl"):
        check_usable(model, "there")


def test_a_model_without_a_known_vision_tower_says_so() -> None:
    model = small("smolvlm")
    del model.model.vision_model
    with pytest.raises(PolicyError, match=r"policy\.freeze_vision: .* False"):
        vision_modules(model)


def test_mixed_precision_computes_in_sixteen_bits_from_weights_of_thirty_two() -> None:
    model = small("gemma3")
    seen: list[torch.dtype] = []
    model.model.language_model.layers[0].mlp.up_proj.register_forward_hook(lambda _m, _i, out: seen.append(out.dtype))
    network = Network(model, ValueHead(WIDTH, (8,)), FORBIDDEN, family_of(model), PAD, mixed=True)
    prompt = inputs_of("gemma3")
    samples = network.sample(prompt, 1.0, False, 3, [EOS])
    scores = network(prompt, samples.tokens, torch.ones_like(samples.tokens), torch.ones(2))
    (scores.logprobs.sum() + scores.values.sum()).backward()
    assert set(seen) == {torch.bfloat16}
    assert {p.dtype for p in network.parameters()} == {torch.float32}
    assert {p.grad.dtype for p in network.parameters() if p.grad is not None} == {torch.float32}
    torch.testing.assert_close(scores.logprobs, samples.logprobs, atol=0.1, rtol=0)

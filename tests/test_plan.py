"""The memory plan against published sizes, real models, and what forward passes are measured to keep."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small import changed
from transformers import AutoModelForImageTextToText, CLIPVisionConfig, LlamaConfig, LlavaConfig

from gtr import plan as room
from gtr.cli.plan import plan as command
from gtr.config import Config, presets
from gtr.errors import ConfigError, PolicyError
from gtr.plan import GIB, RESERVED, Plan, activations, knobs, make_plan
from gtr.policy.loading import load_policy, prepare
from gtr.policy.shapes import KNOWN, Shape, shape_of
from gtr.types import Prompt

PUBLISHED = {
    "llava-hf/llava-v1.6-mistral-7b-hf": 7_566_747_648,
    "Qwen/Qwen2.5-VL-7B-Instruct": 8_292_166_656,
    "Qwen/Qwen2.5-VL-3B-Instruct": 3_754_622_976,
    "Qwen/Qwen3-VL-2B-Instruct": 2_127_532_032,
}
"""Parameters, as the hub's pages of these models say."""


@pytest.mark.slow
@pytest.mark.parametrize("model", KNOWN)
def test_known_models_have_their_published_sizes(model: str) -> None:
    config = changed(presets.build("gtr", "points24", "7b"), **{"policy.model": model, "policy.finetune": "full"})
    assert shape_of(config.policy, 300).weights == PUBLISHED[model]


@pytest.mark.parametrize("scale", ["2b", "3b"])
def test_small_scales_are_the_papers_settings_on_smaller_models(scale: str, capsys: pytest.CaptureFixture[str]) -> None:
    config, paper = (presets.build("gtr", "points24", one) for one in (scale, "7b"))
    assert not config.sft.enabled
    assert changed(config, **{"policy.model": paper.policy.model}) == paper
    command(["gtr", "--task", "points24", "--scale", scale, "--gpus", "8", "--memory", "24"])
    said = capsys.readouterr().out
    billions = PUBLISHED[config.policy.model] / 1e9
    assert said.startswith(f"{config.policy.model}, lora: {billions:.2f} billion weights")
    assert "of 24 GiB a GPU: it fits" in said


@pytest.mark.parametrize("kind", ["tiny-llava", "tiny-llava-next", "tiny-qwen2.5-vl"])
@pytest.mark.parametrize("finetune", ["full", "lora"])
def test_shapes_are_those_of_the_loaded_model(kind: str, finetune: str, settings: Callable[..., Config]) -> None:
    config = settings("gtr", "numberline", kind, **{"policy.finetune": finetune, "policy.lora_rank": 4})
    shape, policy = shape_of(config.policy, 96), load_policy(config.policy.model, config.policy, 0)
    parts = list(policy.network.parameters())
    assert shape.trained == sum(p.numel() for p in parts if p.requires_grad)
    assert shape.weights + shape.added == sum(p.numel() for p in parts)
    ids = policy.prompts.encode(Prompt(np.zeros((96, 96, 3), np.uint8), "look"))["input_ids"]
    image = getattr(policy.network.model.config, "image_token_id", None)
    assert shape.picture_tokens == int((ids == image).sum())


def kept(model: Any, reply: int, tokens: int) -> int:
    """Bytes that a forward pass over so many tokens keeps for its gradient, weights and equal storages left out."""
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    sizes: dict[int, int] = {}
    alive = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            sizes[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        logits = model(input_ids=torch.full((1, tokens), 7), use_cache=False, logits_to_keep=reply).logits.float()
        (logits / 0.7).log_softmax(-1).gather(2, torch.full((1, reply, 1), 3)).sum()
    return sum(sizes.values())


@pytest.mark.parametrize("finetune", ["full", "lora"])
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("layers", [3, 6])
def test_activations_are_what_a_pass_is_measured_to_keep(finetune: str, checkpointing: bool, layers: int) -> None:
    """A reduced model in the proportions of a 7B one."""
    text = LlamaConfig(
        hidden_size=256, intermediate_size=896, num_hidden_layers=layers, num_attention_heads=8,
        num_key_value_heads=2, vocab_size=2000,
    )  # fmt: skip
    vision = CLIPVisionConfig(hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2)
    base = AutoModelForImageTextToText.from_config(LlavaConfig(vision_config=vision, text_config=text))
    config = changed(
        presets.build("ppo", "numberline"),
        **{
            **{"policy.finetune": finetune, "policy.gradient_checkpointing": checkpointing, "policy.lora_rank": 8},
            **{"policy.dtype": "float32", "train.minibatch": 1, "policy.max_new_tokens": 40},
        },
    )
    model = prepare(base, config.policy, None)
    model.train(checkpointing)
    for module in model.modules():
        module.training = getattr(module, "gradient_checkpointing", False)
    measured = kept(model, 40, 240)
    shape = Shape(0, 0, 0, 256, 896, layers, 2 * 2 * 32, 256, 2000, 0)
    planned = activations(config, shape, 200)
    # Of the four tensors of logits one is kept, the others live for a moment.
    planned["logits"] /= room.LOGITS
    if checkpointing:
        # Of the layer that is computed again nothing is kept yet.
        planned["activations"] = 4 * 240 * 256 * (layers + room.ENDS)
    assert 0.8 < sum(planned.values()) / measured < 1.5, (planned, measured)


@pytest.fixture(scope="module")
def large() -> Config:
    return presets.build("gtr", "points24", "7b")


def fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    """LLaVA-v1.6-mistral-7B's shape, as `shape_of` gives it in half a minute."""
    shape = Shape(7_566_747_648, 370_000_000, 370_000_000, 4096, 14336, 32, 2048, 4096, 32064, 1176)
    monkeypatch.setattr(room, "shape_of", lambda policy, size: shape)


def test_the_parts_of_a_plan(large: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    fixed(monkeypatch)
    plan = make_plan(large, 1)
    assert plan.sampling["weights"] == 2 * 7_566_747_648 + 4 * 370_000_000
    assert plan.sampling["moments"] == 8 * 370_000_000
    assert plan.prompt > 1176
    tokens = (plan.prompt + 256) * large.train.envs
    assert plan.sampling["cache of keys and values"] == tokens * 32 * 2 * 8 * 128 * 2
    assert plan.peak() > sum(plan.learning.values()) + RESERVED - 1
    full = changed(large, **{"policy.finetune": "full"})
    alone, eight = make_plan(full, 8), make_plan(changed(full, **{"train.shard": "full"}), 8)
    for part in ("gradients", "moments"):
        assert eight.learning[part] == alone.learning[part] / 8
    assert eight.learning["weights"] < alone.learning["weights"] / 3
    assert eight.disk["checkpoints"] == alone.disk["checkpoints"]


def test_knobs_are_turned_where_it_does_not_fit(large: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    fixed(monkeypatch)
    full = changed(large, **{"policy.finetune": "full", "policy.gradient_checkpointing": False, "train.minibatch": 2})

    def told(config: Config, gigabytes: float, gpus: int) -> str:
        return "\n".join(knobs(config, make_plan(config, gpus), gigabytes * GIB, gpus))

    assert told(large, 1000, 1) == ""
    for knob in ("gradient-checkpointing True", "minibatch 1", "shard full", "finetune lora"):
        assert knob in told(full, 60, 8)
    assert "shard" not in told(full, 60, 1)
    assert "--train.envs" in told(changed(large, **{"train.envs": 512}), 24, 1)


def test_the_command_says_what_fits(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    fixed(monkeypatch)
    command(["gtr", "--task", "points24", "--scale", "7b", "--gpus", "8", "--train.shard", "full"])
    said = capsys.readouterr().out
    assert "fits" in said
    assert "moments" in said
    command(["gtr", "--task", "points24", "--scale", "7b", "--memory", "16"])
    assert "does not fit" in capsys.readouterr().out
    with pytest.raises(ConfigError, match=r"train\.shard full with one GPU"):
        command(["gtr", "--scale", "7b", "--train.shard", "full"])


@pytest.mark.parametrize("model", ["tiny-llava", "nobody/nothing-7b"])
def test_models_whose_shape_cannot_be_had_are_named(model: str, settings: Callable[..., Config]) -> None:
    with pytest.raises(PolicyError, match=model):
        shape_of(changed(settings(), **{"policy.model": model}).policy, 96)


def test_a_plan_knows_its_phases() -> None:
    plan = Plan({"a": 2.0}, {"b": 3.0}, {}, {}, 1, Shape(*[1] * 10))
    assert plan.peak() == 3 + RESERVED
    assert Path(room.__file__).name == "plan.py"

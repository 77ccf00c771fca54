"""Policies from disk and back: what is saved is what is loaded, and what cannot be loaded says why."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText

from gtr.errors import GtrError, PolicyError
from gtr.policy import loading, tiny
from gtr.policy.families import vision_modules
from gtr.policy.loading import load_policy
from gtr.policy.policy import VALUE_HEAD, Policy
from gtr.types import Prompt

MakePolicy = Callable[..., Policy]
LORA = {"policy.finetune": "lora", "policy.lora_rank": 4, "policy.lora_alpha": 8}


def stir(policy: Policy) -> None:
    """Moves every trainable weight, as training would."""
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for parameter in policy.network.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.02)


@pytest.mark.parametrize("kind", tuple(tiny.BUILDERS))
@pytest.mark.parametrize("lora", [False, True])
def test_a_saved_policy_is_loaded_as_it_was(
    kind: str, lora: bool, make_policy: MakePolicy, prompts: list[Prompt], tmp_path: Path
) -> None:
    policy = make_policy(kind, **(LORA if lora else {}))
    fresh = policy.generate(prompts[:2], greedy=True)
    stir(policy)
    policy.save(tmp_path / "saved")
    again = load_policy(tmp_path / "saved", policy.config, seed=1)
    before, after = policy.generate(prompts[:2], greedy=True), again.generate(prompts[:2], greedy=True)
    assert before == after
    assert [r.value for r in before] != [r.value for r in fresh]
    ours, theirs = policy.network.state_dict(), again.network.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert (tmp_path / "saved" / "adapter_config.json").exists() is lora
    assert not list((tmp_path / "saved").glob("*.bin")), "safetensors only"


def test_transformers_alone_loads_a_saved_policy(make_policy: MakePolicy, tmp_path: Path) -> None:
    policy = make_policy()
    stir(policy)
    policy.save(tmp_path)
    model = AutoModelForImageTextToText.from_pretrained(tmp_path)
    weights = model.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in policy.network.model.state_dict().items())
    assert model.generation_config.eos_token_id in policy.end_ids


def test_lora_starts_as_its_base_and_trains_adapters_alone(make_policy: MakePolicy, prompts: list[Prompt]) -> None:
    full, lora = make_policy(), make_policy(**LORA, **{"policy.freeze_vision": False})
    with torch.no_grad():
        replies = [r.tokens for r in full.generate(prompts[:2], greedy=True)]
        torch.testing.assert_close(
            lora.score(prompts[:2], replies).logprobs, full.score(prompts[:2], replies).logprobs, atol=1e-5, rtol=0
        )
    names = [n for n, p in lora.network.named_parameters() if p.requires_grad]
    assert all("lora_" in n or n.startswith("value_head") for n in names)
    assert any("vision" in n for n in names), "the vision tower too (reference code)"
    assert any("self_attn" in n and "vision" not in n for n in names)


@pytest.mark.parametrize("kind", tuple(tiny.BUILDERS))
def test_freezing_keeps_the_vision_tower_and_only_it(kind: str, make_policy: MakePolicy) -> None:
    policy = make_policy(kind, **{"policy.freeze_vision": True})
    model = policy.network.model
    towers = vision_modules(model)
    frozen = {id(p) for module in towers for p in module.parameters()}
    assert frozen
    assert all(p.requires_grad is (id(p) not in frozen) for p in model.parameters())


def test_the_seed_makes_the_value_head_and_the_adapters(make_policy: MakePolicy) -> None:
    config = make_policy(**LORA).config
    state = torch.get_rng_state()
    a, b, c = (load_policy(config.model, config, seed).network.state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state), "loading leaves the run's random numbers alone"
    names = [n for n in a if "lora_A" in n or n == "value_head.layers.0.weight"]
    assert len(names) > 10
    assert all(torch.equal(a[n], b[n]) and not torch.equal(a[n], c[n]) for n in names)


def test_a_new_critic_says_zero(settings: Callable[..., object], prompts: list[Prompt]) -> None:
    config = settings()
    policy = load_policy(config.policy.model, config.policy)
    assert policy.values(prompts) == [0.0] * len(prompts)


def test_sixteen_bits_on_a_cpu_are_thirty_two(make_policy: MakePolicy, caplog: pytest.LogCaptureFixture) -> None:
    policy = make_policy(**{"policy.dtype": "bfloat16"})
    assert {p.dtype for p in policy.network.parameters()} == {torch.float32}
    assert "slower" in caplog.text


@pytest.mark.parametrize("checkpointing", [False, True])
def test_learning_recomputes_when_told_and_never_drops(
    checkpointing: bool, make_policy: MakePolicy, prompts: list[Prompt]
) -> None:
    chosen = {**LORA, "policy.lora_dropout": 0.5, "policy.gradient_checkpointing": checkpointing}
    policy = make_policy(**chosen)
    stir(policy)
    calls: list[int] = []
    layer = next(m for n, m in policy.network.model.named_modules() if n.endswith("language_model.layers.1.self_attn"))
    layer.register_forward_hook(lambda *_: calls.append(1))
    policy.network.learning()
    scores = policy.score(prompts[:2], [[50, 60], [70]])
    assert len(calls) == 1
    scores.logprobs.sum().backward()
    assert len(calls) == (2 if checkpointing else 1)
    policy.network.eval()
    torch.testing.assert_close(policy.score(prompts[:2], [[50, 60], [70]]).logprobs, scores.logprobs)


def test_whatever_learns_is_kept_in_thirty_two_bits(
    make_policy: MakePolicy, prompts: list[Prompt], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU: a base in 16 bits, new adapters and those of a checkpoint."""
    monkeypatch.setattr(loading, "_precision", lambda config, device: (torch.bfloat16, False))
    policy = make_policy(**LORA)
    policy.save(tmp_path / "saved")
    for one in (policy, load_policy(tmp_path / "saved", policy.config)):
        kinds = {(p.requires_grad, p.dtype) for p in one.network.parameters()}
        assert (False, torch.bfloat16) in kinds
        assert (True, torch.bfloat16) not in kinds
        reply = one.generate(prompts[:2])[0]
        scores = one.score(prompts[:1], [reply.tokens])
        scores.logprobs.sum().backward()
        assert scores.logprobs[0].tolist() == pytest.approx(reply.logprobs, abs=0.2)


# -- mistakes -----------------------------------------------------------------------------------------------------
def saved(policy: Policy, folder: Path) -> Path:
    policy.save(folder)
    return folder


@pytest.mark.parametrize("place", ["no/such/folder", "nobody/no-such-model", ""])
def test_a_model_that_is_not_there(place: str, make_policy: MakePolicy) -> None:
    with pytest.raises(PolicyError, match=r"policy\.model.*tiny-llava"):
        load_policy(place, make_policy().config)


def test_a_built_in_model_is_not_a_folder_yet(make_policy: MakePolicy) -> None:
    with pytest.raises(PolicyError, match=r"gtr sft PRESET --policy\.model tiny-qwen"):
        load_policy("tiny-qwen2.5-vl", make_policy().config)


def test_a_folder_without_a_model(make_policy: MakePolicy, tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=str(tmp_path)):
        load_policy(tmp_path, make_policy().config)


@pytest.mark.parametrize("name", ["model.safetensors", VALUE_HEAD, "config.json", "tokenizer.json"])
@pytest.mark.parametrize("damage", ["cut", "emptied", "garbage"])
def test_a_damaged_file_is_named(name: str, damage: str, make_policy: MakePolicy, tmp_path: Path) -> None:
    policy = make_policy()
    file = saved(policy, tmp_path / "model") / name
    whole = file.read_bytes()
    file.write_bytes({"cut": whole[: len(whole) // 2], "emptied": b"", "garbage": b"\xff" * 100}[damage])
    with pytest.raises(GtrError, match=str(tmp_path)):
        load_policy(tmp_path / "model", policy.config)


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "adapter_config.json"])
def test_a_damaged_adapter_is_named(name: str, make_policy: MakePolicy, tmp_path: Path) -> None:
    policy = make_policy(**LORA)
    file = saved(policy, tmp_path / "adapter") / name
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(PolicyError, match=str(tmp_path)):
        load_policy(tmp_path / "adapter", policy.config)


def test_an_adapter_of_another_model(make_policy: MakePolicy, tmp_path: Path) -> None:
    folder = saved(make_policy(**LORA), tmp_path / "adapter")
    other = make_policy("tiny-qwen2.5-vl", **LORA)
    marker = folder / "adapter_config.json"
    marker.write_text(json.dumps(json.loads(marker.read_text()) | {"base_model_name_or_path": other.config.model}))
    with pytest.raises(PolicyError, match=str(folder)):
        load_policy(folder, other.config)


def test_weights_of_another_shape(make_policy: MakePolicy, tmp_path: Path) -> None:
    policy = make_policy()
    folder = saved(policy, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["hidden_size"] = 64
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(PolicyError, match=str(tmp_path)):
        load_policy(folder, policy.config)


def test_weights_that_are_missing_are_not_made_up(make_policy: MakePolicy, tmp_path: Path) -> None:
    policy = make_policy()
    file = saved(policy, tmp_path / "model") / "model.safetensors"
    weights = load_file(file)
    weights.pop(next(name for name in weights if name.endswith("lm_head.weight")))
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(PolicyError, match=r"lm_head\.weight"):
        load_policy(tmp_path / "model", policy.config)


def test_a_value_head_of_another_shape_names_the_setting(make_policy: MakePolicy, tmp_path: Path) -> None:
    folder = saved(make_policy(), tmp_path / "model")
    with pytest.raises(PolicyError, match=r"policy\.value_hidden"):
        load_policy(folder, make_policy(**{"policy.value_hidden": (8, 8)}).config)


def test_an_adapter_whose_base_is_gone(make_policy: MakePolicy, tmp_path: Path) -> None:
    policy = make_policy(**LORA)
    shutil.copytree(policy.config.model, tmp_path / "base")
    config = make_policy(**LORA, **{"policy.model": str(tmp_path / "base")}).config
    folder = saved(load_policy(tmp_path / "base", config), tmp_path / "adapter")
    shutil.rmtree(tmp_path / "base")
    with pytest.raises(PolicyError, match=str(tmp_path / "base")):
        load_policy(folder, config)


def test_a_text_only_model_is_refused(make_policy: MakePolicy, tmp_path: Path) -> None:
    policy = make_policy()
    config = policy.network.model.config.text_config
    (tmp_path / "text").mkdir()
    config.save_pretrained(tmp_path / "text")
    with pytest.raises(PolicyError, match="image-text-to-text"):
        load_policy(tmp_path / "text", policy.config)


def test_a_processor_without_a_chat_template(make_policy: MakePolicy, prompts: list[Prompt], tmp_path: Path) -> None:
    policy = make_policy()
    folder = saved(policy, tmp_path / "model")
    for file in folder.glob("chat_template*"):
        file.unlink()
    for file in folder.glob("*config.json"):
        content = json.loads(file.read_text())
        content.pop("chat_template", None)
        file.write_text(json.dumps(content))
    with pytest.raises(PolicyError, match="chat template"):
        load_policy(folder, policy.config).generate(prompts[:1])


def test_tiny_models_say_what_they_need(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="multiple of 24"):
        tiny.build("tiny-llava", ["text"], 100, 0, tmp_path)
    with pytest.raises(PolicyError, match="did you mean 'tiny-llava'"):
        tiny.build("tiny-lava", ["text"], 96, 0, tmp_path)


@pytest.mark.parametrize("kind", tuple(tiny.BUILDERS))
def test_a_tiny_model_is_what_its_seed_makes_it(kind: str, tmp_path: Path) -> None:
    folders = [tiny.build(kind, ["some text", "more"], 96, seed, tmp_path / str(i)) for i, seed in enumerate((3, 3, 4))]
    weights = [(folder / "model.safetensors").read_bytes() for folder in folders]
    assert weights[0] == weights[1] != weights[2]

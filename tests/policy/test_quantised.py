"""QLoRA: adapters on a base in 4 bits, by bitsandbytes on the CPU where it is installed, and what it excludes."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from small import changed, curve

from gtr.config import Config
from gtr.config.checks import validate
from gtr.config.presets import build
from gtr.errors import ConfigError, PolicyError
from gtr.plan import make_plan
from gtr.policy import loading
from gtr.policy.loading import load_policy
from gtr.policy.merge import MergedPolicy
from gtr.policy.policy import Policy
from gtr.train import train
from gtr.types import Prompt

MakePolicy = Callable[..., Policy]
QLORA = {"policy.load_in_4bit": True, "policy.finetune": "lora", "policy.lora_rank": 4}
packing = pytest.mark.skipif(find_spec("bitsandbytes") is None, reason="no bitsandbytes: `make test-engines` brings it")


@pytest.mark.parametrize(
    ("dotted", "remedy"),
    [
        ({"policy.finetune": "full"}, "policy.finetune lora"),
        ({"train.shard": "full"}, "train.shard none"),
        ({"train.shard": "hybrid"}, "train.shard none"),
        ({"engine.name": "vllm"}, "engine.sync adapter"),
    ],
)
def test_what_four_bits_exclude(dotted: dict[str, Any], remedy: str) -> None:
    with pytest.raises(ConfigError, match=f"load_in_4bit.*{remedy}"):
        validate(changed(build("gtr"), **{**QLORA, **dotted}))


def test_four_bits_go_with_adapters_that_servers_take() -> None:
    adapter = {"engine.name": "vllm", "engine.sync": "adapter", "policy.lora_target": "language"}
    for dotted in ({}, adapter):
        validate(changed(build("gtr"), **{**QLORA, **dotted}))


def test_a_missing_library_is_named(make_policy: MakePolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "find_spec", lambda name: None)
    with pytest.raises(PolicyError, match="pip install bitsandbytes"):
        make_policy(**QLORA)


def test_the_plan_knows_it() -> None:
    config = build("gtr", "points24", "7b")
    whole, packed = (make_plan(changed(config, **{"policy.load_in_4bit": on}), 1) for on in (False, True))
    assert 0.25 < packed.sampling["weights"] / whole.sampling["weights"] < 0.4
    assert packed.learning["activations"] == whole.learning["activations"]


@packing
@pytest.mark.parametrize("kind", ["tiny-llava", "tiny-qwen2.5-vl"])
def test_the_base_is_packed_and_adapters_learn(kind: str, make_policy: MakePolicy, prompts: list[Prompt]) -> None:
    plain, policy = make_policy(kind, **{**QLORA, "policy.load_in_4bit": False}), make_policy(kind, **QLORA)
    packed = [name for name, p in policy.network.model.named_parameters() if p.dtype == torch.uint8]
    assert any("language_model" in name and "q_proj" in name for name in packed)
    assert all("language_model" in name for name in packed)
    assert policy.network.in_float32
    with torch.no_grad():
        ours, theirs = (one.score(prompts, [(40, 50, 60)] * 8).logprobs for one in (policy, plain))
    assert 1e-5 < float((ours - theirs).abs().max()) < 1.0, "near the whole weights, and not them"
    scores = policy.score(prompts, [(40, 50, 60)] * 8)
    (scores.logprobs.sum() + scores.values.sum()).backward()
    learnt = {name: p for name, p in policy.network.model.named_parameters() if p.requires_grad}
    assert learnt
    assert all("lora_" in name for name in learnt)
    assert all(
        p.grad is not None and bool(p.grad.any()) for name, p in learnt.items() if "language" in name and "_B" in name
    )


@packing
def test_what_is_sampled_is_what_is_scored(make_policy: MakePolicy, prompts: list[Prompt]) -> None:
    policy = make_policy(**QLORA)
    replies = policy.generate(prompts)
    with torch.no_grad():
        scores = policy.score(prompts, [reply.tokens for reply in replies])
    for row, reply in zip(scores.logprobs.tolist(), replies, strict=True):
        assert row[: len(reply.tokens)] == pytest.approx(reply.logprobs, abs=1e-3)


@packing
def test_a_run_in_four_bits_resumes_bit_for_bit(settings: Callable[..., Config]) -> None:
    config = settings(**QLORA, **{"train.updates": 3, "train.lr": 1e-2, "train.lr_final": 1e-2, "train.minibatch": 4})
    whole = train(changed(config, name="whole"))
    broken = train(changed(config, name="broken", **{"train.updates": 1}))
    train(changed(config, name="broken"), resume=broken)
    lines = [[{k: v for k, v in one.items() if "panel" not in k} for one in curve(run)] for run in (whole, broken)]
    assert lines[0] == lines[1]
    assert len({line["loss/cloning"] for line in lines[0]}) == 3, "the adapters move"
    assert all(line["update/logprob_mismatch"] < 1e-3 for line in lines[0])


@packing
def test_past_selves_merge_and_a_saved_one_is_read_again(
    make_policy: MakePolicy, prompts: list[Prompt], tmp_path: Path
) -> None:
    policy = make_policy(**QLORA)
    with torch.no_grad():
        for name, weight in policy.network.model.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.1)
    policy.network.eval()
    merged = MergedPolicy(policy)
    merged.add(policy)
    with torch.no_grad():
        mine = policy.score(prompts, [(40, 50)] * 8).logprobs
        with merged.swapped(policy) as teacher:
            torch.testing.assert_close(teacher.score(prompts, [(40, 50)] * 8).logprobs, mine, atol=1e-4, rtol=0)
        policy.save(tmp_path / "saved")
        again = load_policy(tmp_path / "saved", policy.config)
        again.network.eval()
        assert torch.equal(again.score(prompts, [(40, 50)] * 8).logprobs, mine)

"""Merging an agent's past selves: worked numbers, what must hold of any merge, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from torch import Tensor

from gtr.errors import PolicyError
from gtr.policy.merge import MergedPolicy, effective, ties
from gtr.policy.policy import Policy
from gtr.types import Prompt, Sample

VECTORS = json.loads((Path(__file__).parents[1] / "data" / "algorithm_vectors.json").read_text())
MakePolicy = Callable[..., Policy]
MODES: dict[str, dict[str, Any]] = {
    "mean": {"mode": "mean"},
    "ema": {"mode": "ema", "alpha": 0.3},
    "ties": {"mode": "ties", "density": 1.0},
}
WHOLE = {"policy.freeze_vision": False}
LORA = {**WHOLE, "policy.finetune": "lora", "policy.lora_rank": 4, "policy.lora_alpha": 8}
FORMS: dict[str, dict[str, Any]] = {
    "full": WHOLE,
    "frozen vision": {"policy.freeze_vision": True},
    "lora": LORA,
    "lora, frozen vision": {**LORA, "policy.freeze_vision": True},
}


def shaken(policy: Policy, size: float = 0.05) -> Policy:
    """The policy after some learning."""
    with torch.no_grad():
        for parameter in policy.network.model.parameters():
            if parameter.requires_grad:
                parameter.add_(size * torch.randn(parameter.shape))
    return policy


def of(policy: Policy) -> dict[str, Tensor]:
    return dict(effective(policy))


def merged(teacher: MergedPolicy) -> dict[str, Tensor]:
    return {k.removeprefix("merged/"): v.clone() for k, v in teacher.tensors().items() if k.startswith("merged/")}


def rows(prompts: list[Prompt]) -> list[Sample]:
    return [Sample(prompt, (50, 60, 70), {}, temperature=0.7) for prompt in prompts]


def scored(policy: Policy, prompts: list[Prompt]) -> np.ndarray:
    policy.network.eval()
    with torch.no_grad():
        scores = policy.score(prompts, [(50, 60, 70)] * len(prompts), temperatures=[0.7] * len(prompts))
    return scores.logprobs.numpy()


# -- arithmetic ---------------------------------------------------------------------------------------------------
def test_ties_against_worked_numbers() -> None:
    wanted = VECTORS["merge"]
    vectors = [torch.tensor(one) for one in wanted["task_vectors"]]
    for density, name in ((1.0, "density1"), (0.5, "density0p5")):
        found = ties(vectors, wanted["weights"], density)
        assert found.tolist() == pytest.approx(wanted[f"ties_weight_normalised_{name}"], abs=2e-6)
    copies = ties(vectors[:1] * 3, wanted["weights"], 1.0)
    assert copies.tolist() == pytest.approx(wanted["identical_checkpoints_weight_norm"], abs=2e-6)


@given(
    st.lists(st.lists(st.floats(-4, 4, width=32), min_size=5, max_size=5), min_size=1, max_size=4), st.floats(0.1, 1)
)
def test_ties_entry_by_entry(told: list[list[float]], density: float) -> None:
    """A naive loop over entries, in double precision."""
    weights = [1.0 + i for i in range(len(told))]
    found = ties([torch.tensor(one, dtype=torch.float64) for one in told], weights, density).tolist()
    cut = []
    for vector in told:
        least = sorted((abs(x) for x in vector), reverse=True)[max(1, round(density * 5)) - 1]
        cut.append([x if abs(x) >= least else 0.0 for x in vector])
    for i in range(5):
        total = sum(w * v[i] for w, v in zip(weights, cut, strict=True))
        alike = [(w, v[i]) for w, v in zip(weights, cut, strict=True) if v[i] * total > 0]
        mean = sum(w * x for w, x in alike) / sum(w for w, _ in alike) if alike else 0.0
        assert found[i] == pytest.approx(mean, abs=1e-9)


@pytest.mark.parametrize("mode", ["mean", "ema"])
def test_a_running_merge_against_worked_numbers(mode: str, make_policy: MakePolicy) -> None:
    """Weights of which all entries are 1, then 2, 4, 8."""
    policy, wanted = make_policy(), VECTORS["incremental_teacher"]
    teacher = MergedPolicy(policy, mode, alpha=0.5)
    for value, expected in zip(
        wanted["checkpoints"], wanted["sma" if mode == "mean" else "ema_alpha_half"], strict=True
    ):
        with torch.no_grad():
            for parameter in policy.network.model.parameters():
                parameter.fill_(value)
        teacher.add(policy)
        for found in merged(teacher).values():
            torch.testing.assert_close(found, torch.full_like(found, expected), atol=2e-6, rtol=2e-6)


def test_the_start_may_be_a_member(make_policy: MakePolicy) -> None:
    policy = make_policy()
    base = of(policy)
    teachers = {mode: MergedPolicy(policy, mode, alpha=0.25, member=True) for mode in ("mean", "ema")}
    now = of(shaken(policy))
    for mode, share in (("mean", 0.5), ("ema", 0.25)):
        teachers[mode].add(policy)
        for name, value in merged(teachers[mode]).items():
            torch.testing.assert_close(value, (1 - share) * base[name] + share * now[name])


# -- what must hold of any merge ----------------------------------------------------------------------------------
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("mode", MODES)
def test_copies_merge_into_the_copy(mode: str, form: str, make_policy: MakePolicy, prompts: list[Prompt]) -> None:
    policy = make_policy(**FORMS[form])
    teacher = MergedPolicy(policy, **MODES[mode])
    shaken(policy)
    before = {name: value.clone() for name, value in policy.network.state_dict().items()}
    own, frozen = of(policy), [name for name, p in policy.network.named_parameters() if not p.requires_grad]
    for copies in range(1, 5):
        teacher.add(policy)
        for name, value in merged(teacher).items():
            if mode == "ties":
                torch.testing.assert_close(value, own[name], atol=1e-6, rtol=1e-5)
            else:
                assert torch.equal(value, own[name]), f"{copies} copies: {name}"
    assert teacher.distance(policy) == pytest.approx(0, abs=1e-4)
    found = np.array(teacher.logprobs(policy, rows(prompts)))
    assert found == pytest.approx(scored(policy, prompts), abs=1e-4)
    assert all(torch.equal(value, before[name]) for name, value in policy.network.state_dict().items())
    assert [name for name, p in policy.network.named_parameters() if not p.requires_grad] == frozen


def test_a_trimmed_merge_of_copies_is_the_trimmed_copy(make_policy: MakePolicy) -> None:
    policy = make_policy()
    base = of(policy)
    teacher = MergedPolicy(policy, "ties", density=0.5)
    shaken(policy)
    own = of(policy)
    for copies in range(1, 4):
        teacher.add(policy)
        for name, value in merged(teacher).items():
            kept = torch.isclose(value, own[name], atol=1e-6)
            assert bool((kept | torch.isclose(value, base[name], atol=1e-6)).all())
            share = float((value != base[name]).float().mean())
            assert share == 1.0 if copies == 1 else abs(share - 0.5) <= 1 / value.numel() + 1e-9


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("mode", MODES)
def test_a_second_merge_changes_the_teacher(
    mode: str, form: str, make_policy: MakePolicy, prompts: list[Prompt]
) -> None:
    policy = make_policy(**FORMS[form])
    teacher = MergedPolicy(policy, **MODES[mode])
    said = [np.array(teacher.logprobs(policy, rows(prompts)))]
    for _ in range(3):
        teacher.add(shaken(policy))
        said.append(np.array(teacher.logprobs(policy, rows(prompts))))
        assert np.abs(said[-1] - said[-2]).max() > 1e-4


def test_a_merge_of_adapters_is_that_of_their_products(make_policy: MakePolicy) -> None:
    """Against PEFT's own products, and not the product of the means."""
    policy = make_policy(**LORA)
    teacher, products = MergedPolicy(policy, "mean"), []
    for _ in range(3):
        teacher.add(shaken(policy))
        layers = {n: m for n, m in policy.network.model.named_modules() if hasattr(m, "get_delta_weight")}
        products.append({name: layer.get_delta_weight("default").clone() for name, layer in layers.items()})
    found = merged(teacher)
    assert found.keys() == products[0].keys()
    for name, value in found.items():
        wanted = torch.stack([one[name] for one in products]).mean(0)
        torch.testing.assert_close(value, wanted.detach(), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("form", ["full", "lora"])
@pytest.mark.parametrize("mode", MODES)
def test_an_interrupted_merge_goes_on_exactly(mode: str, form: str, make_policy: MakePolicy, tmp_path: Path) -> None:
    policy = make_policy(**FORMS[form])
    straight, first = (MergedPolicy(policy, **MODES[mode]) for _ in range(2))
    for _ in range(2):
        shaken(policy)
        straight.add(policy)
        first.add(policy)
    save_file(first.tensors(), tmp_path / "merged.safetensors")
    again = MergedPolicy(policy, **MODES[mode])
    again.restore(load_file(tmp_path / "merged.safetensors"), first.count)
    shaken(policy)
    for one in (straight, again):
        one.add(policy)
    one, other = straight.tensors(), again.tensors()
    assert one.keys() == other.keys()
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_one_set_of_the_weights_that_learn_is_kept(make_policy: MakePolicy) -> None:
    policy = make_policy(**{"policy.freeze_vision": True})
    learning = {name: p.numel() for name, p in policy.network.model.named_parameters() if p.requires_grad}
    for mode, sets in (("mean", 1), ("ema", 1), ("ties", 2)):
        teacher = MergedPolicy(policy, mode)
        teacher.add(shaken(policy))
        assert sum(value.numel() for value in teacher.tensors().values()) == sets * sum(learning.values())
    weights = dict(policy.network.model.named_parameters())
    places = {name: p.data_ptr() for name, p in weights.items()}
    with teacher.swapped(policy):
        moved = {name for name, p in weights.items() if p.data_ptr() != places[name]}
    assert moved == set(learning), "no frozen weight is copied"
    assert {name: p.data_ptr() for name, p in weights.items()} == places, "nor the agent's own"


# -- what is refused, and what is not -----------------------------------------------------------------------------
def with_adapters(policy: Policy, **options: Any) -> Policy:
    targets = options.pop("target_modules", ["q_proj", "v_proj"])
    adapters = LoraConfig(r=4, lora_alpha=8, target_modules=targets, **options)
    policy.network.model = get_peft_model(policy.network.model, adapters)
    return policy


REFUSED: dict[str, dict[str, Any]] = {
    "DoRA": {"use_dora": True},
    "trained biases": {"bias": "lora_only"},
    "whole modules": {"modules_to_save": ["lm_head"]},
    "adapted embeddings": {"target_modules": ["q_proj", "embed_tokens"]},
    "Conv2d": {"target_modules": ["q_proj", "patch_embedding"]},
}


@pytest.mark.parametrize("what", REFUSED)
def test_adapters_that_do_more_are_refused_by_name(what: str, make_policy: MakePolicy) -> None:
    policy = with_adapters(make_policy(), **REFUSED[what])
    with pytest.raises(PolicyError, match=f"merging.*{what}"):
        MergedPolicy(policy)


@pytest.mark.parametrize(
    "options",
    [{"use_rslora": True}, {"rank_pattern": {"v_proj": 2}}, {"use_rslora": True, "rank_pattern": {"q_proj": 8}}],
)
def test_other_scales_and_ranks_merge(options: dict[str, Any], make_policy: MakePolicy, prompts: list[Prompt]) -> None:
    policy = with_adapters(make_policy(), **options)
    teacher = MergedPolicy(policy)
    shaken(policy)
    for _ in range(2):
        teacher.add(policy)
    found = np.array(teacher.logprobs(policy, rows(prompts)))
    assert found == pytest.approx(scored(policy, prompts), abs=1e-4)


def test_the_agent_comes_back_after_an_error(make_policy: MakePolicy, prompts: list[Prompt]) -> None:
    policy = make_policy(**LORA)
    teacher = MergedPolicy(policy)
    before = scored(shaken(policy), prompts)
    with pytest.raises(KeyboardInterrupt), teacher.swapped(policy):
        raise KeyboardInterrupt
    assert np.array_equal(scored(policy, prompts), before)

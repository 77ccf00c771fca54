"""Sampling and scoring are one distribution, and that distribution is the model's own: no padding, no trick."""

import math
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from transformers import AutoModelForImageTextToText, GenerationConfig

from gtr.policy import tiny
from gtr.policy.policy import Policy
from gtr.types import Prompt

KINDS = tuple(tiny.BUILDERS)
MakePolicy = Callable[..., Policy]


def sharpen(policy: Policy, factor: float = 20.0) -> Policy:
    """Random weights give nearly uniform distributions, under which a wrong position or mask hardly shows."""
    with torch.no_grad():
        policy.network.model.get_output_embeddings().weight.mul_(factor)
    return policy


def ending_early(policy: Policy) -> Policy:
    """Lets a sixth of the vocabulary end a reply, so that a batch holds replies of different lengths."""
    policy.end_ids = (policy.tokenizer.eos_token_id, *range(20, len(policy.tokenizer), 6))
    return policy


def naive(policy: Policy, prompt: Prompt, reply: Sequence[int], temperature: float) -> tuple[list[float], float]:
    """Log-probabilities and value of one reply from a plain forward pass of one sample, written with transformers."""
    model = AutoModelForImageTextToText.from_pretrained(policy.config.model, dtype=torch.float32)
    model.load_state_dict(policy.network.model.state_dict())
    model.eval()
    image_token = policy.processor.image_token
    text = "<s>" + prompt.text + image_token + "\n"
    made = policy.processor(images=[Pillow.fromarray(prompt.image)], text=text, return_tensors="pt")
    inputs: dict[str, Any] = dict(made)
    start = inputs["input_ids"].shape[1]
    inputs["input_ids"] = torch.cat([inputs["input_ids"], torch.tensor([list(reply)])], dim=1)
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    if "mm_token_type_ids" in inputs:
        inputs["mm_token_type_ids"] = torch.nn.functional.pad(inputs["mm_token_type_ids"], (0, len(reply)))
    with torch.no_grad():
        out = model(**inputs, output_hidden_states=True)
    special = {"<pad>", "<s>", "</s>", image_token}
    vocabulary = policy.tokenizer.get_vocab()
    forbidden = {vocabulary[token] for token in special if vocabulary[token] not in policy.end_ids}
    found = []
    for i, token in enumerate(reply):
        row = out.logits[0, start - 1 + i].double().numpy() / temperature
        allowed = [value for number, value in enumerate(row) if number not in forbidden]
        total = math.fsum(math.exp(value - max(allowed)) for value in allowed)
        found.append(row[token] - max(allowed) - math.log(total))
    hidden = out.hidden_states[-1][:, start - 1]
    return found, float(policy.network.value_head(hidden).detach())


@pytest.mark.parametrize("greedy", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_sampled_log_probabilities_are_those_of_scoring(
    kind: str, greedy: bool, make_policy: MakePolicy, prompts: list[Prompt]
) -> None:
    policy = ending_early(sharpen(make_policy(kind)))
    replies = policy.generate(prompts, greedy=greedy)
    with torch.no_grad():
        scores = policy.score(prompts, [reply.tokens for reply in replies])
    assert {reply.finished for reply in replies} == {False, True} or greedy
    assert len({len(reply.tokens) for reply in replies}) > 1
    for row, reply in enumerate(replies):
        assert len(reply.logprobs) == len(reply.tokens)
        scored = scores.logprobs[row].tolist()
        assert scored[: len(reply.tokens)] == pytest.approx(reply.logprobs, abs=1e-4)
        assert not any(scored[len(reply.tokens) :]), "padding counts for nothing"
        assert float(scores.values[row]) == pytest.approx(reply.value, abs=1e-5)
    assert min(min(reply.logprobs) for reply in replies) < -0.1 or greedy


@pytest.mark.parametrize("temperature", [0.3, 1.7])
@pytest.mark.parametrize("kind", KINDS)
def test_scoring_equals_a_naive_forward_of_one_sample(
    kind: str, temperature: float, make_policy: MakePolicy, prompts: list[Prompt]
) -> None:
    policy = sharpen(make_policy(kind, **{"policy.temperature": temperature}), 3.0)
    rng = np.random.default_rng(1)
    replies = [rng.integers(4, len(policy.tokenizer), size=size).tolist() for size in (1, 4, 7)]
    chosen = [prompts[0], prompts[5], prompts[7]]
    with torch.no_grad():
        scores = policy.score(chosen, replies)
    for row, (prompt, reply) in enumerate(zip(chosen, replies, strict=True)):
        logprobs, value = naive(policy, prompt, reply, temperature)
        assert scores.logprobs[row, : len(reply)].tolist() == pytest.approx(logprobs, abs=1e-4)
        assert float(scores.values[row]) == pytest.approx(value, abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_of_eight_is_eight_of_one(kind: str, make_policy: MakePolicy, prompts: list[Prompt]) -> None:
    policy = sharpen(make_policy(kind))
    together = policy.generate(prompts, greedy=True)
    for prompt, reply in zip(prompts, together, strict=True):
        (alone,) = policy.generate([prompt], greedy=True)
        assert alone.tokens == reply.tokens
        assert alone.logprobs == pytest.approx(reply.logprobs, abs=1e-4)
        assert alone.value == pytest.approx(reply.value, abs=1e-5)
    replies = [reply.tokens[: 3 + i] for i, reply in enumerate(together)]
    with torch.no_grad():
        batch = policy.score(prompts, replies, entropy=True)
        for row, (prompt, tokens) in enumerate(zip(prompts, replies, strict=True)):
            single = policy.score([prompt], [tokens], entropy=True)
            assert batch.logprobs[row, : len(tokens)].tolist() == pytest.approx(single.logprobs[0].tolist(), abs=1e-4)
            assert batch.entropy[row, : len(tokens)].tolist() == pytest.approx(single.entropy[0].tolist(), abs=1e-4)
            assert float(batch.values[row]) == pytest.approx(float(single.values[0]), abs=1e-5)
    assert policy.values(prompts) == pytest.approx(batch.values.tolist(), abs=1e-5)
    assert batch.values.std() > 1e-3, "the critic tells the prompts apart"


@pytest.mark.parametrize("kind", KINDS)
def test_the_picture_matters(kind: str, make_policy: MakePolicy, pictures: list[np.ndarray]) -> None:
    policy = make_policy(kind)
    with torch.no_grad():
        scores = policy.score([Prompt(p, "move:") for p in pictures[:2]], [[50, 60], [50, 60]]).logprobs
    assert not torch.allclose(scores[0], scores[1], atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_forbidden_tokens_are_neither_sampled_nor_candidates(
    kind: str, make_policy: MakePolicy, prompts: list[Prompt]
) -> None:
    policy = make_policy(kind)
    names = ["<pad>", "<s>", policy.processor.image_token]
    loved = [policy.tokenizer.get_vocab()[name] for name in names]

    def love(_module: object, _inputs: object, logits: torch.Tensor) -> torch.Tensor:
        bonus = torch.zeros(logits.shape[-1])
        bonus[loved] = 1e3
        return logits + bonus

    policy.network.model.get_output_embeddings().register_forward_hook(love)
    for greedy in (False, True):
        for reply in policy.generate(prompts, greedy=greedy):
            assert not set(loved) & set(reply.tokens)
            assert all(math.isfinite(x) for x in reply.logprobs)
    with torch.no_grad():
        scores = policy.score([prompts[0]], [[50, *loved[:2], 60]])
        others = policy.score([prompts[0]] * 2, [[50, 60], [50, 61]], entropy=True)
    assert scores.logprobs[0].tolist()[1:3] == [-math.inf, -math.inf]
    assert torch.isfinite(others.logprobs).all()
    assert float(others.entropy.max()) <= math.log(len(policy.tokenizer) - 3) + 1e-4


def test_the_distribution_sums_to_one_without_forbidden_tokens(make_policy: MakePolicy, prompts: list[Prompt]) -> None:
    policy = make_policy()
    allowed = [i for i in range(len(policy.tokenizer)) if i not in {0, 1, 3}]
    with torch.no_grad():
        scores = policy.score([prompts[0]] * len(allowed), [[i] for i in allowed], entropy=True)
    p = scores.logprobs[:, 0].double().exp()
    assert float(p.sum()) == pytest.approx(1.0, abs=1e-5)
    assert float(scores.entropy[0, 0]) == pytest.approx(float(-(p * p.log()).sum()), abs=1e-4)


def test_a_repetition_penalty_changes_samples_but_not_what_is_recorded(
    make_policy: MakePolicy, prompts: list[Prompt]
) -> None:
    plain = sharpen(make_policy())
    penalised = sharpen(make_policy(**{"policy.repetition_penalty": 1.8}))
    greedy = [policy.generate(prompts, greedy=True) for policy in (plain, penalised)]
    assert [r.tokens for r in greedy[0]] != [r.tokens for r in greedy[1]]
    for replies in (penalised.generate(prompts), greedy[1]):
        with torch.no_grad():
            scores = plain.score(prompts, [reply.tokens for reply in replies]).logprobs
        for row, reply in enumerate(replies):
            assert reply.logprobs == pytest.approx(scores[row, : len(reply.tokens)].tolist(), abs=1e-4)


@pytest.mark.parametrize("penalised", ["prompt_and_reply", "reply"])
def test_what_is_penalised_is_the_reply_or_the_prompt_too(
    penalised: str, make_policy: MakePolicy, prompts: list[Prompt]
) -> None:
    """Greedy replies of padded prompts against a plain loop that divides or multiplies what was seen by 1.8."""
    policy = sharpen(make_policy(**{"policy.repetition_penalty": 1.8, "policy.penalised": penalised}))
    replies = policy.generate(prompts[:3], greedy=True)
    for prompt, reply in zip(prompts[:3], replies, strict=True):
        inputs = dict(policy.inputs([prompt]))
        before = set() if penalised == "reply" else set(inputs["input_ids"][0].tolist())
        said: list[int] = []
        while said != list(reply.tokens):
            ids = torch.cat([inputs["input_ids"], torch.tensor([said], dtype=torch.long)], dim=1)
            with torch.no_grad():
                whole = {**inputs, "input_ids": ids, "attention_mask": torch.ones_like(ids)}
                logits = policy.network.allowed(policy.network.model(**whole).logits[0, -1])
            for token in {*before, *said}:
                logits[token] = logits[token] * 1.8 if logits[token] < 0 else logits[token] / 1.8
            said.append(int(logits.argmax()))
            assert said[-1] == reply.tokens[len(said) - 1]
    assert sum(len(reply.tokens) for reply in replies) > 15


def test_the_models_own_generation_settings_do_not_leak_into_sampling(
    make_policy: MakePolicy, prompts: list[Prompt], tmp_path: Path
) -> None:
    """Published checkpoints bring penalties and cut-offs of their own, for example those of Qwen2.5-VL."""
    plain = make_policy()
    shutil.copytree(plain.config.model, tmp_path / "model")
    own = GenerationConfig.from_pretrained(tmp_path / "model")
    own.repetition_penalty, own.top_k, own.top_p, own.temperature, own.do_sample = 1.9, 2, 0.1, 0.01, True
    own.no_repeat_ngram_size, own.min_new_tokens, own.bad_words_ids = 1, 16, [[i] for i in range(60, 300)]
    own.suppress_tokens, own.typical_p, own.min_p = [61, 62], 0.2, 0.3
    own.save_pretrained(tmp_path / "model")
    opinionated = sharpen(make_policy(**{"policy.model": str(tmp_path / "model")}), 5.0)
    sharpen(plain, 5.0)
    replies = []
    for policy in (plain, opinionated):
        torch.manual_seed(1)
        replies.append(policy.generate(prompts))
    assert [r.tokens for r in replies[0]] == [r.tokens for r in replies[1]]
    assert opinionated.end_ids == plain.end_ids


def test_samples_follow_the_recorded_distribution(make_policy: MakePolicy, prompts: list[Prompt]) -> None:
    """1,200 first tokens against the scored probabilities: chi-squared over the ten likeliest and the rest."""
    policy = sharpen(make_policy(**{"policy.max_new_tokens": 1, "policy.temperature": 1.0}), 8.0)
    policy.end_ids = (2,)
    with torch.no_grad():
        allowed = [i for i in range(len(policy.tokenizer)) if i not in {0, 1, 3}]
        scores = policy.score([prompts[0]] * len(allowed), [[i] for i in allowed]).logprobs[:, 0].double().exp()
    order = scores.argsort(descending=True)[:10].tolist()
    likeliest = [allowed[i] for i in order]
    drawn = [reply.tokens[0] for _ in range(6) for reply in policy.generate([prompts[0]] * 200)]
    seen = np.array([drawn.count(i) for i in likeliest] + [sum(i not in likeliest for i in drawn)])
    chances = np.array([float(scores[i]) for i in order])
    expected = len(drawn) * np.append(chances, 1 - chances.sum())
    assert ((seen - expected) ** 2 / expected).sum() < 31.3, "chance of a larger value: 0.0005"


def test_each_row_has_its_own_temperature(make_policy: MakePolicy, prompts: list[Prompt]) -> None:
    policy = sharpen(make_policy(**{"policy.temperature": 0.5}), 4.0)
    cold = make_policy(**{"policy.temperature": 1.0})
    sharpen(cold, 4.0)
    replies = [[50, 60, 70]] * 2
    with torch.no_grad():
        mixed = policy.score(prompts[:2], replies, temperatures=[0.5, 1.0]).logprobs
        torch.testing.assert_close(mixed[0], policy.score(prompts[:2], replies).logprobs[0])
        torch.testing.assert_close(mixed[1], cold.score(prompts[:2], replies).logprobs[1])


@pytest.mark.parametrize("flow", [True, False])
def test_the_values_gradient_stops_at_the_head_when_told(
    flow: bool, make_policy: MakePolicy, prompts: list[Prompt]
) -> None:
    policy = make_policy()
    policy.score(prompts[:2], [[50], [60]], value_gradient=flow).values.sum().backward()
    reached = [p.grad is not None and bool(p.grad.any()) for p in policy.network.model.parameters()]
    assert any(reached) is flow
    assert all(p.grad is not None for p in policy.network.value_head.parameters())


def test_equal_seeds_give_equal_samples(make_policy: MakePolicy, prompts: list[Prompt]) -> None:
    policy = make_policy()
    runs = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        runs.append([reply.tokens for reply in policy.generate(prompts)])
    assert runs[0] == runs[1] != runs[2]

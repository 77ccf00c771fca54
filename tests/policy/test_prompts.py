"""What a prompt's tokens are, whoever writes the start token: the tokeniser, the chat template, or both."""

from collections.abc import Callable
from pathlib import Path
from threading import Event, current_thread
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers.processors import TemplateProcessing
from transformers import LlavaNextImageProcessorPil, LlavaNextProcessor

from gtr.policy import tiny
from gtr.policy.families import one_tile_processor
from gtr.policy.loading import load_policy
from gtr.policy.policy import Policy
from gtr.policy.prefix import LEAST, SHARED, shared_length
from gtr.policy.prompts import PromptEncoder, size
from gtr.types import Prompt

KINDS = tuple(tiny.BUILDERS)


def tokens(policy: Policy, prompt: Prompt) -> list[int]:
    ids = PromptEncoder(policy.processor, policy.pad_id).encode(prompt)["input_ids"]
    return [int(one) for one in ids[0]]


def starting(policy: Policy) -> None:
    """Makes the tokeniser begin every text with the start token, as Llama's and Mistral's do."""
    tokenizer = policy.tokenizer
    pair = (tokenizer.bos_token, tokenizer.bos_token_id)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single=f"{pair[0]} $A", special_tokens=[pair])
    assert tokenizer("move").input_ids[0] == tokenizer.bos_token_id


def template(policy: Policy, change: Callable[[str], str]) -> None:
    holder = policy.processor if getattr(policy.processor, "chat_template", None) else policy.tokenizer
    holder.chat_template = change(holder.chat_template)


@pytest.mark.parametrize("kind", KINDS)
def test_a_prompt_begins_with_one_start_token(
    kind: str, make_policy: Callable[..., Policy], prompts: list[Prompt]
) -> None:
    policy = make_policy(kind)
    start = policy.tokenizer.bos_token_id
    written = tokens(policy, prompts[3])
    assert [i for i, token in enumerate(written) if token == start] == [0], "the template writes it"
    starting(policy)
    assert tokens(policy, prompts[3]) == written, "both would write it"
    template(policy, lambda text: text.removeprefix("<s>"))
    assert tokens(policy, prompts[3]) == written, "the tokeniser writes it"


def test_a_picture_is_shown_whole_or_in_tiles_too(
    make_policy: Callable[..., Policy], prompts: list[Prompt], tmp_path: Path
) -> None:
    """A picture of 96 pixels has 16 patches; LLaVA-NeXT shows it once more as a tile, whose 4 lines end in a token of
    their own: 36. Without tiles its weights are those of a LLaVA, and are kept as one."""
    tiled, whole = (make_policy("tiny-llava-next", **{"policy.tiles": tiles}) for tiles in ("all", "one"))
    image = tiled.tokenizer.convert_tokens_to_ids("<image>")
    assert [tokens(policy, prompts[0]).count(image) for policy in (tiled, whole)] == [36, 16]
    assert (tiled.network.model.config.model_type, whole.network.model.config.model_type) == ("llava_next", "llava")
    ours, theirs = whole.network.model.state_dict(), tiled.network.model.state_dict()
    assert {*theirs} - {*ours} == {"model.image_newline"}
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
    replies = whole.generate(prompts[:2])
    with torch.no_grad():
        scores = whole.score(prompts[:2], [reply.tokens for reply in replies]).logprobs
    for row, reply in zip(scores.tolist(), replies, strict=True):
        assert row[: len(reply.tokens)] == pytest.approx(reply.logprobs, abs=1e-4)
    whole.save(tmp_path / "kept")
    again = load_policy(tmp_path / "kept", whole.config, 0)
    assert tokens(again, prompts[0]) == tokens(whole, prompts[0])
    with torch.no_grad():
        assert torch.equal(again.score(prompts[:1], [[50, 60]]).logprobs, whole.score(prompts[:1], [[50, 60]]).logprobs)


@pytest.mark.parametrize("kind", ["tiny-llava", "tiny-qwen2.5-vl"])
def test_other_families_are_shown_as_ever(kind: str, make_policy: Callable[..., Policy], prompts: list[Prompt]) -> None:
    policies = [make_policy(kind, **{"policy.tiles": tiles}) for tiles in ("all", "one")]
    assert len({tuple(tokens(policy, prompts[0])) for policy in policies}) == 1


def test_the_papers_model_shows_a_picture_of_300_pixels_in_576_tokens_or_1176(
    make_policy: Callable[..., Policy],
) -> None:
    """A tower of 336 pixels in patches of 14 sees 24 x 24 patches; tiled, once more, with a token after each line."""
    small = make_policy("tiny-llava-next").processor
    shown = LlavaNextImageProcessorPil(
        size={"shortest_edge": 336},
        crop_size={"height": 336, "width": 336},
        image_grid_pinpoints=[[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]],
    )
    tiled = LlavaNextProcessor(
        image_processor=shown,
        tokenizer=small.tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        image_token=small.image_token,
        chat_template=small.chat_template,
    )
    prompt = Prompt(np.zeros((300, 300, 3), np.uint8), "move:")
    image = small.tokenizer.convert_tokens_to_ids("<image>")
    for processor, count in ((tiled, 24 * 24 + 24 * 25), (one_tile_processor(tiled), 24 * 24)):
        assert int((PromptEncoder(processor, 0).encode(prompt)["input_ids"] == image).sum()) == count


RULES = " ".join(f"{digit}," for digit in range(30))


@pytest.mark.parametrize("kind", KINDS)
def test_text_that_all_prompts_begin_with_is_read_once_and_changes_nothing(
    kind: str, make_policy: Callable[..., Policy], prompts: list[Prompt]
) -> None:
    """Samples, scores and values, in a batch of prompts of several lengths, against reading every prompt whole."""
    shared, whole = (make_policy(kind, **{"policy.share_prefix": on}) for on in (True, False))
    for policy in (shared, whole):
        torch.nn.init.normal_(policy.network.value_head.layers[-1].weight, generator=torch.manual_seed(0))
    long = [Prompt(one.image, f"{RULES}{'go on ' * i}{one.text}") for i, one in enumerate(prompts)]
    batch, plain = shared.inputs(long), whole.inputs(long)
    before = batch[SHARED].shape[1]
    assert before >= LEAST
    assert batch["input_ids"].shape[1] == plain["input_ids"].shape[1] - before
    assert batch[SHARED][0].tolist() == tokens(shared, long[0])[:before]
    replies = shared.generate(long)
    said = [reply.tokens for reply in replies]
    with torch.no_grad():
        ours, theirs = (policy.score(long, said) for policy in (shared, whole))
    for name in ("logprobs", "values"):
        torch.testing.assert_close(getattr(ours, name), getattr(theirs, name), atol=1e-4, rtol=0)
    for row, reply in enumerate(replies):
        assert theirs.logprobs[row, : len(said[row])].tolist() == pytest.approx(reply.logprobs, abs=1e-4)
        assert float(theirs.values[row]) == pytest.approx(reply.value, abs=1e-4)
    assert shared.values(long) == pytest.approx(whole.values(long), abs=1e-4)


def test_what_is_shared_ends_at_the_first_difference_or_picture(
    make_policy: Callable[..., Policy], prompts: list[Prompt]
) -> None:
    alike = torch.arange(100, 160)[None]
    other = alike.clone()
    other[0, 50] = 7
    assert shared_length([alike, alike, other], ()) == 50
    assert shared_length([alike, other], {140}) == 40
    assert shared_length([alike, other], {120}) == 0, "too little to be worth a pass"
    assert shared_length([alike], ()) == 0, "nobody to share with"
    assert shared_length([alike, alike], ()) == 0, "something must be left to read"
    assert SHARED not in make_policy().inputs(prompts), "prompts of tiny agents are short: nothing changes for them"
    policy = make_policy(**{"policy.gradient_checkpointing": True})
    long = [Prompt(one.image, RULES + one.text) for one in prompts]
    assert SHARED not in policy.inputs(long), "layers that recompute themselves take no cache"
    with torch.no_grad():
        assert SHARED in policy.inputs(long)


class Slow:
    """A processor that waits for a sign, and notes the threads it is asked in."""

    def __init__(self, processor: Any) -> None:
        self._processor, self.tokenizer = processor, processor.tokenizer
        self.begun, self.go, self.threads = Event(), Event(), list[str]()

    def apply_chat_template(self, *given: Any, **options: Any) -> Any:
        return self._processor.apply_chat_template(*given, **options)

    def __call__(self, **given: Any) -> Any:
        self.threads.append(current_thread().name)
        self.begun.set()
        assert self.go.wait(10)
        return self._processor(**given)


def test_prompts_are_encoded_ahead_in_another_thread(make_policy: Callable[..., Policy], prompts: list[Prompt]) -> None:
    policy = make_policy()
    slow = Slow(policy.processor)
    encoder = PromptEncoder(slow, policy.pad_id)
    encoder.ahead(prompts[:2])
    assert slow.begun.wait(10), "it begins although nobody waits for it"
    slow.go.set()
    batch = encoder.batch(prompts[:2])
    assert slow.threads[0] != current_thread().name
    encoder.batch(prompts[:2])
    assert len(slow.threads) == 2, "each is encoded once, whoever comes first"
    for name, value in policy.prompts.batch(prompts[:2]).items():
        assert torch.equal(batch[name], value)


def test_encoded_prompts_are_kept_up_to_a_number_of_bytes(
    make_policy: Callable[..., Policy], prompts: list[Prompt], monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = make_policy()
    one = size(policy.prompts.encode(prompts[0]))
    assert one > 4 * 3 * 48 * 48
    monkeypatch.setattr("gtr.policy.prompts.CACHED_BYTES", 2 * one + one // 2)
    encoder = PromptEncoder(policy.processor, policy.pad_id)
    first = [encoder.encode(prompt) for prompt in prompts[:3]]
    assert encoder.encode(prompts[2]) is first[2]
    assert encoder.encode(prompts[1]) is first[1]
    assert encoder.encode(prompts[0]) is not first[0], "the one asked for longest ago went"

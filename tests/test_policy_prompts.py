"""What a prompt's tokens are, whoever writes the start token: the tokeniser, the chat template, or both."""

from collections.abc import Callable

import pytest
from tokenizers.processors import TemplateProcessing

from gtr.policy import tiny
from gtr.policy.policy import Policy
from gtr.policy.prompts import PromptEncoder
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

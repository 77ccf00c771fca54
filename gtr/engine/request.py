"""What a vLLM server is asked for a prompt, and how its answer is read: nothing is taken on trust."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from pydantic import BaseModel, ValidationError

from gtr.engine.server import Failure, Server
from gtr.policy.pictures import data_url, to_png
from gtr.policy.policy import Policy
from gtr.types import Image, Prompt, Reply

Answer = TypeVar("Answer", bound=BaseModel)
BARRED = -100.0
"""Added to the logits of forbidden tokens, the lowest that the protocol has."""


@dataclass(frozen=True)
class Question:
    """One reply that is asked for."""

    prompt: Prompt
    tokens: tuple[int, ...]
    """The prompt's, as the trainer reads it."""
    seed: int
    temperature: float
    """0 is greedy."""
    most: int
    """Tokens that the reply may have."""


@dataclass(frozen=True)
class Sampled:
    """A reply as an engine sampled it."""

    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    """Of each token under the distribution it was drawn from, in nats."""


class _Token(BaseModel):
    logprob: float


class _Logprobs(BaseModel):
    content: list[_Token]


class _Choice(BaseModel):
    token_ids: list[int]
    logprobs: _Logprobs


class _Answer(BaseModel):
    prompt_token_ids: list[int]
    choices: tuple[_Choice]


class Requests:
    """Requests for one policy's replies, in the words of `/v1/chat/completions`."""

    def __init__(self, policy: Policy) -> None:
        self._policy, self._special = policy, False
        self._forbidden = set(policy.network.forbidden)
        self._ends = set(policy.end_ids)
        self._settings = {
            **{"top_p": 1.0, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0},
            **{"logprobs": True, "top_logprobs": 0, "return_token_ids": True, "stop_token_ids": list(policy.end_ids)},
            "logit_bias": {str(token): BARRED for token in self._forbidden},
        }

    def questions(
        self, prompts: Sequence[Prompt], seeds: Sequence[int], temperature: float, most: int
    ) -> list[Question]:
        """One question per prompt. Not to be called by several threads: the trainer's prompts are cached."""
        if not prompts:
            return []
        encoder = self._policy.prompts
        self._special = encoder.adds_special(prompts[0])
        rows = [tuple(encoder.encode(prompt)["input_ids"][0].tolist()) for prompt in prompts]
        return [Question(*one, temperature, most) for one in zip(prompts, rows, seeds, strict=True)]

    def drawn(self, prompts: Sequence[Prompt], greedy: bool) -> list[Question]:
        """Questions under the policy's settings, with seeds from torch's global generator."""
        config, seeds = self._policy.config, torch.randint(2**31, (len(prompts),)).tolist()
        return self.questions(prompts, seeds, 0.0 if greedy else config.temperature, config.max_new_tokens)

    def sampled(self, asked: Question, server: Server) -> Sampled:
        """Asks a server; raises `Failure` where no usable answer comes."""
        return self.read(asked, server, server.complete(self.body(asked)))

    def reply(self, one: Sampled) -> Reply:
        """What was sampled, as a reply with the engine's own log-probabilities."""
        return Reply(self._policy.decode(one.tokens), one.tokens, one.logprobs, one.tokens[-1] in self._ends)

    def body(self, asked: Question) -> Mapping[str, Any]:
        """The request for one reply."""
        messages = self._policy.prompts.chat(asked.prompt, _shown)
        chosen = {"seed": asked.seed, "temperature": asked.temperature, "max_tokens": asked.most}
        return {"messages": messages, "add_special_tokens": self._special, **self._settings, **chosen}

    def read(self, asked: Question, server: Server, answer: Any) -> Sampled:
        """The reply in an answer. Raises `Failure` for one that is not what a server with this policy can have said."""
        made = answered(_Answer, server, answer)
        (choice,) = made.choices
        if problem := self._problem(asked, made.prompt_token_ids, choice):
            raise Failure(f"{server.address} {problem}")
        return Sampled(tuple(choice.token_ids), tuple(token.logprob for token in choice.logprobs.content))

    def _problem(self, asked: Question, seen: Sequence[int], choice: _Choice) -> str | None:
        """What is wrong with an answer, in words."""
        logprobs = [token.logprob for token in choice.logprobs.content]
        return otherwise(asked, seen) or self._odd(choice.token_ids, logprobs, asked.most)

    def _odd(self, tokens: Sequence[int], logprobs: Sequence[float], most: int) -> str | None:
        if len(logprobs) != len(tokens):
            return f"gave {len(logprobs)} log-probabilities for {len(tokens)} tokens"
        if not 0 < len(tokens) <= most:
            return f"gave {len(tokens)} tokens, asked for 1 to {most}"
        if self._ends & set(tokens[:-1]) or (len(tokens) < most and tokens[-1] not in self._ends):
            return f"ended a reply elsewhere than at its end token or the limit: {tokens}"
        barred = [one for one in tokens if one in self._forbidden or not 0 <= one < self._policy.network.vocabulary]
        if barred:
            return f"gave a token that a reply may not hold: {barred[0]}"
        impossible = [one for one in logprobs if not -1e4 < one <= 1e-6]
        return f"gave {impossible[0]} as a log-probability" if impossible else None


def _shown(image: Image) -> list[dict[str, Any]]:
    return [{"type": "image_url", "image_url": {"url": data_url(to_png(image))}}]


def otherwise(asked: Question, seen: Sequence[int]) -> str | None:
    """Says where a server reads a prompt otherwise than the trainer."""
    wanted = asked.tokens
    if tuple(seen) == wanted:
        return None
    return (
        f"reads a prompt as {len(seen)} tokens, the trainer as {len(wanted)}, and {_where(seen, wanted)} is "
        "the first that differs: it serves another model, or another processor or chat template"
    )


def _where(seen: Sequence[int], wanted: Sequence[int]) -> str:
    place = next((i for i, pair in enumerate(zip(seen, wanted, strict=False)) if pair[0] != pair[1]), len(seen))
    return f"number {place}"


def answered(kind: type[Answer], server: Server, answer: Any) -> Answer:
    """A server's answer in its form. Raises `Failure` naming the first place where it has another."""
    try:
        return kind.model_validate(answer)
    except ValidationError as error:
        place = str(error).splitlines()[1].strip()
        raise Failure(f"{server.address} leaves out what it was asked for ({place})") from None

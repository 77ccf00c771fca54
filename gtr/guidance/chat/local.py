"""A Hugging Face image-text model as corrector, in this process: questions that come together are answered together.

`HFChat` gathers questions into batches on the event loop; `Generator` answers a batch on a thread of its own.
"""

import asyncio
import base64
import hashlib
import io
import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, final

import torch
from PIL import Image as Pictures
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList

from gtr.config import CorrectorConfig, PolicyConfig
from gtr.errors import CorrectorError, PolicyError, RunError
from gtr.guidance.chat.costs import Ledger
from gtr.guidance.chat.model import ChatModel, Completion, Failure, FailureKind, Message, Tokens
from gtr.policy.loading import load_policy
from gtr.policy.policy import Policy
from gtr.policy.prompts import Encoded, begun, stack
from gtr.policy.templates import written

GATHER = 0.02
"""Seconds for which questions are gathered into a batch."""


@dataclass(frozen=True)
class Waiting:
    """A chat that waits for its turn."""

    number: int
    """In the ledger."""
    messages: Sequence[Message]
    answer: "asyncio.Future[Completion]"


@dataclass(frozen=True)
class Generated:
    """What the model wrote."""

    text: str
    tokens: Tokens
    cut: bool
    """Whether the token limit ended it."""


@final
class HFChat(ChatModel):
    """Answers chats with a model of its own. It costs no dollars; tokens and seconds are booked all the same."""

    def __init__(self, config: CorrectorConfig, ledger: Ledger) -> None:
        self._batch, self._ledger = config.batch, ledger
        self._generator = Generator(config)
        self._waiting: asyncio.Queue[Waiting] = asyncio.Queue()
        self._thread = ThreadPoolExecutor(1, "local-corrector")
        self._serving = asyncio.create_task(self._serve())

    async def ask(self, messages: Sequence[Message], **extra: Any) -> Completion:
        number = self._ledger.reserve(0.0)
        assert number is not None, "what costs nothing fits into any budget"
        answer: asyncio.Future[Completion] = asyncio.get_running_loop().create_future()
        await self._waiting.put(Waiting(number, messages, answer))
        return await answer

    async def _serve(self) -> None:
        while True:
            batch = [await self._waiting.get()]
            await asyncio.sleep(GATHER)
            while not self._waiting.empty() and len(batch) < self._batch:
                batch.append(self._waiting.get_nowait())
            given_up = [one for one in batch if one.answer.done()]
            for one in given_up:
                self._settle(one, Failure(FailureKind.LOST, "nobody waits for it"), 0.0)
            await self._answer([one for one in batch if one not in given_up])

    async def _answer(self, batch: Sequence[Waiting]) -> None:
        started = time.monotonic()
        chats = [one.messages for one in batch]
        try:
            generated = await asyncio.get_running_loop().run_in_executor(self._thread, self._generator.answer, chats)
        except torch.OutOfMemoryError as error:
            await self._answer_halves(batch, error)
            return
        except Exception as error:
            for one in batch:
                self._settle(one, error, time.monotonic() - started)
            return
        spent = time.monotonic() - started
        for one, said in zip(batch, generated, strict=True):
            self._settle(one, said, spent)

    def _settle(self, one: Waiting, said: Generated | Exception, seconds: float) -> None:
        """Books a question and hands its end to whoever asked: what fails here must not end the serving of others."""
        try:
            if isinstance(said, Generated):
                self._ledger.answered(one.number, 0.0, said.tokens, seconds)
            else:
                kind = said.kind if isinstance(said, Failure) else FailureKind.LOST
                self._ledger.failed(one.number, kind, 0.0, seconds)
        except RunError as error:
            said = error
        if one.answer.done():
            return
        if isinstance(said, Exception):
            one.answer.set_exception(said)
        else:
            one.answer.set_result(Completion(said.text, (), said.cut))

    async def _answer_halves(self, batch: Sequence[Waiting], error: torch.OutOfMemoryError) -> None:
        """What does not fit into the device's memory is asked in smaller batches, from now on."""
        torch.cuda.empty_cache()
        if len(batch) == 1:
            self._settle(batch[0], Failure(FailureKind.REJECTED, str(error)), 0.0)
            return
        self._batch = len(batch) // 2
        await self._answer(batch[: self._batch])
        await self._answer(batch[self._batch :])

    async def close(self) -> None:
        self._serving.cancel()
        self._generator.stop()
        self._thread.shutdown(wait=False, cancel_futures=True)


class Generator:
    """A loaded model that continues chats; only its answers' tokens are kept."""

    def __init__(self, config: CorrectorConfig) -> None:
        """Loads `config.model` onto `config.device`; raises `CorrectorError` where it cannot."""
        self._config = config
        self._stopped = _Stopped()
        try:
            self._model = _loaded(config)
        except PolicyError as error:
            raise CorrectorError(str(error).replace("policy.model", "corrector.model")) from error

    def stop(self) -> None:
        """Ends what is being written at its next token."""
        self._stopped.flag = True

    @torch.no_grad()
    def answer(self, chats: Sequence[Sequence[Message]]) -> list[Generated]:
        """One answer per chat. Equal chats get equal answers, whatever else is in the batch or drawn elsewhere."""
        model, config = self._model, self._config
        rows = [self._encode(chat) for chat in chats]
        dtype = next(model.network.model.parameters()).dtype
        inputs = {
            name: value.to(model.device, dtype if value.is_floating_point() else None)
            for name, value in stack(rows, model.pad_id).items()
        }
        shape: list[LogitsProcessor] = [_Allowed(model.network)]
        if config.temperature > 0:
            shape.append(_Sampler(config.temperature, [_seed(chat) for chat in chats], model.device))
        out: Tensor = model.network.model.generate(  # type: ignore[operator]
            **inputs,
            logits_processor=LogitsProcessorList(shape),
            stopping_criteria=StoppingCriteriaList([self._stopped]),
            generation_config=GenerationConfig(
                do_sample=False,
                max_new_tokens=config.max_tokens,
                eos_token_id=list(model.end_ids),
                pad_token_id=model.pad_id,
            ),
        )
        replies = out[:, inputs["input_ids"].shape[1] :].tolist()
        return [self._read(row, tokens) for row, tokens in zip(rows, replies, strict=True)]

    def _read(self, row: Encoded, tokens: Sequence[int]) -> Generated:
        ends = [i for i, token in enumerate(tokens) if token in self._model.end_ids]
        kept = tokens[: ends[0]] if ends else tokens
        return Generated(self._model.decode(kept), Tokens(row["input_ids"].shape[1], len(kept) + bool(ends)), not ends)

    def _encode(self, chat: Sequence[Message]) -> Encoded:
        pictures = [_opened(part) for message in chat for part in _parts(message) if part["type"] == "image_url"]
        text = self._templated([{"role": one["role"], "content": self._for_template(one)} for one in chat])
        special = begun(self._model.tokenizer, text)
        made = self._model.processor(images=pictures or None, text=text, return_tensors="pt", **special)
        return {name: value for name, value in made.items() if isinstance(value, Tensor)}

    def _for_template(self, message: Message) -> list[dict[str, Any]]:
        """Always a list of parts: many templates walk over a text's letters instead, and write nothing."""
        return [
            {"type": "text", "text": self._harmless(part["text"])} if part["type"] == "text" else {"type": "image"}
            for part in _parts(message)
        ]

    def _harmless(self, text: str) -> str:
        """The text with special tokens spelt apart: an agent can write the letters of an image placeholder."""
        for token in self._model.tokenizer.all_special_tokens:
            text = text.replace(token, f"{token[0]} {token[1:]}")
        return text

    def _templated(self, chat: Sequence[Message]) -> str:
        """The chat as the model's template writes it; for templates without a system role the user says it all."""
        for form in (chat, _without_system(chat)):
            try:
                text = written(self._model.processor, form)
            except PolicyError as error:
                fault = str(error.__cause__ or error)
                continue
            if all(part["text"].strip() in text for one in chat for part in one["content"] if "text" in part):
                return text
            fault = "it leaves out a part of the chat"
        raise CorrectorError(f"corrector.model {self._config.model} has no usable chat template: {fault}")


def _loaded(config: CorrectorConfig) -> Policy:
    """The model with its processor and special tokens, as agents are loaded; its value head is never used."""
    wanted = config.device
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(wanted)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise CorrectorError(f"corrector.device {config.device} cannot be used ({reason}): give auto or cpu") from None
    settings = PolicyConfig(model=config.model, dtype="float32" if device.type == "cpu" else "bfloat16")
    model = load_policy(config.model, settings, device=device)
    model.network.requires_grad_(False).eval()
    return model


def _parts(message: Message) -> Sequence[Mapping[str, Any]]:
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _without_system(chat: Sequence[Message]) -> list[Message]:
    if chat[0]["role"] != "system":
        return list(chat)
    system, user, *rest = chat
    both = [*system["content"], {"type": "text", "text": "\n\n"}, *user["content"]]
    return [{"role": "user", "content": both}, *rest]


def _opened(part: Mapping[str, Any]) -> Pictures.Image:
    data = part["image_url"]["url"].partition(",")[2]
    return Pictures.open(io.BytesIO(base64.b64decode(data))).convert("RGB")


def _seed(chat: Sequence[Message]) -> int:
    return int.from_bytes(hashlib.sha256(json.dumps(chat).encode()).digest()[:7])


class _Allowed(LogitsProcessor):
    """No special tokens, no pictures."""

    def __init__(self, network: Any) -> None:
        self._network = network

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        return self._network.allowed(scores.float())  # type: ignore[no-any-return]


class _Sampler(LogitsProcessor):
    """Draws each token by Gumbel noise of its row's own: whose largest sum wins is a sample (Gumbel 1954).

    Torch's global generator is left alone, on which the agent draws at the same time.
    """

    def __init__(self, temperature: float, seeds: Sequence[int], device: torch.device) -> None:
        self._temperature, self._device = temperature, device
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        uniform = [torch.rand(scores.shape[1], generator=one, dtype=torch.float64) for one in self._generators]
        noise = -torch.log(-torch.log(torch.stack(uniform).clamp(1e-300, 1 - 1e-16)))
        return scores / self._temperature + noise.to(self._device, scores.dtype)


class _Stopped(StoppingCriteria):
    """Ends generation once the run does."""

    flag = False

    def __call__(self, input_ids: Tensor, scores: Tensor, **_: Any) -> Tensor:
        return torch.full((input_ids.shape[0],), self.flag, device=input_ids.device)

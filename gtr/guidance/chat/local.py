"""A Hugging Face image-text model as corrector, in this process: questions that come together are answered together."""

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, final

import torch

from gtr.config import CorrectorConfig
from gtr.guidance.chat.failures import Failure, Kind
from gtr.guidance.chat.ledger import Ledger
from gtr.guidance.chat.speaker import Completion, Message, Speaker
from gtr.guidance.chat.writer import Writer, Written

GATHER = 0.02
"""Seconds for which questions are gathered into a batch."""


@dataclass(frozen=True)
class Waiting:
    """A chat that waits for its turn."""

    number: int
    """In the ledger."""
    messages: Sequence[Message]
    answer: "asyncio.Future[Completion]"


@final
class LocalModel(Speaker):
    """Answers chats with a model of its own. It costs no dollars; tokens and seconds are booked all the same."""

    def __init__(self, config: CorrectorConfig, ledger: Ledger) -> None:
        self._batch, self._ledger = config.batch, ledger
        self._writer = Writer(config)
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
            await self._answer([one for one in batch if not one.answer.done()])

    async def _answer(self, batch: Sequence[Waiting]) -> None:
        started = time.monotonic()
        chats = [one.messages for one in batch]
        try:
            written = await asyncio.get_running_loop().run_in_executor(self._thread, self._writer.write, chats)
        except torch.OutOfMemoryError as error:
            await self._answer_halves(batch, error)
            return
        except Exception as error:
            for one in batch:
                one.answer.set_exception(error)
            return
        spent = time.monotonic() - started
        for one, said in zip(batch, written, strict=True):
            self._settle(one, said, spent)

    def _settle(self, one: Waiting, said: Written, seconds: float) -> None:
        self._ledger.answered(one.number, 0.0, said.tokens_in, said.tokens_out, seconds)
        if not one.answer.done():
            one.answer.set_result(Completion(said.text, (), said.cut))

    async def _answer_halves(self, batch: Sequence[Waiting], error: torch.OutOfMemoryError) -> None:
        """What does not fit into the device's memory is asked in smaller batches, from now on."""
        torch.cuda.empty_cache()
        if len(batch) == 1:
            self._ledger.failed(batch[0].number, Kind.REJECTED, 0.0, 0.0)
            batch[0].answer.set_exception(Failure(Kind.REJECTED, str(error)))
            return
        self._batch = len(batch) // 2
        await self._answer(batch[: self._batch])
        await self._answer(batch[self._batch :])

    async def close(self) -> None:
        self._serving.cancel()
        self._writer.stop()
        self._thread.shutdown(wait=False, cancel_futures=True)

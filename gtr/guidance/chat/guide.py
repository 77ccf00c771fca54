"""A model that guides, on a thread of its own: cases go in on the caller's side, verdicts come out of an event loop."""

import asyncio
import logging
import threading
from abc import abstractmethod
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from gtr.config import Config
from gtr.errors import CorrectorError
from gtr.guidance.chat.client import Client
from gtr.guidance.chat.desk import Desk
from gtr.guidance.chat.journal import Journal
from gtr.guidance.chat.ledger import Ledger
from gtr.guidance.chat.prices import price_of
from gtr.guidance.chat.speaker import Speaker
from gtr.guidance.corrector import Case, Corrector
from gtr.tasks.task import Task
from gtr.types import Verdict

CLOSING = 3.0
"""Seconds that pending requests get to be dropped when the run ends."""
T = TypeVar("T")
Work = Coroutine[Any, Any, Verdict]
log = logging.getLogger(__name__)


class ModelGuide(Corrector):
    """What correctors and judges that are models share. `folder` takes ledger and verdicts; None keeps nothing."""

    def __init__(self, config: Config, task: Task, folder: Path | None = None, rank: int = 0, ranks: int = 1) -> None:
        self._task = task
        if config.guidance.corrector == "local":
            config = _without_a_server(config)
        own = None if folder is None else folder / "corrector"
        budget = config.corrector.budget_usd
        file = None if own is None else own / f"requests-{rank}.jsonl"
        self.ledger = Ledger(file, None if budget is None else budget / ranks)
        self._journal = journal_of(config.corrector.replay, own, f"verdicts-{rank}.jsonl")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="corrector", daemon=True)
        self._thread.start()
        try:
            self._speaker = self._call(self._speak(config))
        except BaseException:
            self._stop()
            raise
        self._desk = Desk(config, task, self.ledger, self._journal, self._speaker, rank)

    async def _speak(self, config: Config) -> Speaker:
        """The model that the settings name: loaded here, or behind an API."""
        if config.guidance.corrector == "local":
            from gtr.guidance.chat.local import LocalModel

            return LocalModel(config.corrector, self.ledger)
        price = price_of(config.corrector)
        if price is None:
            log.warning("the price of %s is not known: its cost is counted as 0", config.corrector.model)
        return Client(config.corrector, price, self.ledger)

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    # -- the caller's side ----------------------------------------------------------------------------------------
    def judge(self, cases: Sequence[Case]) -> list["Future[Verdict]"]:
        futures: list[Future[Verdict]] = [Future() for _ in cases]
        self._loop.call_soon_threadsafe(self._begin, cases, futures)
        return futures

    def metrics(self) -> Mapping[str, float]:
        return self.ledger.metrics()

    def close(self) -> None:
        """Drops what is under way and ends the thread, within seconds whatever the model does."""
        if self._loop.is_closed():
            return
        ending = asyncio.run_coroutine_threadsafe(self._drop_all(), self._loop)
        with suppress(TimeoutError, asyncio.CancelledError):
            ending.result(CLOSING)
        self._stop()
        self.ledger.close()
        self._journal.close()

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CLOSING)
        if not self._thread.is_alive():
            self._loop.close()

    async def _drop_all(self) -> None:
        pending = asyncio.all_tasks() - {asyncio.current_task()}
        for one in pending:
            one.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        await self._speaker.close()

    # -- the loop's side ------------------------------------------------------------------------------------------
    def _begin(self, cases: Sequence[Case], futures: Sequence["Future[Verdict]"]) -> None:
        for work, future in zip(self._begun(cases), futures, strict=True):
            _deliver_end(self._loop.create_task(work), future)

    @abstractmethod
    def _begun(self, cases: Sequence[Case]) -> Sequence[Work]:
        """What is to be done about each case. Called in the order in which cases came."""


def _without_a_server(config: Config) -> Config:
    """A local model is held to a form by words alone, and fills in tools' arguments when it is asked to."""
    asked = config.corrector
    tools = "prompt" if asked.tools == "auto" else asked.tools
    return replace(config, corrector=replace(asked, structured="prompt", tools=tools))


def journal_of(replay: str | None, folder: Path | None, name: str) -> Journal:
    """Where verdicts are recorded, and the ones of the run that is replayed.

    Raises:
        CorrectorError: the run to replay has none.
    """
    recorded = None if replay is None else Path(replay) / "corrector" / name
    if recorded is not None and not recorded.is_file():
        raise CorrectorError(f"corrector.replay: {recorded} does not exist; give a run that used this corrector")
    return Journal(None if folder is None else folder / name, recorded)


def _deliver_end(work: "asyncio.Task[Verdict]", future: "Future[Verdict]") -> None:
    """Hands a task's end over to the caller's thread."""

    def deliver(done: "asyncio.Task[Verdict]") -> None:
        if not future.set_running_or_notify_cancel():
            return
        if done.cancelled():
            future.set_exception(CorrectorError("the corrector was closed while this was being asked"))
        elif (error := done.exception()) is not None:
            future.set_exception(error)
        else:
            future.set_result(done.result())

    work.add_done_callback(deliver)

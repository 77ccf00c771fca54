"""Correctors and judges that are models, each on an event loop of its own, so that the rollout need not wait for it.

`judge` is called on the caller's thread and returns futures at once. All else happens on the loop's thread, which
delivers each verdict into its future: one loop per process holds all requests, limits and files.
"""

import asyncio
import logging
import threading
from abc import abstractmethod
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, final

from gtr.config import Config
from gtr.errors import CorrectorError
from gtr.guidance.chat.client import Client
from gtr.guidance.chat.costs import Ledger, price_of
from gtr.guidance.chat.dispatch import Dispatcher, Source, VerdictCache
from gtr.guidance.chat.model import ChatModel
from gtr.guidance.chat.questions import Comparisons, Corrections, Question, Scores
from gtr.guidance.corrector import Case, Corrector
from gtr.guidance.judge import NO_RIVAL, UNREADABLE, flipped, matches
from gtr.tasks.task import Task
from gtr.types import Judgement, ReplyStatus, Verdict

CLOSING = 3.0
"""Seconds that pending requests get to be dropped when the run ends."""
UNPLANNED = ""
"""Promised where later turns need not wait for a plan: the game has none, or nothing can help any more."""
Promise = asyncio.Future[str | None]
"""The plan that an episode follows from some turn on, once it is known; None while none was chosen."""
T = TypeVar("T")
Work = Coroutine[Any, Any, Verdict]
log = logging.getLogger(__name__)


class ModelWorker(Corrector):
    """What correctors and judges that are models share. `folder` takes ledger and verdicts; None keeps nothing."""

    def __init__(self, config: Config, task: Task, folder: Path | None = None, rank: int = 0, ranks: int = 1) -> None:
        self._task = task
        if config.guidance.corrector == "local":
            config = _without_a_server(config)
        own = None if folder is None else folder / "corrector"
        budget = config.corrector.budget_usd
        file = None if own is None else own / f"requests-{rank}.jsonl"
        self.ledger = Ledger(file, None if budget is None else budget / ranks)
        self._cache = cache_of(config.corrector.replay, own, f"verdicts-{rank}.jsonl")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="corrector", daemon=True)
        self._thread.start()
        try:
            self._model = self._call(self._load(config))
        except BaseException:
            self._stop()
            raise
        self._dispatcher = Dispatcher(config, task, self.ledger, self._cache, self._model, rank)

    async def _load(self, config: Config) -> ChatModel:
        """The model that the settings name: loaded here, or behind an API."""
        if config.guidance.corrector == "local":
            from gtr.guidance.chat.local import HFChat

            return HFChat(config.corrector, self.ledger)
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
        self._cache.close()

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
        await self._model.close()

    # -- the loop's side ------------------------------------------------------------------------------------------
    def _begin(self, cases: Sequence[Case], futures: Sequence["Future[Verdict]"]) -> None:
        for work, future in zip(self._begun(cases), futures, strict=True):
            _deliver_end(self._loop.create_task(work), future)

    @abstractmethod
    def _begun(self, cases: Sequence[Case]) -> Sequence[Work]:
        """What is to be done about each case. Called in the order in which cases came."""


def _without_a_server(config: Config) -> Config:
    """The settings for a model in this process, which has neither structured output nor tool calls.

    The prompt alone tells it the form of its answer, and it is asked for a tool's arguments first.
    """
    asked = config.corrector
    tools = "prompt" if asked.tools == "auto" else asked.tools
    return replace(config, corrector=replace(asked, structured="prompt", tools=tools))


def cache_of(replay: str | None, folder: Path | None, name: str) -> VerdictCache:
    """Where verdicts are recorded, and the ones of the run that is replayed.

    Raises:
        CorrectorError: the run to replay has none.
    """
    recorded = None if replay is None else Path(replay) / "corrector" / name
    if recorded is not None and not recorded.is_file():
        raise CorrectorError(f"corrector.replay: {recorded} does not exist; give a run that used this corrector")
    return VerdictCache(None if folder is None else folder / name, recorded)


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


@final
class ModelCorrector(ModelWorker):
    """Judges and rewrites thoughts by asking a model. It keeps one plan per episode (paper section 3.2).

    A turn waits for nothing but the plan of its episode: as soon as one verdict has chosen it, all later turns of the
    episode are asked about at the same time. So neither order nor timing of answers changes what is asked.
    """

    def __init__(self, config: Config, task: Task, folder: Path | None = None, rank: int = 0, ranks: int = 1) -> None:
        self._plans = bool(task.corrector_spec().plan)
        self._corrections = Corrections(task, config.corrector)
        self._chains: dict[int, tuple[int, Promise]] = {}
        """By environment: the episode and its plan."""
        super().__init__(config, task, folder, rank, ranks)

    def state(self) -> Mapping[str, object]:
        """The plans of open episodes. Money and verdicts need no checkpoint: their files are always up to date."""
        return self._call(self._promised())

    async def _promised(self) -> dict[str, object]:
        return {str(env): [episode, await promise] for env, (episode, promise) in self._chains.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._call(self._restore(state))

    async def _restore(self, state: Mapping[str, Any]) -> None:
        for env, (episode, target) in state.items():
            promise = self._promise()
            promise.set_result(target)
            self._chains[int(env)] = episode, promise

    def _promise(self) -> Promise:
        return self._loop.create_future()

    def _begun(self, cases: Sequence[Case]) -> Sequence[Work]:
        return [self._linked(case) for case in cases]

    def _linked(self, case: Case) -> Work:
        """A case behind the one before it in its episode."""
        episode, before = self._chains.get(case.env, (-1, None))
        plan = self._promise()
        if not self._plans:
            plan.set_result(UNPLANNED)
        self._chains[case.env] = case.episode, plan
        return self._judge(case, before if episode == case.episode else None, plan)

    async def _judge(self, case: Case, before: Promise | None, plan: Promise) -> Verdict:
        try:
            kept = await before if before is not None else None
            if kept == UNPLANNED or (kept and self._task.fits(case.observation, kept)):
                _keep(plan, kept)
            else:
                kept = None
            verdict = await self._dispatcher.verdict(case, self._corrections.question(case, kept or None))
            _keep(plan, UNPLANNED if verdict.judgement is Judgement.UNSOLVABLE else verdict.target)
            return verdict
        finally:
            _keep(plan, None)


def _keep(plan: Promise, target: str | None) -> None:
    """Keeps a promise, if it was not kept before."""
    if not plan.done():
        plan.set_result(target)


@final
class ModelJudge(ModelWorker):
    """Scores thoughts by asking a model: one by one, or one against another (arXiv 2402.03681)."""

    def __init__(self, config: Config, task: Task, folder: Path | None = None, rank: int = 0, ranks: int = 1) -> None:
        self._compares = config.guidance.judge == "compare"
        self._scores, self._comparisons = Scores(task), Comparisons(task)
        super().__init__(config, task, folder, rank, ranks)

    def _begun(self, cases: Sequence[Case]) -> Sequence[Work]:
        if not self._compares:
            return [self._dispatcher.verdict(case, self._scores.question(case)) for case in cases]
        works: dict[int, Work] = {}
        for match in matches(cases):
            question = self._comparisons.question(match.first, match.second)
            asked = self._loop.create_task(self._dispatcher.verdict(match.first, question))
            works[id(match.first)] = _first(asked)
            if match.settles_second:
                works[id(match.second)] = self._second(match.second, question, asked)
        return [works.get(id(case)) or self._unmatched(case) for case in cases]

    async def _second(self, case: Case, question: Question, asked: "asyncio.Task[Verdict]") -> Verdict:
        verdict = flipped(await asked)
        self._dispatcher.record(case, question, verdict, Source.MATCH)
        return verdict

    async def _unmatched(self, case: Case) -> Verdict:
        verdict = NO_RIVAL if case.parsed.status is ReplyStatus.COMPLETE else UNREADABLE
        self._dispatcher.record(case, self._scores.question(case), verdict, Source.RULE)
        return verdict


async def _first(asked: "asyncio.Task[Verdict]") -> Verdict:
    return await asked

"""The chat corrector: turns go in on the caller's thread, verdicts come out of an event loop of its own.

A turn waits for nothing but the plan of its episode: as soon as one verdict has chosen it, all later turns of the
episode are asked about at the same time. So neither order nor timing of answers changes what is asked.
"""

import asyncio
import hashlib
import logging
import threading
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar, final

from gtr.config import Config
from gtr.errors import CorrectorError
from gtr.guidance.chat.client import Client
from gtr.guidance.chat.conversation import Conversation
from gtr.guidance.chat.failures import Broke, Failure, Kind
from gtr.guidance.chat.journal import Journal, Source
from gtr.guidance.chat.ledger import Ledger
from gtr.guidance.chat.prices import price_of
from gtr.guidance.chat.probe import Abilities, find_abilities
from gtr.guidance.chat.questions import key_of
from gtr.guidance.corrector import Case, Corrector
from gtr.tasks.task import Task
from gtr.types import Judgement, ReplyStatus, Verdict

CLOSING = 3.0
"""Seconds that pending requests get to be dropped when the run ends."""
ABSENT = Verdict(Judgement.ABSENT)
SKIPPED = Verdict(Judgement.SKIPPED)
T = TypeVar("T")
Promise = asyncio.Future[str | None]
"""The plan that an episode follows from some turn on, once it is known."""
log = logging.getLogger(__name__)


@final
class ChatCorrector(Corrector):
    """Judges by asking a model (paper section 3.2). `folder` takes its ledger and its verdicts; None keeps nothing."""

    def __init__(self, config: Config, task: Task, folder: Path | None = None, rank: int = 0, ranks: int = 1) -> None:
        self._task, self._config, self._malformed = task, config.corrector, config.guidance.correct_malformed
        self._seed, self._rank = config.seed, rank
        budget, price = config.corrector.budget_usd, price_of(config.corrector)
        if price is None:
            log.warning("the price of %s is not known: its cost is counted as 0", config.corrector.model)
        own = None if folder is None else folder / "corrector"
        self.ledger = Ledger(
            None if own is None else own / f"requests-{rank}.jsonl", None if budget is None else budget / ranks
        )
        replay = config.corrector.replay
        recorded = None if replay is None else Path(replay) / "corrector" / f"verdicts-{rank}.jsonl"
        if recorded is not None and not recorded.is_file():
            raise CorrectorError(f"corrector.replay: {recorded} does not exist; give a run that used this corrector")
        self._journal = Journal(None if own is None else own / f"verdicts-{rank}.jsonl", recorded)
        self._chains: dict[int, tuple[int, Promise]] = {}
        """By environment: the episode and its plan."""
        self._asking: dict[str, asyncio.Task[Verdict]] = {}
        """By what is asked: questions under way, so that the same is never asked twice at a time."""
        self._abilities: asyncio.Task[Abilities] | None = None
        self._said: set[str] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="corrector", daemon=True)
        self._thread.start()
        self._client, self._conversation = self._call(self._connect(price))

    async def _connect(self, price: Any) -> tuple[Client, Conversation]:
        client = Client(self._config, price, self.ledger)
        return client, Conversation(self._task, self._config, client, self.ledger)

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    # -- the caller's side ----------------------------------------------------------------------------------------
    def judge(self, cases: Sequence[Case]) -> list["Future[Verdict]"]:
        futures: list[Future[Verdict]] = [Future() for _ in cases]
        for case, future in zip(cases, futures, strict=True):
            self._loop.call_soon_threadsafe(self._begin, case, future)
        return futures

    def metrics(self) -> Mapping[str, float]:
        return self.ledger.metrics()

    def state(self) -> Mapping[str, object]:
        """The plans of open episodes. Money and verdicts need no checkpoint: their files are always up to date."""
        return self._call(self._plans())

    async def _plans(self) -> dict[str, object]:
        return {str(env): [episode, await promise] for env, (episode, promise) in self._chains.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._call(self._restore(state))

    async def _restore(self, state: Mapping[str, Any]) -> None:
        self._chains = {int(env): (episode, _kept(target)) for env, (episode, target) in state.items()}

    def close(self) -> None:
        """Drops what is under way and ends the thread, within seconds whatever the server does."""
        if self._loop.is_closed():
            return
        ending = asyncio.run_coroutine_threadsafe(self._drop_all(), self._loop)
        with suppress(TimeoutError, asyncio.CancelledError):
            ending.result(CLOSING)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CLOSING)
        if not self._thread.is_alive():
            self._loop.close()
        self.ledger.close()
        self._journal.close()

    async def _drop_all(self) -> None:
        pending = asyncio.all_tasks() - {asyncio.current_task()}
        for one in pending:
            one.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        await self._client.close()

    # -- the loop's side ------------------------------------------------------------------------------------------
    def _begin(self, case: Case, future: "Future[Verdict]") -> None:
        """Starts on a case in the order in which cases came."""
        episode, before = self._chains.get(case.env, (-1, None))
        plan: Promise = self._loop.create_future()
        self._chains[case.env] = case.episode, plan
        work = self._loop.create_task(self._judge(case, before if episode == case.episode else None, plan))
        work.add_done_callback(lambda done: _deliver(done, future))

    async def _judge(self, case: Case, before: Promise | None, plan: Promise) -> Verdict:
        kept = await before if before is not None else None
        if kept is not None and self._task.fits(case.observation, kept):
            plan.set_result(kept)
        else:
            kept = None
        try:
            verdict = await self._verdict(case, kept)
            if not plan.done():
                plan.set_result(verdict.target)
            return verdict
        finally:
            if not plan.done():
                plan.set_result(None)

    async def _verdict(self, case: Case, kept: str | None) -> Verdict:
        key = key_of(case, self._task, self._conversation.system, kept, self._config)
        replayed = self._journal.replayed(case, key)
        if replayed is not None:
            verdict, source = replayed, Source.REPLAY
        elif (free := self._free(case)) is not None:
            verdict, source = free
        elif (known := self._journal.find(key)) is not None:
            self.ledger.count("cache_hits")
            verdict, source = known, Source.CACHE
        else:
            verdict, source = await self._asked(case, kept, key)
        self._journal.write(case, key, verdict, source)
        return verdict

    def _free(self, case: Case) -> tuple[Verdict, Source] | None:
        """What the settings decide without asking."""
        complete = case.parsed.status is ReplyStatus.COMPLETE
        if not complete and not self._malformed:
            return SKIPPED, Source.SETTINGS
        if self._config.ask == "doubted" and complete:
            answers = self._task.check(case.truth, case.parsed, None)
            if answers and all(answers.values()):
                target = self._task.stated_plan(case.truth, case.parsed)
                return Verdict(Judgement.RIGHT, answers=answers, target=target), Source.RULE
        if self._config.ask_share < 1 and self._draw(case) >= self._config.ask_share:
            return SKIPPED, Source.SETTINGS
        return None

    def _draw(self, case: Case) -> float:
        """A number from 0 to 1 that belongs to the turn, the same after a resume."""
        name = repr((self._seed, self._rank, case.env, case.episode, case.index))
        return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6]) / 2**48

    async def _asked(self, case: Case, kept: str | None, key: str) -> tuple[Verdict, Source]:
        """The model's verdict, or an empty one that says why there is none."""
        asking = self._asking.get(key)
        shared = asking is not None
        if asking is None:
            asking = self._asking[key] = self._loop.create_task(self._ask(case, kept))
            asking.add_done_callback(lambda _: self._asking.pop(key, None))
        try:
            verdict = await asyncio.shield(asking)
        except Failure as failure:
            event = {Kind.INVALID: "invalid", Kind.DOWN: "down"}.get(failure.kind)
            if event and not shared:
                self.ledger.count(event)
            log.info("no verdict for environment %d, turn %d: %s: %s", case.env, case.index, failure.kind, failure)
            return ABSENT, Source.FAILED
        except Broke:
            return self._broke(), Source.BUDGET
        if shared:
            self.ledger.count("cache_hits")
        return verdict, Source.CACHE if shared else Source.ASKED

    async def _ask(self, case: Case, kept: str | None) -> Verdict:
        return await self._conversation.verdict(case, kept, await self._able())

    async def _able(self) -> Abilities:
        """What the server can do, found out by the first question; after a failure by the next one."""
        if self._abilities is None:
            finding = find_abilities(self._client, self._config, self._conversation.has_tools)
            self._abilities = self._loop.create_task(finding)
        try:
            return await asyncio.shield(self._abilities)
        except (Failure, Broke):
            self._abilities = None
            raise

    def _broke(self) -> Verdict:
        self.ledger.count("unfunded")
        spent = f"the corrector's budget of ${self._config.budget_usd:g} is spent"
        if self._config.at_budget == "stop":
            raise CorrectorError(f"{spent}: raise corrector.budget_usd, or set corrector.at_budget continue")
        if "budget" not in self._said:
            self._said.add("budget")
            log.warning("%s: further turns go without lessons", spent)
        return SKIPPED


def _kept(target: str | None) -> Promise:
    promise: Promise = asyncio.get_running_loop().create_future()
    promise.set_result(target)
    return promise


def _deliver(done: "asyncio.Task[Verdict]", future: "Future[Verdict]") -> None:
    """Hands a task's end over to the caller's thread."""
    if not future.set_running_or_notify_cancel():
        return
    if done.cancelled():
        future.set_exception(CorrectorError("the corrector was closed while this was being asked"))
    elif (error := done.exception()) is not None:
        future.set_exception(error)
    else:
        future.set_result(done.result())

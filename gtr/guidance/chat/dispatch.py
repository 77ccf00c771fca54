"""Where a question goes: to a replayed run, a free rule, the cache of what was asked before, or the model.

Every turn's verdict stands on a line of its own: a cache by what was asked, and what a run can be replayed from.
"""

import asyncio
import logging
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, StrictBool, StrictInt, StrictStr

from gtr.config import Config
from gtr.errors import CorrectorError
from gtr.guidance.chat.answers import clean, clean_thought
from gtr.guidance.chat.conversation import Capabilities, Conversation, find_capabilities
from gtr.guidance.chat.costs import Ledger
from gtr.guidance.chat.model import BudgetExceeded, ChatModel, Failure, FailureKind
from gtr.guidance.chat.questions import Question
from gtr.guidance.corrector import Case
from gtr.guidance.judge import UNREADABLE
from gtr.guidance.sharing import asks
from gtr.report.files import JsonlFile, plain, read_usable
from gtr.tasks.task import Task
from gtr.types import UNANSWERED, Judgement, ReplyStatus, Verdict

ABSENT = Verdict(Judgement.ABSENT)
SKIPPED = Verdict(Judgement.SKIPPED)
log = logging.getLogger(__name__)


class Source(StrEnum):
    """Where a turn's verdict came from."""

    ASKED = "asked"
    CACHE = "cache"
    RULE = "rule"
    """Decided without asking: by the task's own free check, or because there is nothing to judge."""
    MATCH = "match"
    """The other side of a comparison."""
    SETTINGS = "settings"
    """Not asked, by corrector.ask_share or guidance.correct_malformed."""
    BUDGET = "budget"
    FAILED = "failed"
    REPLAY = "replay"


class VerdictRecord(BaseModel):
    """A verdict as it stands on file. What is read back is as fit to be learnt from as an answer that just came."""

    judgement: Annotated[Judgement, BeforeValidator(Judgement)]
    thought: Annotated[dict[str, Any], BeforeValidator(clean_thought)] | None
    action: Annotated[StrictStr, BeforeValidator(clean)] | None
    answers: dict[StrictStr, StrictBool]
    target: Annotated[StrictStr, BeforeValidator(clean)] | None
    stop: StrictBool
    score: Annotated[float, Field(ge=0, le=1)] | None


class Line(BaseModel):
    """One turn's verdict, what it was asked by, and where it came from."""

    env: StrictInt
    episode: StrictInt
    turn: StrictInt
    key: StrictStr
    verdict: VerdictRecord


class VerdictCache:
    """The verdicts of one process of a run; of a turn that occurs twice, after a resume, the last line counts.

    A line that cannot be used is set aside with a message, and its turn is asked about again.
    """

    def __init__(self, file: Path | None, replay: Path | None = None) -> None:
        self._file = JsonlFile(file)
        self._answers: dict[str, Verdict] = {}
        self._turns: dict[tuple[int, int, int], tuple[str, Verdict]] = {}
        self._replay = replay
        if replay is None:
            self._file.read(self._take)
        else:
            read_usable(replay, self._take)

    def _take(self, record: Mapping[str, Any]) -> None:
        line = Line.model_validate(record)
        verdict = Verdict(**dict(line.verdict))
        self._turns[line.env, line.episode, line.turn] = line.key, verdict
        # The others are recorded, but never given for an answer when the same is asked again.
        if verdict.judgement not in UNANSWERED:
            self._answers[line.key] = verdict

    def find(self, key: str) -> Verdict | None:
        """The answer to what was asked before."""
        return self._answers.get(key)

    def replayed(self, case: Case, key: str) -> Verdict | None:
        """The recorded verdict of a turn; None where this is no replay.

        Raises:
            CorrectorError: the recorded run has no verdict for what this turn asks.
        """
        if self._replay is None:
            return None
        recorded, verdict = self._turns.get((case.env, case.episode, case.index), ("", None))
        if recorded == key and verdict is not None:
            return verdict
        known = self.find(key)
        if known is None:
            raise CorrectorError(
                f"{self._replay} has no verdict for environment {case.env}, episode {case.episode}, turn {case.index}: "
                "a replay needs the recorded run's settings and versions; or leave out corrector.replay to ask"
            )
        return known

    def write(self, case: Case, key: str, verdict: Verdict, source: Source) -> None:
        """Records a turn's verdict."""
        if verdict.judgement not in UNANSWERED:
            self._answers[key] = verdict
        where = {"env": case.env, "episode": case.episode, "turn": case.index, "key": key, "source": str(source)}
        kept = {name: plain(getattr(verdict, name)) for name in VerdictRecord.model_fields}
        self._file.append({**where, "verdict": kept})

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


class Dispatcher:
    """All that happens to one process's questions, on its event loop."""

    def __init__(self, config: Config, task: Task, ledger: Ledger, cache: VerdictCache, model: ChatModel, rank: int):
        self._task, self._config, self._guidance = task, config.corrector, config.guidance
        self._seed, self._rank = config.seed, rank
        self._ledger, self._cache, self._model = ledger, cache, model
        self._conversation = Conversation(task, config.corrector, model, ledger)
        self._tools = self._conversation.tools.specs()
        self._asking: dict[str, asyncio.Task[Verdict]] = {}
        """By what is asked: questions under way, so that the same is never asked twice at a time."""
        self._capabilities: asyncio.Task[Capabilities] | None = None
        self._said: set[str] = set()

    async def verdict(self, case: Case, question: Question) -> Verdict:
        """The verdict of a turn, recorded before it is returned."""
        key = question.key(self._config, self._tools)
        replayed = self._cache.replayed(case, key)
        if replayed is not None:
            verdict, source = replayed, Source.REPLAY
        elif (free := self._free(case)) is not None:
            verdict, source = free
        elif (known := self._cache.find(key)) is not None:
            self._ledger.count("cache_hits")
            verdict, source = known, Source.CACHE
        else:
            verdict, source = await self._asked(case, question, key)
        self._cache.write(case, key, verdict, source)
        return verdict

    def record(self, case: Case, question: Question, verdict: Verdict, source: Source) -> None:
        """Records a verdict that another one implies."""
        self._cache.write(case, question.key(self._config, self._tools), verdict, source)

    def _free(self, case: Case) -> tuple[Verdict, Source] | None:
        """What is decided without asking."""
        complete = case.parsed.status is ReplyStatus.COMPLETE
        judging = self._guidance.judge != "off"
        if not complete and judging:
            return UNREADABLE, Source.RULE
        if not complete and not self._guidance.correct_malformed:
            return SKIPPED, Source.SETTINGS
        if self._config.ask == "doubted" and complete and not judging:
            answers = self._task.check(case.truth, case.parsed, None)
            if answers and all(answers.values()):
                target = self._task.stated_plan(case.truth, case.parsed)
                return Verdict(Judgement.CORRECT, answers=answers, target=target), Source.RULE
        return None if asks(self._config.ask_share, self._seed, self._rank, case) else (SKIPPED, Source.SETTINGS)

    async def _asked(self, case: Case, question: Question, key: str) -> tuple[Verdict, Source]:
        """The model's verdict, or an empty one that says why there is none."""
        asking = self._asking.get(key)
        shared = asking is not None
        if asking is None:
            asking = self._asking[key] = asyncio.create_task(self._ask(question))
            asking.add_done_callback(lambda _: self._asking.pop(key, None))
        try:
            verdict = await asyncio.shield(asking)
        except Failure as failure:
            event = {FailureKind.INVALID: "invalid", FailureKind.DOWN: "down"}.get(failure.kind)
            if event and not shared:
                self._ledger.count(event)
            log.info("no verdict for environment %d, turn %d: %s: %s", case.env, case.index, failure.kind, failure)
            return ABSENT, Source.FAILED
        except BudgetExceeded:
            return self._unfunded(), Source.BUDGET
        if shared:
            self._ledger.count("cache_hits")
        return verdict, Source.CACHE if shared else Source.ASKED

    async def _ask(self, question: Question) -> Verdict:
        return await self._conversation.verdict(question, await self._able())

    async def _able(self) -> Capabilities:
        """What the server can do, found out by the first question; after a failure by the next one."""
        finding = self._capabilities
        if finding is None:
            work = find_capabilities(self._model, self._config, bool(self._tools))
            finding = self._capabilities = asyncio.create_task(work)
        try:
            return await asyncio.shield(finding)
        except (Failure, BudgetExceeded):
            if self._capabilities is finding:
                self._capabilities = None
            raise

    def _unfunded(self) -> Verdict:
        self._ledger.count("unfunded")
        spent = f"the corrector's budget of ${self._config.budget_usd:g} is spent"
        if self._config.at_budget == "stop":
            raise CorrectorError(f"{spent}: raise corrector.budget_usd, or set corrector.at_budget continue")
        if "budget" not in self._said:
            self._said.add("budget")
            log.warning("%s: further turns go without lessons", spent)
        return SKIPPED

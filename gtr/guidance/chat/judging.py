"""The judge that is a model: it only scores a thought, or says which of two is better (arXiv 2402.03681)."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, final

from pydantic import BaseModel, BeforeValidator, Field, create_model

from gtr.config import Config
from gtr.guidance.chat.guide import ModelGuide, Work
from gtr.guidance.chat.journal import Source
from gtr.guidance.chat.questions import DATA, Question, checks_text, turn_text
from gtr.guidance.corrector import Case
from gtr.guidance.judge import FIRST_BETTER, NO_RIVAL, UNREADABLE, flipped, matches, scored
from gtr.tasks.task import Task
from gtr.types import ReplyStatus, Verdict

BEST = 10
"""The highest score that is asked for; verdicts hold it as a share."""


class Scores:
    """One game's questions for a score from 0 to `BEST`."""

    def __init__(self, task: Task) -> None:
        spec = task.corrector_spec()
        self._task = task
        checks = create_model("Checks", **dict.fromkeys(spec.questions, (bool, Field())))  # type: ignore[call-overload]
        self._form = create_model("Score", seen=str, checks=checks, score=Annotated[int, Field(ge=0, le=BEST)])
        self._system = (
            f"You judge the thoughts of a player who sees one picture per turn. {spec.rules}\n"
            f"Look at the picture yourself first, then judge the thought. {DATA}\n"
            "Answer with one JSON object and nothing else:\n"
            f'{{"seen": "what the picture shows, in a few words",\n "checks": {checks_text(spec)},\n '
            f'"score": a whole number from 0 (worthless) to {BEST} (right in everything)}}'
        )

    def question(self, case: Case) -> Question:
        """The question about one turn."""

        def read(answer: BaseModel) -> Verdict:
            said = answer.model_dump()
            return scored(said["score"] / BEST, said["checks"])

        return Question(self._system, turn_text(case, self._task), (case.prompt.image,), self._form, read)


Better = Annotated[
    Literal["first", "second", "equal"],
    BeforeValidator(lambda said: said.strip(" .").lower() if isinstance(said, str) else said),
]


class Preference(BaseModel):
    """The form of an answer to a comparison."""

    seen_first: str
    seen_second: str
    better: Better


class Comparisons:
    """One game's questions about two turns: whose thought fits its own picture better?"""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._system = (
            f"You compare the thoughts of two players of the same game, each of whom sees one picture. "
            f"{task.corrector_spec().rules}\n"
            "The first picture belongs to the first player, the second to the second. Look at both pictures yourself "
            f"first, then say whose thought is better for its own picture. {DATA}\n"
            "Answer with one JSON object and nothing else:\n"
            '{"seen_first": "what the first picture shows, in a few words",\n "seen_second": "the same of the second",'
            '\n "better": "first", "second" or "equal"}'
        )

    def question(self, first: Case, second: Case) -> Question:
        """The question about two turns; the verdict is the first one's."""
        turns = {"First player": turn_text(first, self._task), "Second player": turn_text(second, self._task)}
        text = "\n\n".join(f"{name}\n{told}" for name, told in turns.items())
        return Question(self._system, text, (first.prompt.image, second.prompt.image), Preference, _read)


def _read(answer: BaseModel) -> Verdict:
    return scored(FIRST_BETTER[answer.model_dump()["better"]])


@final
class ModelJudge(ModelGuide):
    """Scores thoughts by asking a model: one by one, or one against another."""

    def __init__(self, config: Config, task: Task, folder: Path | None = None, rank: int = 0, ranks: int = 1) -> None:
        self._compares = config.guidance.judge == "compare"
        self._scores, self._comparisons = Scores(task), Comparisons(task)
        super().__init__(config, task, folder, rank, ranks)

    def _begun(self, cases: Sequence[Case]) -> Sequence[Work]:
        if not self._compares:
            return [self._desk.verdict(case, self._scores.question(case)) for case in cases]
        works: dict[int, Work] = {}
        for match in matches(cases):
            question = self._comparisons.question(match.first, match.second)
            asked = self._loop.create_task(self._desk.verdict(match.first, question))
            works[id(match.first)] = _first(asked)
            if match.settles_second:
                works[id(match.second)] = self._second(match.second, question, asked)
        return [works.get(id(case)) or self._unmatched(case) for case in cases]

    async def _second(self, case: Case, question: Question, asked: "asyncio.Task[Verdict]") -> Verdict:
        verdict = flipped(await asked)
        self._desk.record(case, question, verdict, Source.MATCH)
        return verdict

    async def _unmatched(self, case: Case) -> Verdict:
        verdict = NO_RIVAL if case.parsed.status is ReplyStatus.COMPLETE else UNREADABLE
        self._desk.record(case, self._scores.question(case), verdict, Source.RULE)
        return verdict


async def _first(asked: "asyncio.Task[Verdict]") -> Verdict:
    return await asked

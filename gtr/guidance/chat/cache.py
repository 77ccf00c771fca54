"""Every turn's verdict on a line of its own: a cache by what was asked, and what a run can be replayed from."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, StrictBool, StrictInt, StrictStr

from gtr.errors import CorrectorError
from gtr.guidance.chat.answers import clean, clean_thought
from gtr.guidance.corrector import Case
from gtr.report.files import JsonlFile, plain, read_usable
from gtr.types import UNANSWERED, Judgement, Verdict


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
        verdict = verdict_of(line.verdict)
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
        self._file.append({**where, "verdict": verdict_record(verdict)})

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def verdict_record(verdict: Verdict) -> dict[str, Any]:
    """A verdict as JSON values."""
    return {
        "judgement": str(verdict.judgement),
        "thought": None if verdict.thought is None else plain(dict(verdict.thought)),
        "action": verdict.action,
        "answers": dict(verdict.answers),
        "target": verdict.target,
        "stop": verdict.stop,
        "score": verdict.score,
    }


def verdict_of(record: VerdictRecord) -> Verdict:
    """The verdict that `verdict_record` wrote."""
    return Verdict(**dict(record))

"""Every turn's verdict on a line of its own: a cache by what was asked, and what a run can be replayed from."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from gtr.errors import CorrectorError
from gtr.guidance.chat.lines import Lines
from gtr.guidance.corrector import Case
from gtr.report.files import plain, read_lines
from gtr.types import Judgement, Verdict

UNANSWERED = (Judgement.ABSENT, Judgement.SKIPPED)
"""Verdicts that are recorded, but never given for an answer when the same is asked again."""


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


class Journal:
    """The verdicts of one process of a run; of a turn that occurs twice, after a resume, the last line counts."""

    def __init__(self, file: Path | None, replay: Path | None = None) -> None:
        self._lines = Lines(file)
        self._answers: dict[str, Verdict] = {}
        self._turns: dict[tuple[int, int, int], tuple[str, Verdict]] = {}
        self._replay = replay
        for line in read_lines(replay) if replay else self._lines.read():
            verdict = verdict_of(line["verdict"])
            self._turns[line["env"], line["episode"], line["turn"]] = line["key"], verdict
            if verdict.judgement not in UNANSWERED:
                self._answers[line["key"]] = verdict

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
        self._lines.append({**where, "verdict": verdict_record(verdict)})

    def close(self) -> None:
        """Closes the file."""
        self._lines.close()


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


def verdict_of(record: Mapping[str, Any]) -> Verdict:
    """The verdict that `verdict_record` wrote."""
    return Verdict(
        Judgement(record["judgement"]),
        record["thought"],
        record["action"],
        record["answers"],
        record["target"],
        record["stop"],
        record["score"],
    )

"""A turn as the inspector shows it: the record itself, the task's own checks, and what an expert would have thought."""

from collections.abc import Mapping
from typing import Any

from gtr.errors import GtrError
from gtr.report.files import plain
from gtr.show.run import Run
from gtr.types import Parsed, ReplyStatus, Truth

TROUBLE = (GtrError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What a task may stumble over in a record that is damaged, or from another version."""


def shown(record: Mapping[str, Any], run: Run) -> dict[str, Any]:
    """A transcript's record with ``checks`` (by question) and ``expert`` (its thought), or with ``unjudged``: why."""
    result = dict(record)
    result.pop("tokens", None)
    if _kept(record) is not None:
        return result
    if run.task is None:
        return {**result, "unjudged": run.task_trouble}
    try:
        return {**result, "checks": _asked(record, run), "expert": _expert(record, run)}
    except TROUBLE as error:
        # A record of another version, or damaged: the task stumbles over it, the page must not.
        return {**result, "unjudged": f"the task could not judge this turn ({type(error).__name__}: {error})"}


def checks(record: Mapping[str, Any], run: Run) -> dict[str, bool]:
    """The task's questions about a complete thought and whether it passes each; empty where they cannot be asked."""
    if (kept := _kept(record)) is not None:
        return kept
    try:
        return _asked(record, run)
    except TROUBLE:
        return {}


def _asked(record: Mapping[str, Any], run: Run) -> dict[str, bool]:
    """The checks asked again of what the record says is true; raises any of `TROUBLE`."""
    if run.task is None or record.get("status") != ReplyStatus.COMPLETE:
        return {}
    parsed = Parsed(ReplyStatus.COMPLETE, record["fields"], record["action"])
    return dict(run.task.check(Truth(record["truth"]), parsed, None))


def _kept(record: Mapping[str, Any]) -> dict[str, bool] | None:
    """The checks that the run itself has written; None in folders of older versions."""
    found = record.get("checks")
    return {str(name): bool(passed) for name, passed in found.items()} if isinstance(found, dict) else None


def _expert(record: Mapping[str, Any], run: Run) -> dict[str, Any] | None:
    assert run.task is not None
    verdict = record.get("verdict") or {}
    expert = run.task.expert(Truth(record["truth"]), verdict.get("target"))
    return None if expert is None else {**plain(expert.thought), "action": expert.action}

"""What a task says of a turn that was written down: its checks of the thought, and an expert's own thought."""

from collections.abc import Mapping
from typing import Any

from gtr import tasks
from gtr.config.io import config_from_dict
from gtr.errors import GtrError, TaskError
from gtr.report.files import UNUSABLE, plain
from gtr.tasks.task import Task
from gtr.types import Parsed, ReplyStatus, Truth

TROUBLE = (GtrError, *UNUSABLE)
"""What a task may stumble over in a record that is damaged, or from another version."""


def task_of(config: Mapping[str, Any], name: str, own: str | None) -> tuple[Task | None, str]:
    """The task of a run with these settings, or None and why not. A folder may come from anybody, so its settings
    cannot name code to run: its task must be built in, or the one that the user has named."""
    if name not in tasks.TASKS and (not name or name != own):
        return None, f"to judge its thoughts again, name its task: gtr show ... --task {name}" if name else ""
    try:
        return tasks.load(config_from_dict(config, [name]).task), ""
    except TROUBLE as error:
        return None, f"its task cannot be loaded ({error})"


def kept(record: Mapping[str, Any]) -> dict[str, bool] | None:
    """The checks that the run itself has written; None in folders of older versions."""
    found = record.get("checks")
    return {str(name): bool(passed) for name, passed in found.items()} if isinstance(found, dict) else None


def checks(record: Mapping[str, Any], task: Task | None) -> dict[str, bool]:
    """The task's questions about the thought and whether it passes each: as written, else asked again.

    Empty for a reply that is not complete. Raises `TaskError` where the task cannot judge the record.
    """
    if (found := kept(record)) is not None:
        return found
    if record.get("status") != ReplyStatus.COMPLETE:
        return {}
    if task is None:
        raise TaskError("there is no task to judge this turn")
    try:
        parsed = Parsed(ReplyStatus.COMPLETE, record["fields"], record["action"])
        return dict(task.check(Truth(record["truth"]), parsed, None))
    except TROUBLE as error:
        raise _unjudged(error) from error


def expert(record: Mapping[str, Any], task: Task) -> dict[str, Any] | None:
    """The expert's thought and action at this turn; None where it knows none. Raises `TaskError` as `checks` does."""
    try:
        verdict = record.get("verdict") or {}
        found = task.expert(Truth(record["truth"]), verdict.get("target"))
        return None if found is None else {**plain(found.thought), "action": found.action}
    except TROUBLE as error:
        raise _unjudged(error) from error


def _unjudged(error: Exception) -> TaskError:
    return TaskError(f"the task could not judge this turn ({type(error).__name__}: {error})")

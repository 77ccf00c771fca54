"""A turn as the inspector shows it: the record itself, the task's own checks, and what an expert would have thought."""

from collections.abc import Mapping
from typing import Any

from gtr.errors import TaskError
from gtr.report import Run, judged


def shown(record: Mapping[str, Any], run: Run) -> dict[str, Any]:
    """A transcript's record with ``checks`` (by question) and ``expert`` (its thought), or with ``unjudged``: why."""
    result = dict(record)
    result.pop("tokens", None)
    if judged.kept(record) is not None:
        return result
    if run.task is None:
        return {**result, "unjudged": run.task_trouble}
    try:
        return {**result, "checks": judged.checks(record, run.task), "expert": judged.expert(record, run.task)}
    except TaskError as error:
        # A record of another version, or damaged: the task stumbles over it, the page must not.
        return {**result, "unjudged": str(error)}


def checks(record: Mapping[str, Any], run: Run) -> dict[str, bool]:
    """The task's questions about a complete thought and whether it passes each; empty where they cannot be asked."""
    try:
        return judged.checks(record, run.task)
    except TaskError:
        return {}

"""Settings as older versions wrote them, brought into today's shape, so that their runs still open."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

Find = Callable[[str, object], Any | None]
"""``find("task", name)``: the class of a section's settings by their name; None where it is not known."""

CARDS: Mapping[str, Any] = {"deck": "classic", "faces": "ten", "hands": None, "loopholes": False}
"""What once stood in every game's settings, and its value where nobody chose it."""


def migrated(values: Mapping[str, Any], find: Find) -> Mapping[str, Any]:
    """Today's shape of settings of any version; what is up to date stays as it is."""
    for step in STEPS:
        values = step(values, find)
    return values


def _typed_tasks(values: Mapping[str, Any], find: Find) -> Mapping[str, Any]:
    """0.1: a game's own settings were texts in ``task.options``, those of card games stood in every game's."""
    task = values.get("task")
    if not isinstance(task, Mapping) or not isinstance(task.get("options"), Mapping):
        return values
    kind = find("task", task.get("name"))
    hints = {} if kind is None else get_type_hints(kind, include_extras=True)
    known = {one.name for one in fields(kind)} if kind else set()
    kept = {key: value for key, value in task.items() if key != "options" and _wanted(key, value, kind, known)}
    own = {key: _typed(hints.get(key, str), text) for key, text in task["options"].items()}
    return {**values, "task": {**kept, **own}}


def _wanted(key: str, value: Any, kind: Any | None, known: set[str]) -> bool:
    if key not in CARDS:
        return True
    return value != CARDS[key] if kind is None else key in known


def _typed(annotation: Any, text: Any) -> Any:
    """A text as the setting's type, read as it was then: ``all``, ``none``, ``on``, ``pick,heat``; else as it is."""
    adapter: TypeAdapter[Any] = TypeAdapter(annotation)
    listed = text.replace(" ", "").split(",") if isinstance(text, str) else text
    for candidate in (text, None if text in ("all", "none") else text, listed):
        try:
            return adapter.validate_python(candidate)
        except ValidationError:
            continue
    return text


STEPS = (_typed_tasks,)
"""Oldest first."""

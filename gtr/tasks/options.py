"""Checks of what environments are reset with: an unknown key is an error that names the nearest right one."""

from collections.abc import Mapping, Sequence
from typing import Any

from gtr.errors import TaskError, nearest


def known_options(options: Mapping[str, Any], known: Sequence[str], what: str) -> None:
    """TaskError for an option that means nothing."""
    for key in options:
        if key not in known:
            hint = nearest(key, known) if known else "there are none"
            raise TaskError(f"{what}: unknown option {key!r}: {hint}")

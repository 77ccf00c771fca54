"""The table and the figure of a comparison's folder, for a page that shows its runs."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gtr.report.inside import LARGEST, Unreadable, parsed, read_inside
from gtr.report.records import Kind, fitted, several, table, text

RESULTS, FIGURE = "results.json", "figure-page.svg"
"""Written by `gtr compare` into its folder."""
STUDY: dict[str, tuple[Kind, Any]] = {
    **dict.fromkeys(("title", "command", "footnote"), (text, "")),
    **{key: (several(text), []) for key in ("answers", "doubts", "columns", "methods")},
    **{key: (several(several(text)), []) for key in ("rows", "differ", "runs")},
}
"""What `gtr.compare.study.shown` wrote: plain texts."""


def read_study(folders: Sequence[Path]) -> dict[str, Any] | None:
    """The first comparison among folders: the keys of `STUDY`, and ``figure`` as an address that holds the picture.

    None where there is none, or it cannot be read.
    """
    for folder in folders:
        try:
            held = parsed(read_inside(folder, RESULTS, LARGEST))
        except Unreadable:
            continue
        found = table(held.get("study")) if isinstance(held, dict) else None
        if found is not None:
            study, _ = fitted({key: found.get(key) for key in STUDY}, STUDY)
            return {**study, "figure": _figure(folder)}
    return None


def _figure(folder: Path) -> str:
    """As a picture: a page runs nothing and loads nothing that is written in one."""
    try:
        return "data:image/svg+xml;base64," + base64.b64encode(read_inside(folder, FIGURE)).decode()
    except Unreadable:
        return ""

"""One file that shows a comparison anywhere: the overview whole, and as many turns as keep it small enough to mail."""

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from PIL import Image as Pictures

from gtr.report import Run
from gtr.report.files import write_whole
from gtr.show import page
from gtr.show.source import Source

PANEL_EPISODES = 24
"""Start states of each run's first and last evaluation whose turns travel."""

Answers = dict[str, Any]
"""What the page may ask, as ``kind/place/...``, and the answer."""


def export(runs: Sequence[Run], file: Path, turns: int, study: Mapping[str, Any] | None = None) -> dict[str, int]:
    """Writes the page with everything inside. About `turns` training turns travel, whole episodes spread over a run;
    `study` is the table of the comparison that they are of.

    Returns how many of how many training turns were taken, as ``taken`` and ``all``, and the file's ``bytes``.
    """
    source = Source(runs, float("inf"), study)
    overview = source.overview()
    answers: Answers = {"overview": overview, "study": study}
    taken = total = 0
    for run in range(len(runs)):
        had, there = _training(source, run, turns // len(runs), answers)
        taken, total = taken + had, total + there
        _panels(source, run, overview["runs"][run], answers)
        for update in overview["runs"][run]["probed"]:
            answers[f"probe/{run}/{update}"] = source.probe(run, update)
    overview = answers["overview"] = {**overview, "taken": taken, "all": total}
    # Read last: what could not be read is known only now.
    for one, run_ in zip(overview["runs"], runs, strict=True):
        one["problems"] = run_.problems
    text = page.single({"answers": answers, "images": _images(answers, runs)}, str(overview["title"]))
    data = text.encode("utf-8", errors="backslashreplace")
    write_whole(file, data)
    return {"taken": taken, "all": total, "bytes": len(data)}


def _training(source: Source, run: int, budget: int, answers: Answers) -> tuple[int, int]:
    """All episodes as rows, and the turns of some: first one of every update, then another of each, and so on."""
    found = source.parts(run, -1)
    rows = [list(_rows(part)) for part in found["parts"]]
    kept: set[str] = set()
    spent = 0
    for places in zip_longest(*rows):
        for place in filter(None, places):
            update, env, episode, turns = place
            if spent + turns <= budget:
                answers[f"turns/{run}/{update}/{env}/{episode}"] = source.turns(run, update, env, episode)
                kept.add(f"{update}/{env}/{episode}")
                spent += turns
    # Pictures are what makes a file large, and those of the last update show what thoughts have come to.
    *earlier, last = [*found["parts"]] or [None]
    bare = [{**part, "thoughts": {**part["thoughts"], "pictures": {}}} for part in earlier]
    answers[f"parts/{run}/-1"] = {**found, "parts": [*bare, *filter(None, [last])], "kept": sorted(kept)}
    return spent, sum(turns for part in rows for *_, turns in part)


def _rows(part: Mapping[str, Any]) -> Iterable[tuple[int, int, int, int]]:
    columns = part["columns"]
    for env, episode, turns in zip(columns["env"], columns["episode"], columns["turns"], strict=True):
        yield part["update"], env, episode, turns


def _panels(source: Source, run: int, about: Mapping[str, Any], answers: Answers) -> None:
    """How every evaluation ended, and the turns of the first episodes of the first and the last one."""
    updates = [one["update"] for one in about["panel"]]
    kept = []
    for update in updates:
        episodes = source.panel(run, update)
        whole = update in (updates[0], updates[-1])
        answers[f"panel/{run}/{update}"] = episodes[:PANEL_EPISODES] if whole else []
        for one in episodes[:PANEL_EPISODES] if whole else []:
            place = f"play/{run}/{update}/{one['episode']}"
            answers[place] = source.play(run, update, one["episode"])
            kept.append(f"{update}/e{update}/{one['episode']}")
    answers[f"panels/{run}"] = [{**part, "kept": kept} for part in source.panels(run)]


def _images(answers: Answers, runs: Sequence[Run]) -> dict[str, str]:
    """The pictures that the answers name, once each, in base64; those that are missing are left out."""
    names = {name for answer in answers.values() for name in _named(answer)}
    found = {}
    for name in sorted(names):
        data = next((data for run in runs if (data := run.picture(name)) is not None), None)
        if data is not None:
            found[name] = _data_url(data)
    return found


def _data_url(picture: bytes) -> str:
    """The picture inside a text, as lossless WebP where that is smaller; one that cannot be read travels as it is."""
    packed = io.BytesIO()
    try:
        opened = Pictures.open(io.BytesIO(picture), formats=("PNG",))
        opened.save(packed, format="webp", lossless=True, exact=True, method=1)  # More effort saves a hundredth.
    except (OSError, ValueError, SyntaxError):
        return _as_text("png", picture)
    smaller = len(packed.getvalue()) < len(picture)
    return _as_text("webp", packed.getvalue()) if smaller else _as_text("png", picture)


def _as_text(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _named(answer: Any) -> Iterable[str]:
    if isinstance(answer, list):
        for one in answer:
            yield from _named(one)
    elif isinstance(answer, dict):
        if answer.get("image"):
            yield str(answer["image"])
        yield from (str(name) for name in answer.get("images", ()) if name)
        for part in answer.get("parts", ()):
            yield from (name for one in part["thoughts"]["pictures"].values() for name in _named(one))
        yield from (name for group in answer.get("groups", ()) for name in _named(group["pair"] or {}))

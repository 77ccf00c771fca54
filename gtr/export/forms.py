"""The turns of a run in the forms that others read.

- ``parquet``: every turn with its picture, thought, verdict and reward, as `datasets` and the hub's viewer show them;
- ``trl_sft``: what cloning teaches, the corrected replies, as TRL's SFTTrainer reads them (prompt and completion);
- ``trl_dpo``: the corrected reply against the one that was wrong, as TRL's DPOTrainer reads them (chosen, rejected);
- ``verifiers``: whole episodes as messages in OpenAI's form with their rewards, as `verifiers` stores rollouts.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from gtr.errors import RunError, nearest
from gtr.export.parquet import write_parquet
from gtr.policy.pictures import data_url
from gtr.report.files import encode, write_whole
from gtr.report.found import is_run
from gtr.report.inside import Unreadable
from gtr.report.run import Run, read_picture
from gtr.tasks.formats import FORMATS as REPLY_FORMATS

Row = dict[str, Any]


def _every_turn(run: Run, update: int) -> Iterator[Row]:
    for turn in run.turns(update):
        verdict = turn["verdict"] or {}
        yield {
            "update": update,
            **{key: turn[key] for key in ("env", "episode", "turn")},
            "image": _picture(run, turn),
            "prompt": turn["prompt"],
            "reply": turn["reply"],
            "thought": json.dumps({key: value for key, value in turn["fields"].items() if key != "action"}),
            **{key: turn[key] for key in ("action", "legal", "reward", "value", "advantage", "ending", "success")},
            "verdict": verdict.get("judgement"),
            "correction": _corrected(run, turn),
            "checks": json.dumps(turn["checks"] or {}),
            "truth": json.dumps(turn["truth"]),
        }


def _cloned(run: Run, update: int) -> Iterator[Row]:
    for turn in run.turns(update):
        if (text := (turn["lesson"] or {}).get("text") or _corrected(run, turn)) is not None:
            yield {**_asked(run, turn), "completion": [_said(text)]}


def _preferred(run: Run, update: int) -> Iterator[Row]:
    for turn in run.turns(update):
        if (text := _corrected(run, turn)) is not None:
            yield {**_asked(run, turn), "chosen": [_said(text)], "rejected": [_said(turn["reply"])]}


def _episodes(run: Run, update: int) -> Iterator[Row]:
    """Episodes as far as the update holds them, in the order of time."""
    for (env, episode), turns in groupby(run.turns(update), key=lambda turn: (turn["env"], turn["episode"])):
        played = list(turns)
        messages = [message for turn in played for message in (_shown(run, turn), _said(turn["reply"]))]
        yield {
            "example_id": f"{update}-{env}-{episode}",
            "task": run.text("task.name"),
            "prompt": messages[:1],
            "completion": messages[1:],
            "reward": sum(turn["reward"] for turn in played),
            "answer": "",
            "info": {"success": played[-1]["success"], "ending": played[-1]["ending"], "update": update},
        }


@dataclass(frozen=True)
class Form:
    """A form that turns are written in."""

    rows: Callable[[Run, int], Iterator[Row]]
    """Of one update."""
    table: bool = True
    """Whether it is a table with pictures (Parquet), or lines of JSON."""


FORMS: Mapping[str, Form] = {
    "parquet": Form(_every_turn),
    "trl_sft": Form(_cloned),
    "trl_dpo": Form(_preferred),
    "verifiers": Form(_episodes, table=False),
}


def export(folder: Path, form: str = "parquet", out: Path | None = None) -> Path:
    """Writes a run's turns into one file, by default beside the run as ``NAME-FORM``, and returns it.

    Raises:
        RunError: no run lies there, it holds nothing of that form, or the form is unknown.
        ConfigError: the form is a table, and pyarrow is not installed.
    """
    if form not in FORMS:
        raise RunError(f"unknown form {form!r}: {nearest(form, FORMS)}")
    if not is_run(folder):
        raise RunError(f"{folder} is not a run folder: give one that gtr train made")
    run, chosen = Run(folder), FORMS[form]
    out = out or folder.with_name(f"{folder.name}-{form}" + (".parquet" if chosen.table else ".jsonl"))
    parts = (rows for update in run.updates_with_turns() if (rows := list(chosen.rows(run, update))))
    count = write_parquet(out, parts) if chosen.table else _write_lines(out, parts)
    if not count:
        raise RunError(f"{folder} holds nothing for {form}: its turns are not stored, or none of them was corrected")
    return out


def _write_lines(path: Path, parts: Iterable[list[Row]]) -> int:
    """As `gtr.export.parquet.write_parquet`."""
    lines = [encode(row) for rows in parts for row in rows]
    if lines:
        write_whole(path, b"".join(lines))
    return len(lines)


def _picture(run: Run, turn: Mapping[str, Any]) -> Row | None:
    """A picture as the ``Image`` feature of `datasets` stores it; None where its file is missing."""
    try:
        return {"bytes": read_picture(run.path, turn["image"]), "path": turn["image"]}
    except Unreadable:
        return None


def _asked(run: Run, turn: Mapping[str, Any]) -> Row:
    """A prompt with its picture, which TRL puts before the text itself."""
    picture = _picture(run, turn)
    return {
        "images": [picture] if picture else [],
        "prompt": [{"role": "user", "content": turn["prompt"]}],
        "reward": turn["reward"],
    }


def _shown(run: Run, turn: Mapping[str, Any]) -> Row:
    """A prompt in OpenAI's form, its picture as a data URL."""
    picture, parts = _picture(run, turn), [{"type": "text", "text": turn["prompt"]}]
    if picture:
        url = data_url(picture["bytes"])
        return {"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}, *parts]}
    return {"role": "user", "content": parts}


def _said(text: str) -> Row:
    return {"role": "assistant", "content": text}


def _corrected(run: Run, turn: Mapping[str, Any]) -> str | None:
    """The whole reply that a corrector would rather have seen; None where it corrected nothing."""
    verdict = turn["verdict"] or {}
    if verdict.get("thought") is None:
        return None
    form = REPLY_FORMATS.get(run.text("task.format", "json"), REPLY_FORMATS["json"])
    return form.write(verdict["thought"], verdict.get("action") or turn["action"] or "")

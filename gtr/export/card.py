"""The card of a model on the hub, written from the run: nothing in it that the run does not hold."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from gtr.config import Config
from gtr.config.io import settings_of
from gtr.policy.models import BUILT_IN_MODELS
from gtr.report.history import History, read_history
from gtr.report.run import Run

HEALTH = ("thought/perception", "thought/right", "action/follows", "action/legal", "reply/complete")
OWN_LICENCE = "mit"
"""Of models that gtr itself builds from random weights."""


def card(run: Run, repo: str, adapter: bool, licence: str | None, dataset: str | None) -> str:
    """The text of ``README.md``, its front matter included.

    Args:
        adapter: whether the weights are a LoRA adapter of the base model.
        licence: the base model's, as the hub names it; None where it is not known.
        dataset: id of the dataset of the run's turns, if there is one.
    """
    page = Environment(
        loader=PackageLoader("gtr.export", "."), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True, autoescape=False,
    ).get_template("card.md.j2")  # fmt: skip
    history = read_history(run)
    start = (run.starts() or [{"gtr": "?", "code": None, "packages": {}}])[0]
    return page.render(
        front=yaml.safe_dump(_front(run, licence, dataset), sort_keys=False),
        name=repo.rpartition("/")[2],
        repo=repo,
        game=run.text("task.name"),
        method=run.method,
        base=run.text("policy.model"),
        seed=run.whole("seed"),
        updates=history.updates[-1] if history.updates else 0,
        turns=f"{max(history.turns.values()):,}",
        panel=[_panel(one) for one in _first_and_last(history)],
        collapse=_collapse(history),
        health=[one for name in HEALTH if (one := _fared(history, name))],
        adapter=adapter,
        dataset=dataset,
        version=start["gtr"],
        commit=f", commit {start['code']['commit'][:10]}" if start["code"] and start["code"].get("commit") else "",
        packages=", ".join(f"{key} {start['packages'].get(key, '?')}" for key in ("torch", "transformers")),
        settings=_changed(run),
        licence=_licence(run.text("policy.model"), licence),
    )


def _front(run: Run, licence: str | None, dataset: str | None) -> dict[str, Any]:
    """What the hub sorts models by."""
    base, tags = run.text("policy.model"), ["gtr", "reinforcement-learning", "vision-language-agent"]
    named = {} if base in BUILT_IN_MODELS or Path(base).exists() else {"base_model": base}
    return {
        "license": licence or "other",
        "library_name": "transformers",
        "pipeline_tag": "image-text-to-text",
        **named,
        "tags": list(dict.fromkeys([*tags, run.method])),
        **({"datasets": [dataset]} if dataset else {}),
    }


def _licence(base: str, licence: str | None) -> str:
    if base in BUILT_IN_MODELS:
        return f"The base model is built by gtr from random weights; like gtr itself, this model is under {licence}."
    if licence is None:
        return f"The base model `{base}` says no licence where it was looked up: find out before you use this model."
    return f"That of the base model, `{base}`: {licence}."


def _first_and_last(history: History) -> list[Mapping[str, Any]]:
    ends = history.panel[:1] + history.panel[-1:] if isinstance(history.panel, list) else []
    return ends[:1] if len(history.panel) == 1 else ends


def _panel(one: Mapping[str, Any]) -> dict[str, Any]:
    """An evaluation as the table has it."""
    known = one["successes"] is not None and one["interval"] is not None
    return {
        "update": one["update"],
        "name": one["panel"],
        "success": f"{one['success']:.2f}" if known else "not said by the task",
        "interval": "{:.2f}-{:.2f}".format(*one["interval"]) if known else "-",
        "won": f"{one['successes']} of {one['episodes']}" if known else "-",
    }


def _collapse(history: History) -> str:
    """What the collapse alarm says of the run, and no more."""
    if not history.updates:
        return "The run holds no metrics, so nothing is known of it."
    if history.collapse is None:
        return f"The collapse alarm did not ring in {len(history.updates)} updates."
    seen, at = ", ".join(f"`{name}`" for name in history.collapse.seen_by), history.collapse.update
    return f"**The collapse alarm rang** after update {at} ({history.collapse.turns:,} turns); fallen were {seen}."


def _fared(history: History, name: str) -> dict[str, str] | None:
    """A metric's first and last measured value; None where it was not measured."""
    values = [value for value in history.series.get(name, ()) if not math.isnan(value)]
    return {"name": name, "first": f"{values[0]:.2f}", "last": f"{values[-1]:.2f}"} if values else None


def _changed(run: Run) -> list[tuple[str, str]]:
    """Settings that are not the defaults of `gtr.config`."""
    usual = settings_of(Config())
    found = {key: value for key, value in run.settings.items() if key not in usual or usual[key] != value}
    return [(key, json.dumps(value)) for key, value in found.items() if key not in ("runs", "name")]

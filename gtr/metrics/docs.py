"""Writes `docs/METRICS.md` from the table: ``python -m gtr.metrics.docs [FILE]``."""

import sys
from itertools import groupby
from math import inf
from pathlib import Path

from gtr.metrics import alarm
from gtr.metrics.metric import Metric
from gtr.metrics.renamed import RENAMED
from gtr.metrics.table import METRICS

HEAD = """# Metrics

Generated from `gtr/metrics/table.py` by `python -m gtr.metrics.docs`; edit there.

Everything a run logs about its agent, under the names used in `metrics.jsonl` and TensorBoard. Unless a formula says
otherwise it is taken over the turns of one rollout, those of all processes. A metric is absent from an update where it
could not be measured; n names the metric that counts what it is a share or mean of.

A state is *solvable* where a right thought exists: where the task's expert has one (`Task.solvable`). After a wrong
action most puzzles have no solution left, and nobody's thought could be right there. So everything under `thought/`,
`distinct/` and `reflection/`, and `action/follows_right`, is taken over the complete replies in solvable states, which
are the *thoughts* below; `thought/solvable` is the share of such states. A thought is *judged* where the task can
answer questions about it (`Task.check`). Runs of earlier versions took these metrics over all states.
"""


def page() -> str:
    """The whole page as Markdown."""
    sections = [_section(group, list(rows)) for group, rows in groupby(METRICS, lambda m: m.name.split("/")[0])]
    return "\n".join([HEAD, *sections, _alarm(), _renamed()])


def _section(group: str, rows: list[Metric]) -> str:
    lines = [f"## {group}\n", "| name | formula | meaning | healthy | n | source |", "|---|---|---|---|---|---|"]
    for m in rows:
        n = f"`{m.n}`" if m.n else ""
        lines.append(f"| `{m.name}` | {_cell(m.formula)} | {_cell(m.meaning)} | {m.healthy} | {n} | {m.source} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _alarm() -> str:
    usual = alarm.DEFAULT
    excuses = " or ".join(f"`{metric}`" for metric in alarm.EXCUSES)
    lines = [
        "## The collapse alarm\n",
        "A metric's baseline is its first measurement: the starting agent's own, since a rollout is measured before",
        "the update learns from it; of episodes' length the second, since episodes that outlast the first rollout are",
        "missing there. It has fallen when it passes both limits below. Metrics of one idea count once.",
        f"The alarm rings while at least {usual.ideas} ideas have each been fallen for {usual.patience} updates.",
        f"Excused metrics do not count while {excuses} is {usual.gain} or more above its baseline.",
        "How good it is on runs that its thresholds were not chosen on: `python benchmarks/alarm.py`.\n",
        "| metric | idea | fallen when | and by at least | excused |",
        "|---|---|---|---|---|",
    ]
    for watch in alarm.WATCHED:
        name = watch.metric + ("<field>" if watch.metric.endswith("/") else "")
        limit = f" and below {watch.limit:g}" if watch.limit < inf else ""
        low, high = f"below {watch.ratio:g} x baseline{limit}", f"above baseline / {watch.ratio:g}"
        when = {"falls": low, "rises": high, "moves": f"{low} or {high}"}[watch.direction]
        lines.append(f"| `{name}` | {watch.idea} | {when} | {watch.margin:g} | {'yes' if watch.excused else 'no'} |")
    return "\n".join(lines) + "\n"


def _renamed() -> str:
    names = "\n".join(f"- `{old}` is now `{new}`" for old, new in RENAMED.items())
    return f"## Earlier names\n\n{names}\n"


if __name__ == "__main__":
    Path(sys.argv[1] if len(sys.argv) > 1 else "docs/METRICS.md").write_text(page(), encoding="utf-8")

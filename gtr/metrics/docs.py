"""Writes `docs/METRICS.md` from the table: ``python -m gtr.metrics.docs [FILE]``."""

import sys
from itertools import groupby
from math import inf
from pathlib import Path

from gtr.metrics import alarm
from gtr.metrics.table import METRICS, Metric

HEAD = """# Metrics

Generated from `gtr/metrics/table.py` by `python -m gtr.metrics.docs`; edit there.

Everything a run logs about its agent, under the names used in `metrics.jsonl` and TensorBoard. Unless a formula says
otherwise it is taken over the turns of one rollout, those of all processes. A metric is absent from an update where it
could not be measured. A thought is *judged* where its reply is complete and the task can answer questions about it
(`Task.check`).
"""


def page() -> str:
    """The whole page as Markdown."""
    sections = [_section(group, list(rows)) for group, rows in groupby(METRICS, lambda m: m.name.split("/")[0])]
    return "\n".join([HEAD, *sections, _alarm()])


def _section(group: str, rows: list[Metric]) -> str:
    lines = [f"## {group}\n", "| name | formula | meaning | healthy | source |", "|---|---|---|---|---|"]
    lines += [f"| `{m.name}` | {_cell(m.formula)} | {_cell(m.meaning)} | {m.healthy} | {m.source} |" for m in rows]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _alarm() -> str:
    excuses = " or ".join(f"`{metric}`" for metric in alarm.EXCUSES)
    lines = [
        "## The collapse alarm\n",
        f"A metric's baseline is the mean of its first {alarm.BASELINE} measurements. It has fallen when it passes",
        "both limits below. Metrics of one idea count once.",
        f"The alarm rings while at least {alarm.IDEAS} ideas have each been fallen for {alarm.PATIENCE} updates.",
        f"Excused metrics do not count while {excuses} is {alarm.GAIN} or more above its baseline.\n",
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


if __name__ == "__main__":
    Path(sys.argv[1] if len(sys.argv) > 1 else "docs/METRICS.md").write_text(page(), encoding="utf-8")

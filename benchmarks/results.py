"""What studies found, as Markdown: docs/RESULTS.md, and the tables of README between their markers."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from gtr.compare.formats import COLUMNS, by_panel, cells, footnote, number
from gtr.compare.study import Study
from gtr.compare.table import Row
from gtr.report.text import visible
from gtr.stats import apart

SHOWN = ("agent", "success by seed", "success", "95 %", "start plan", "right", "follows", "x start", "x rl4vlm")
TAIL = ("beats rl4vlm", "collapse alarm")
TAKEN = ("tokens", "teacher tokens", "minutes", "dollars")
"""What runs took, shown where one of the table's has counted it."""
MARKED = "<!-- {0}: written by make study -->\n{1}\n<!-- end of {0} -->"


class On(Protocol):
    """Seeds of starting agents, seeds of runs, the panel's seed."""

    @property
    def starts(self) -> Sequence[int]: ...
    @property
    def seeds(self) -> Sequence[int]: ...
    @property
    def panel(self) -> int: ...


@dataclass(frozen=True)
class Found:
    """A study as far as it has come."""

    name: str
    title: str
    command: str
    runs: int
    finished: int
    study: Study | None
    """None where no run has begun."""
    readme: Sequence[str] = ()
    trouble: str = ""
    """Why it cannot run here."""

    def row(self, agent: str) -> Row | None:
        """An agent's; None where none of its runs has finished."""
        rows = self.study.rows if self.study is not None else ()
        return next((row for row in rows if row.agent == agent and row.seeds), None)


@dataclass(frozen=True)
class Sign:
    """What the paper reports of one agent beside another; each is a study's name and a row of it."""

    claim: str
    paper: str
    left: Sequence[str]
    relation: str
    """``above`` or ``no gain``."""
    right: Sequence[str]


def verdict(relation: str, left: Row, right: Row) -> str:
    """What success here says of a sign: that it holds, that it fails, or that intervals overlap."""
    more, separate = left.success > right.success, apart(left.interval, right.interval)
    if relation == "above":
        return ("holds" if more else "**reversed**") if separate else f"{_way(more)}; the intervals overlap"
    return "**fails: a gain**" if more and separate else "holds" if not more else "a gain; the intervals overlap"


def _way(more: bool) -> str:
    return "same direction" if more else "other direction"


def signs_table(found: Sequence[Found], signs: Sequence[Sign]) -> list[str]:
    """The paper's signs, one line each: sign there, sign here, figures."""
    by_name = {one.name: one for one in found}
    lines = ["| claim | the paper | here | figures |", "| --- | --- | --- | --- |"]
    return lines + [_line(_sign(by_name, sign)) for sign in signs]


def _sign(found: Mapping[str, Found], sign: Sign) -> list[str]:
    sides = [found[study].row(agent) for study, agent in (sign.left, sign.right)]
    left, right = sides
    if left is None or right is None:
        lacking = dict.fromkeys(side[0] for side, row in zip((sign.left, sign.right), sides, strict=True) if not row)
        return [sign.claim, sign.paper, "missing", f"not finished: {', '.join(lacking)}"]
    partial = sorted({one.name for one in (found[sign.left[0]], found[sign.right[0]]) if one.finished < one.runs})
    figures = f"{_figure(left)}, {_figure(right)}" + (f"; so far, {', '.join(partial)} goes on" if partial else "")
    return [sign.claim, sign.paper, verdict(sign.relation, left, right), figures]


def _figure(row: Row) -> str:
    return f"{row.agent} {number(row.success)} ({row.interval.low:.2f}-{row.interval.high:.2f})"


def report(found: Sequence[Found], signs: Sequence[Sign], on: On, developed: On) -> str:
    """docs/RESULTS.md."""
    missing = [one.name for one in found if one.finished < one.runs or one.study is None]
    head = [
        "# Results",
        "",
        "Written by `make study` (`python benchmarks/study.py --write`) from the runs that have finished; nothing",
        "here is typed by hand. Settings stand in the commands, the rest are the presets of the commit that is named.",
        "",
        f"Reported on {_on(on)}. Settings were chosen on {_on(developed)}.",
        "",
        f"Not finished: {', '.join(missing)}." if missing else "All studies have finished.",
        "",
        "## The paper's signs",
        "",
        *signs_table(found, signs),
        "",
        "*Holds*: in the paper's direction, and for more success the 95 % intervals lie apart; they speak for other",
        "starting agents, seeds and starts.",
    ]
    sections = [line for one in found for line in _section(one)]
    return "\n".join([*head, *sections, "", "## What the columns say", "", footnote(()), ""])


def _on(on: On) -> str:
    starts, seeds = (", ".join(map(str, values)) for values in (on.starts, on.seeds))
    return f"starting agents (`sft.seed`) {starts}, seeds {seeds}, panel {on.panel} (`train.eval_seed`)"


def _section(one: Found) -> Iterator[str]:
    yield from ("", f"## {one.title}", "", f"`{one.command}`", "")
    if one.study is None:
        yield f"Missing: {one.trouble or f'no run has begun (`make study ONLY={one.name}`)'}."
        return
    commits = ", ".join(_commits(one.study)) or "an unknown commit"
    yield f"{one.finished} of {one.runs} runs have finished; made by {commits}."
    taken = [name for name in TAKEN if any(not math.isnan(row.costs.get(name, math.nan)) for row in one.study.rows)]
    yield from ("", *_table(one.study.rows, (*SHOWN, *TAIL, *taken)))
    if one.study.panels:
        head, *body = by_panel(one.study.panels)
        yield from ("", "Success on other panels:", "", _line(head), "|" + " --- |" * len(head), *map(_line, body))
    unlike = [doubt for doubt in one.study.doubts if "not reached its last update" not in doubt]
    if unlike:
        yield from ("", "Not alike:", "", *(f"- {visible(doubt)}" for doubt in unlike))


def _commits(study: Study) -> list[str]:
    made = [one.made_by.get("code") or {} for one in study.results if one.made_by]
    return sorted({f"{code['commit'][:10]}{' with changes' if code.get('dirty') else ''}" for code in made if code})


def _table(rows: Sequence[Row], columns: Sequence[str], agents: Sequence[str] = ()) -> list[str]:
    texts = [(row.agent, dict(zip(COLUMNS, cells(row), strict=True))) for row in rows]
    body = [_line([text[name] for name in columns]) for agent, text in texts if not agents or agent in agents]
    return [_line(columns), "|" + " --- |" * len(columns), *body]


def _line(texts: Sequence[str]) -> str:
    return "| " + " | ".join(visible(text).replace("|", "\\|") for text in texts) + " |"


def readme(text: str, found: Sequence[Found], signs: Sequence[Sign]) -> str:
    """README with its tables written anew between their markers, where a run of them has finished."""
    shown = [one for one in found if one.readme and one.finished and one.study is not None]
    parts = [line for one in shown for line in _readme_part(one)]
    tables = {"results": "\n".join(parts[:-1]), "signs": "\n".join(_readme_signs(found, signs)) if parts else ""}
    for name, body in tables.items():
        if body:
            text = put(text, MARKED, name, body)
    return text


def _readme_signs(found: Sequence[Found], signs: Sequence[Sign]) -> list[str]:
    """The signs that runs speak for, and how many others there are."""
    known = {one.name: one for one in found}
    told = [one for one in signs if all(known[study].row(agent) for study, agent in (one.left, one.right))]
    table, others = signs_table(found, told), len(signs) - len(told)
    return [*table, "", f"{others} more wait for their studies (docs/RESULTS.md)."] if others else table


def put(text: str, marked: str, name: str, body: str) -> str:
    """A page with `body` between the markers of a name; as it was where it has none."""
    between = re.escape(marked.format(name, "@")).replace("@", ".*?")
    return re.sub(between, lambda _: marked.format(name, body), text, flags=re.DOTALL)


def _readme_part(one: Found) -> list[str]:
    assert one.study is not None
    state = "" if one.finished == one.runs else f" ({one.finished} of {one.runs} runs have finished)"
    columns = ("agent", "success by seed", "success", "95 %", "follows", "x rl4vlm")
    return [f"**{one.title}**{state}", "", *_table(one.study.rows, columns, one.readme), ""]

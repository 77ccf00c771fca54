"""The comparison's table as text: Markdown for a README, CSV for a spreadsheet, LaTeX for a paper."""

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from gtr.compare.table import COSTS, HEALTH, OUTCOME_ONLY, STARTS, Row
from gtr.report.text import visible

COLUMNS = (
    *("agent", "success by seed", "success", "95 %", *(column for column, _ in HEALTH), *COSTS),
    *("x start", f"x {OUTCOME_ONLY}", f"beats {OUTCOME_ONLY}", "95 % speaks for", "collapse alarm"),
)
"""Titles of the table's columns."""
PAPER = ("agent", "success", "95 %", "perception", "start plan", "follows", f"beats {OUTCOME_ONLY}", "collapse alarm")
"""Columns that a table in a paper has room for."""
SURE = (
    "Success: greedy play of one untruncated panel, alike for all rows. 95 %: where a method's success lies for other "
    "seeds and starts of the same kind (two-way layout), an agent's for other starts; runs of earlier versions kept no "
    "outcomes by start, and theirs speaks for other seeds on these starts alone; runs of several starting agents speak "
    "for other such agents too, and count as many as these are."
)
TIMES = (
    "x: how many times the success of the start and of outcome-only PPO (rl4vlm), or that it was 0; * where the two "
    "intervals lie apart."
)
BEATS = (
    "Beats: how likely a run has more success than one of rl4vlm, a tie counting half (probability of improvement, "
    "arXiv 2108.13264). ↓: over runs, the 95 % t interval of the mean lies below the start's value."
)
TAKEN = (
    "Turns, tokens (sampled), gradient tokens (reply tokens that gradients went through, all passes), teacher tokens "
    "(that a teacher scored or wrote), minutes and dollars (a corrector's, where it has a price) are means over runs."
)
CHOSEN = "†: settings of the presets were chosen on one of these starting agents, one of these seeds or this panel."
ONE_RUN = "‡: one run, whose interval speaks for other starts of this very agent, not for other seeds."
LATEX = {
    **{sign: "\\" + sign for sign in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}"},
}


def cells(row: Row) -> list[str]:
    """A row as texts, one per column."""
    return [
        row.agent + ("†" if row.developed else ""),
        " ".join([*(f"{value:.2f}" for value in row.seeds), *_missing(row)]),
        number(row.success),
        f"{row.interval.low:.2f}-{row.interval.high:.2f}" if row.seeds else "-",
        *(number(value) + ("↓" if column in row.worse else "") for column, value in row.health.items()),
        *(_count(row.costs.get(name, math.nan), name) for name in COSTS),
        _times(row.times_start) + ("*" if row.apart_from_start else ""),
        _times(row.times_plain) + ("*" if row.apart_from_plain else ""),
        number(row.better_than_plain),
        row.speaks_for or "-",
        row.collapse or "-",
    ]


def _count(value: float, name: str) -> str:
    """What a run took: minutes with a decimal, dollars with cents, counts whole with thousands marked."""
    if math.isnan(value):
        return "-"
    return f"{value:,.{ {'minutes': 1, 'dollars': 2}.get(name, 0) }f}"


def _missing(row: Row) -> list[str]:
    counts = ((row.failed, "failed"), (row.unfinished, "unfinished"))
    return [f"({count} of {row.runs} {word})" for count, word in counts if count]


def number(value: float) -> str:
    """Two decimals; a dash for what was not measured."""
    return f"{value:.2f}" if math.isfinite(value) else "-"


def _times(ratio: float) -> str:
    """How many times another's success; nothing is so many times none."""
    return "from 0" if math.isinf(ratio) else number(ratio)


def panels(rows: Sequence[Row]) -> str:
    """The panels that rows were measured on, with their size: ``Panel: points24-same-100-3f9a1c, 100 starts.``"""
    known = dict.fromkeys(f"{row.panel}, {row.starts} starts" for row in rows if row.panel)
    return f"{'Panel' if len(known) == 1 else 'Panels'}: {'; '.join(known)}." if known else ""


def footnote(rows: Sequence[Row]) -> str:
    """What a reader of the table must know."""
    return " ".join(filter(None, (panels(rows), SURE, TIMES, BEATS, TAKEN, CHOSEN)))


def markdown(
    rows: Sequence[Row],
    title: str,
    doubts: Sequence[str] = (),
    panels: Mapping[str, Sequence[Row]] = MappingProxyType({}),
) -> str:
    """The table for a README, success on further panels, and in what the runs were not alike."""
    lines = [f"# {visible(title)}", "", _line(COLUMNS), "|" + " --- |" * len(COLUMNS)]
    lines += [_line(cells(row)) for row in rows]
    if panels:
        head, *body = by_panel(panels)
        lines += ["", "Success on other panels:", "", _line(head), "|" + " --- |" * len(head), *map(_line, body)]
    warning = ["**Not alike:**", "", *(f"- {visible(doubt)}" for doubt in doubts), ""] if doubts else []
    return "\n".join([*lines, "", *warning, footnote(rows), ""])


def _line(texts: Sequence[str]) -> str:
    return "| " + " | ".join(visible(text).replace("|", "\\|") for text in texts) + " |"


def by_panel(panels: Mapping[str, Sequence[Row]]) -> list[list[str]]:
    """Success on every panel, its interval and how many times outcome-only PPO's that is: a head, a line per agent."""
    cell = {(row.agent, split): _on_panel(row) for split, rows in panels.items() for row in rows}
    agents = dict.fromkeys(row.agent for rows in panels.values() for row in rows)
    body = [[agent, *(cell.get((agent, split), "-") for split in panels)] for agent in agents]
    return [["agent", *(rows[0].panel or split for split, rows in panels.items())], *body]


def _on_panel(row: Row) -> str:
    if math.isnan(row.success):
        return "-"
    times = "" if math.isnan(row.times_plain) else f", x {number(row.times_plain)}{'*' if row.apart_from_plain else ''}"
    return f"{number(row.success)} ({row.interval.low:.2f}-{row.interval.high:.2f}{times})"


def comma_separated(rows: Sequence[Row]) -> str:
    """The table for a spreadsheet, numbers in full."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    extra = ["x start", f"x {OUTCOME_ONLY}", f"beats {OUTCOME_ONLY}", "iqm"]
    measured = [*(name for name, _ in HEALTH), *COSTS]
    writer.writerow(["agent", "seeds", "success", "low", "high", *measured, "collapse", *extra])
    for row in rows:
        seeds = " ".join(map(repr, row.seeds))
        taken = [row.costs.get(name, math.nan) for name in COSTS]
        numbers = [row.success, row.interval.low, row.interval.high, *row.health.values(), *taken]
        writer.writerow([row.agent, seeds, *numbers, row.collapse, *_compared(row)])
    return out.getvalue()


def _compared(row: Row) -> list[float]:
    ratios = [one if math.isfinite(one) else math.nan for one in (row.times_start, row.times_plain)]
    return [*ratios, row.better_than_plain, row.iqm]


def latex(rows: Sequence[Row], title: str, label: str) -> str:
    """The table for a paper that loads ``booktabs``: a whole ``table*``; of the alarm only in how many runs it rang."""
    notes = filter(None, (panels(rows), SURE, BEATS, CHOSEN, ONE_RUN if any(map(_single, rows)) else ""))
    lines = [
        r"\begin{table*}",
        r"  \centering\small",
        rf"  \caption{{{escaped(visible(title))}. {_typeset(' '.join(notes))}}}",
        rf"  \label{{tab:{re.sub(r'[^A-Za-z0-9:.-]+', '-', label)}}}",
        rf"  \begin{{tabular}}{{l{'r' * (len(PAPER) - 1)}}}",
        r"    \toprule",
        f"    {_latex_line(PAPER)}",
        r"    \midrule",
        *(f"    {_latex_line(_short(row))}" for row in rows),
        r"    \bottomrule",
        r"  \end{tabular}",
        r"\end{table*}",
    ]
    return "\n".join([r"% needs \usepackage{booktabs}", *lines, ""])


def _short(row: Row) -> list[str]:
    texts = dict(zip(COLUMNS, cells(row), strict=True))
    texts["95 %"] += "‡" if _single(row) else ""
    texts["collapse alarm"] = row.collapse.partition(" ")[0] or "-"
    return [texts[name] for name in PAPER]


def _single(row: Row) -> bool:
    """Whether it is a method of one run."""
    return row.speaks_for == STARTS and row.runs == 1 and not row.agent.startswith("start")


def _latex_line(texts: Sequence[str]) -> str:
    return " & ".join(_typeset(text) for text in texts) + r" \\"


def _typeset(text: str) -> str:
    """Signs as a paper prints them: ``--`` in ranges and for nothing."""
    if text == "-":
        return "--"
    # Names of panels and runs hold ranges of their own: only decimals are one here.
    text = escaped(re.sub(r"(?<=\.\d\d)-(?=\d\.)", "\x01", visible(text))).replace("\x01", "--")
    return text.replace("↓", r"$\downarrow$").replace("†", r"$\dagger$").replace("‡", r"$\ddagger$")


def escaped(text: str) -> str:
    """Text that LaTeX prints as it stands."""
    return "".join(LATEX.get(one, one) for one in text)

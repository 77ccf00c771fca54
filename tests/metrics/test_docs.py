"""The page of metrics is generated, whole and up to date."""

import subprocess
import sys
from pathlib import Path

from gtr.metrics.alarm import WATCHED
from gtr.metrics.docs import page
from gtr.metrics.table import METRICS, describe

ROOT = Path(__file__).parents[2]


def test_the_page_is_up_to_date() -> None:
    written = (ROOT / "docs" / "METRICS.md").read_text(encoding="utf-8")
    assert written == page(), "run `python -m gtr.metrics.docs`"


def test_every_metric_has_one_row_with_formula_meaning_and_direction() -> None:
    text = page()
    for metric in METRICS:
        assert text.count(f"| `{metric.name}` | {metric.formula.replace('|', chr(92) + '|')} |") == 1
        assert all((metric.formula, metric.meaning, metric.healthy))


def test_every_group_has_one_heading() -> None:
    headings = [line for line in page().splitlines() if line.startswith("## ")]
    assert len(set(headings)) == len(headings)


def test_every_watched_metric_is_defined() -> None:
    for watch in WATCHED:
        assert describe(watch.metric + "x" if watch.metric.endswith("/") else watch.metric) is not None


def test_the_command_writes_the_page_without_torch(tmp_path: Path) -> None:
    target = tmp_path / "METRICS.md"
    code = (
        "import runpy, sys; sys.argv = ['docs', sys.argv[1]];"
        "runpy.run_module('gtr.metrics.docs', run_name='__main__'); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(target)], check=True, cwd=ROOT)
    assert target.read_text(encoding="utf-8") == page()

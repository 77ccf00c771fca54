"""The studies of ``make study``: their words are right, and what is written of them is what the runs say."""

import json
import runpy
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gtr.compare.plan import Job, plan
from gtr.compare.table import Row
from gtr.config import ReportConfig
from gtr.errors import GtrError
from gtr.report import RunFolder
from gtr.stats import Interval

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def study() -> Iterator[Any]:
    """The script and the module beside it."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        made = SimpleNamespace(**runpy.run_path(str(BENCHMARKS / "study.py")))
        made.results = sys.modules.pop("results")
        yield made
    finally:
        sys.path.remove(str(BENCHMARKS))


def test_every_study_is_a_comparison_and_every_sign_names_agents_that_it_has(study: Any, tmp_path: Path) -> None:
    studies, signs, populations, quick = study.read()
    agents = {}
    for one in studies.values():
        if "alfworld" in one.words:
            continue
        comparison = one.comparison(populations["report"], tmp_path)
        assert comparison.seeds == tuple(populations["report"].seeds[: one.seeds])
        assert comparison.starts == tuple(populations["report"].starts[: one.starts])
        assert all(config.train.eval_seed == 1 for config in comparison.configs.values())
        agents[one.name] = {"start", *comparison.configs}
        assert set(one.readme) <= agents[one.name]
    for sign in signs:
        for name, agent in (sign.left, sign.right):
            assert agent in agents[name], sign.claim
        assert sign.relation in ("above", "no gain")
    reported, developed = populations["report"], populations["development"]
    for used, other in ((reported.starts, developed.starts), (reported.seeds, developed.seeds)):
        assert not set(used) & set(other)
    assert reported.panel != developed.panel
    tried = studies["ezpoints"].comparison(reported, tmp_path, quick)
    assert {config.train.updates for config in tried.configs.values()} == {1}


def test_a_night_is_enough(study: Any, tmp_path: Path) -> None:
    """On 2 cores, by the minutes that the file gives for a run."""
    studies, _, populations, _ = study.read()
    plans = [(one, plan(one.comparison(populations["report"], tmp_path))) for one in study.chosen(studies, [])]
    assert sum(len(planned.runs) * one.minutes for one, planned in plans) / 2 < 10 * 60


def test_studies_are_chosen_by_name(study: Any) -> None:
    studies, *_ = study.read()
    assert [one.name for one in study.chosen(studies, ["algorithms"])] == ["algorithms"]
    assert "algorithms" not in [one.name for one in study.chosen(studies, [])]
    with pytest.raises(GtrError, match=r"--only ezpoint: .*ezpoints"):
        study.chosen(studies, ["ezpoint"])


def row(low: float, high: float) -> Row:
    middle = (low + high) / 2
    return Row("one", (middle,), middle, Interval(middle, low, high), {})


@pytest.mark.parametrize(
    ("relation", "left", "right", "said"),
    [
        ("above", (0.6, 0.8), (0.1, 0.3), "holds"),
        ("above", (0.2, 0.8), (0.1, 0.3), "same direction; the intervals overlap"),
        ("above", (0.1, 0.3), (0.2, 0.8), "other direction; the intervals overlap"),
        ("above", (0.1, 0.3), (0.6, 0.8), "**reversed**"),
        ("no gain", (0.0, 0.2), (0.1, 0.3), "holds"),
        ("no gain", (0.2, 0.4), (0.1, 0.3), "a gain; the intervals overlap"),
        ("no gain", (0.6, 0.8), (0.1, 0.3), "**fails: a gain**"),
    ],
)
def test_what_is_said_of_a_sign(
    study: Any, relation: str, left: tuple[float, float], right: tuple[float, float], said: str
) -> None:
    assert study.results.verdict(relation, row(*left), row(*right)) == said


def finished(job: Job, wins: int) -> None:
    """A run folder as training leaves it at a job's place, with so many of 20 starts won."""
    assert job.config is not None
    train = replace(job.config.train, updates=1)
    with RunFolder.create(replace(job.config, train=train, report=ReportConfig(trackers=()))) as folder:
        folder.write_fingerprint(device="cpu")
        for update, count in ((0, 0), (1, wins)):
            won = [start < count for start in range(20)]
            known = {"panel": "a-panel", "successes": count, "episodes": 20, "success": count / 20, "health": {}}
            folder.write_evaluation(update, {**known, "outcomes": won})
        folder.write_metrics(1, {"episode/success": 0.5})


README = """# x
<!-- results: written by make study -->
old figures
<!-- end of results -->
between
<!-- signs: written by make study -->
old signs
<!-- end of signs -->
"""


def test_what_has_finished_is_written_and_what_has_not_is_said_to_be_missing(study: Any, tmp_path: Path) -> None:
    out, root = tmp_path / "runs", tmp_path / "root"
    (root / "docs").mkdir(parents=True)
    (root / "README.md").write_text(README)
    words = ["--write", "--out", str(out), "--starts", "31", "32", "33", "--seeds", "201", "202", "--panel", "5"]
    assert study.main(words, root) == 0
    assert (root / "README.md").read_text() == README, "nothing has run: what stands there stays"
    first = (root / "docs" / "RESULTS.md").read_text()
    assert "Missing: no run has begun (`make study ONLY=ezpoints`)." in first
    assert "starting agents (`sft.seed`) 31, 32, 33, seeds 201, 202, panel 5" in first

    studies, *_ = study.read()
    jobs = plan(studies["ezpoints"].comparison(study.Population((31, 32, 33), (201, 202), 5), out)).runs
    for job in jobs[:-1]:
        finished(job, 17 if "gtr" in job.method else 0)
    assert study.main(words, root) == 0
    text, readme = (root / "docs" / "RESULTS.md").read_text(), (root / "README.md").read_text()
    assert "23 of 24 runs have finished; made by " in text
    (sign,) = [line for line in text.splitlines() if "EZPoints 100 %" in line]
    assert "| holds | gtr 0.85 (" in sign
    assert "so far, ezpoints goes on" in sign
    assert "| missing | not finished: points24 |" in text
    assert (
        "gtr compare rl4vlm gtr announced_actions grpo+gtr --task ezpoints --scale tiny --starts 31 32 33 --seeds 201 "
        "202" in text
    )
    assert "**EZPoints: the effect** (23 of 24 runs have finished)" in readme
    assert "| grpo+gtr | 0.85 0.85 0.85 0.85 0.85 (1 of 6 unfinished) | 0.85 |" in readme
    assert sign in readme
    assert "| missing |" not in readme
    assert "more wait for their studies" in readme
    assert "old figures" not in readme
    assert "old signs" not in readme
    assert "\nbetween\n" in readme
    assert study.main(words, root) == 0
    assert (root / "README.md").read_text() == readme, "written again it is the same"


def test_the_real_readme_has_the_markers(study: Any) -> None:
    text = (BENCHMARKS.parent / "README.md").read_text()
    for name in ("results", "signs"):
        begin, end = study.results.MARKED.format(name, "@").split("\n@\n")
        assert text.count(begin) == text.count(end) == 1


@pytest.mark.slow
def test_a_quick_study_runs_and_goes_on(study: Any, tmp_path: Path) -> None:
    words = ["--quick", "--only", "numberline", "--out", str(tmp_path), "--jobs", "1"]
    assert study.main(words) == 0
    text = (tmp_path / "RESULTS.md").read_text()
    assert "2 of 2 runs have finished" in text
    logs = {path: path.stat().st_mtime for path in (tmp_path / "numberline" / "logs").iterdir()}
    assert study.main(words) == 0
    assert logs == {path: path.stat().st_mtime for path in (tmp_path / "numberline" / "logs").iterdir()}
    assert json.loads((tmp_path / "numberline" / "results.json").read_text())["rows"]

"""Comparisons: every run is finished exactly once whatever interrupts it, and the table says what the runs did."""

import csv
import io
import json
import math
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pictures
from rich.console import Console

from gtr.cli.compare import parse_compare
from gtr.cli.train import parse_train
from gtr.compare import page_served, study_of, write
from gtr.compare.figures import curve
from gtr.compare.formats import COLUMNS, cells, comma_separated, latex, markdown, number
from gtr.compare.plan import Comparison, Job, claim, plan
from gtr.compare.progress import Progress
from gtr.compare.results import RunResult, read_result
from gtr.compare.runner import State, last_lines, run_all
from gtr.compare.samples import sample
from gtr.compare.table import rows_of
from gtr.config import ReportConfig, TaskConfig
from gtr.config.presets import build
from gtr.errors import RunError
from gtr.report import Run, RunFolder
from gtr.report.history import Collapse, durations, find_collapse, played
from gtr.report.settings import all_settings
from gtr.stats import crossed, pooled, wilson
from gtr.tasks import load

# -- the plan -----------------------------------------------------------------------------------------------------


def test_methods_share_a_starting_agent_unless_they_start_differently(tmp_path: Path) -> None:
    words = f"gtr rl4vlm no_thought --task ezpoints --seeds 4 5 --out {tmp_path} --train.updates 3"
    planned = plan(parse_compare(words.split()))
    assert len(planned.starts) == 2
    assert [job.name for job in planned.runs] == [
        f"{method}-seed{seed}" for method in ("gtr", "rl4vlm", "no_thought") for seed in (4, 5)
    ]
    assert all(job.updates == 3 for job in planned.runs)
    first = planned.runs[0]
    file = tmp_path / "configs" / "gtr-seed4.json"
    assert first.command() == ("train", "--config", str(file))
    first.prepare()
    written = parse_train(["--config", str(file)]).config
    base = build("gtr", "ezpoints", updates=3)
    assert written == replace(base, seed=4, runs=str(tmp_path / "runs"), name="gtr-seed4")
    start = planned.starts[0]
    assert start.command() == ("sft", "--config", str(tmp_path / "configs" / f"{start.name}.json"))


def test_words_that_a_shell_would_split_reach_the_runs_whole(tmp_path: Path) -> None:
    odd = "a 'b' \"c\" $d"
    out = tmp_path / odd
    (job,) = plan(parse_compare(["gtr", "--seeds", "1", "--out", str(out), "--report.project", odd])).runs
    job.prepare()
    assert parse_train(list(job.command()[1:])).config.report.project == odd


def test_classes_of_ones_own_are_named_on_the_command_line_of_every_run(tmp_path: Path) -> None:
    examples = Path(__file__).parents[2] / "examples"
    game, corrector = f"{examples}/dots.py:DotsTask", f"{examples}/own_corrector.py:OwnCorrector"
    words = ["gtr", "--task", game, "--guidance.corrector", corrector, "--seeds", "1", "--out", str(tmp_path)]
    (job,) = plan(parse_compare(words)).runs
    job.prepare()
    assert job.command()[-4:] == ("--task", game, "--guidance.corrector", corrector)
    config = parse_train(list(job.command()[1:])).config
    assert (config.task.name, config.guidance.corrector) == (game, corrector)
    RunFolder.create(config).close()
    assert parse_train(list(job.command()[1:])).config == config


def test_a_run_that_has_begun_is_gone_on_with(tmp_path: Path) -> None:
    job = plan(parse_compare(["gtr", "--seeds", "1", "--out", str(tmp_path)])).runs[0]
    config = replace(build("gtr"), runs=str(tmp_path / "runs"), name="gtr-seed1", report=ReportConfig(trackers=()))
    RunFolder.create(config).close()
    assert job.command() == ("train", "--resume", str(tmp_path / "runs" / "gtr-seed1"))


def test_a_folder_holds_one_comparison_that_may_grow(tmp_path: Path) -> None:
    clip = ("--algo.clip", "0.1")
    first = Comparison({"gtr": build("gtr")}, (1,), tmp_path, "ezpoints", "tiny", clip)
    claim(first)
    claim(replace(first, configs={"gtr": build("gtr"), "rl4vlm": build("rl4vlm")}, seeds=(1, 2)))
    with pytest.raises(RunError, match=r"--algo\.clip 0\.1, not --task ezpoints --scale tiny --algo\.clip 0\.2"):
        claim(replace(first, settings=("--algo.clip", "0.2")))
    for other in (replace(first, task="points24"), replace(first, file={"seed": 3})):
        with pytest.raises(RunError, match="choose another folder with --out"):
            claim(other)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "[" * 100_000, "{}", '{"settings": 3}', '{"settings": [{}]}'])
def test_a_damaged_note_of_what_is_compared_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "comparison.json").write_text(text)
    with pytest.raises(RunError, match=r"(comparison\.json|another comparison).* --out"):
        claim(Comparison({"gtr": build("gtr")}, (1,), tmp_path, "ezpoints", "tiny"))


# -- running ------------------------------------------------------------------------------------------------------

STAND_IN = """
import sys, time
from dataclasses import replace
from pathlib import Path
from gtr.config import ReportConfig
from gtr.config.presets import build
from gtr.report import Run, RunFolder

words = sys.argv[1:]
here = Path(__file__).parent
with open(here / "calls.txt", "a") as calls:
    calls.write(" ".join(words) + "\\n")
if words[1] == "--resume":
    folder = RunFolder.open(words[2])
else:
    config = replace(build("gtr"), runs=words[1], name=words[2], report=ReportConfig(trackers=()))
    folder = RunFolder.create(config)
with folder:
    while (done := len(Run(folder.path).metrics())) < 6:
        if "bad" in folder.path.name and done == 2 and not (here / "mended").exists():
            print("Error: this run cannot go on")
            sys.exit(2)
        time.sleep(0.05 if not (here / "slow").exists() else 0.5)
        folder.write_metrics(done + 1, {"episode/success": done / 6})
"""


def stand_in(folder: Path, names: Sequence[str]) -> tuple[list[Job], list[str]]:
    """Jobs whose program writes six updates into real run folders."""
    script = folder / "stand_in.py"
    script.write_text(STAND_IN)
    runs = folder / "runs"
    jobs = [Job(name, ("train", str(runs), name), folder, runs / name, 6, name, 1) for name in names]
    return jobs, [sys.executable, str(script)]


def updates(job: Job) -> list[int]:
    assert job.folder is not None
    return [line["update"] for line in Run(job.folder).metrics()]


def test_all_runs_are_finished_and_a_failed_one_is_kept_as_failed(tmp_path: Path) -> None:
    jobs, program = stand_in(tmp_path, ["one", "bad", "two"])
    seen: list[Mapping[str, State]] = []
    states = run_all(jobs, 2, lambda now: seen.append(dict(now)), program)
    assert states == {"one": State.FINISHED, "bad": State.FAILED, "two": State.FINISHED}
    assert max(sum(state is State.RUNNING for state in now.values()) for now in seen) == 2
    assert last_lines(jobs[1].log, 2) == ["Error: this run cannot go on", "ended with exit code 2"]
    assert [updates(job) for job in jobs] == [[1, 2, 3, 4, 5, 6], [1, 2], [1, 2, 3, 4, 5, 6]]

    (tmp_path / "mended").touch()
    (tmp_path / "calls.txt").unlink()
    assert run_all(jobs, 2, lambda now: None, program)["bad"] is State.FINISHED
    assert (tmp_path / "calls.txt").read_text() == f"train --resume {jobs[1].folder}\n"
    assert updates(jobs[1]) == [1, 2, 3, 4, 5, 6]


def test_interrupting_stops_the_runs_and_going_on_finishes_them(tmp_path: Path) -> None:
    jobs, program = stand_in(tmp_path, ["one", "two", "three"])
    (tmp_path / "slow").touch()

    def interrupt(now: Mapping[str, State]) -> None:
        if jobs[0].folder is not None and jobs[0].folder.exists() and len(updates(jobs[0])) >= 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_all(jobs, 2, interrupt, program)
    stopped = updates(jobs[0])
    time.sleep(1.5)
    assert updates(jobs[0]) == stopped
    assert len(stopped) < 6
    (tmp_path / "slow").unlink()
    states = run_all(jobs, 2, lambda now: None, program)
    assert set(states.values()) == {State.FINISHED}
    assert [updates(job) for job in jobs] == [[1, 2, 3, 4, 5, 6]] * 3


def test_runs_left_over_from_a_killed_comparison_are_waited_for(tmp_path: Path) -> None:
    jobs, program = stand_in(tmp_path, ["one"])
    (tmp_path / "slow").touch()
    orphan = subprocess.Popen([*program, *jobs[0].words])
    while not (tmp_path / "runs" / "one" / "config.json").exists():
        time.sleep(0.05)
    seen: set[State] = set()
    states = run_all(jobs, 1, lambda now: seen.update(now.values()), program)
    assert orphan.wait(timeout=30) == 0
    assert State.ELSEWHERE in seen
    assert states == {"one": State.FINISHED}
    assert updates(jobs[0]) == [1, 2, 3, 4, 5, 6]


def test_a_run_killed_outright_says_by_what(tmp_path: Path) -> None:
    jobs, program = stand_in(tmp_path, ["one"])
    (tmp_path / "slow").touch()

    def kill(now: Mapping[str, State]) -> None:
        lock = tmp_path / "runs" / "one" / ".lock"
        if lock.exists() and (words := lock.read_text().split()) and now["one"] is State.RUNNING:
            os.kill(int(words[1]), signal.SIGKILL)

    assert run_all(jobs, 1, kill, program) == {"one": State.FAILED}
    assert last_lines(jobs[0].log, 1) == ["ended by signal 9"]


def test_the_board_shows_every_run(tmp_path: Path) -> None:
    jobs, program = stand_in(tmp_path, ["one", "bad"])
    for terminal in (True, False):
        out = io.StringIO()
        with Progress(jobs, Console(file=out, width=120, force_terminal=terminal)) as board:
            run_all(jobs, 2, board.show, program)
        text = out.getvalue()
        assert "6/6" in text or not terminal
        assert "1 finished, 1 failed" in text


# -- results ------------------------------------------------------------------------------------------------------


def evaluation(successes: int, episodes: int = 100, **health: float) -> dict[str, Any]:
    values = {"episode/return": 1.0, "thought/perception": 0.9, **health}
    return {
        "panel": "points24-same-100-abc",
        "successes": successes,
        "episodes": episodes,
        "success": successes / episodes if episodes else None,
        "health": values,
    }


def result(method: str, seed: int, wins: int | None, start: int = 10, **changes: Any) -> RunResult:
    state = State.FINISHED if wins is not None else State.FAILED
    one = RunResult(
        method,
        seed,
        state,
        "runs/x",
        "" if wins is not None else "Error: broken",
        turns=[384, 768, 1152],
        series={"thought/perception": [1.0, 0.5 + seed / 10, math.nan]},
        panel={0: start / 100, 1152: (wins or 0) / 100},
        start=evaluation(start),
        end=None if wins is None else evaluation(wins),
    )
    return replace(one, **changes)


def test_the_table_by_hand() -> None:
    collapse = Collapse(2, 768, ("thought/perception", "action/max_share"))
    results = [
        result("rl4vlm", 1, 4, collapse=collapse),
        result("rl4vlm", 2, 2),
        result("gtr", 1, 58),
        result("gtr", 2, 62),
        result("no_dagger", 1, 30),
        result("no_dagger", 2, None),
    ]
    start, plain, gtr, without = rows_of(results)
    assert (start.agent, start.success, start.interval) == ("start", 0.1, wilson(10, 100))
    assert (plain.success, gtr.success) == (0.03, 0.6)
    assert gtr.interval == pooled([(58, 100), (62, 100)]).seeds
    assert (gtr.times_start, gtr.times_plain) == (pytest.approx(6.0), pytest.approx(20.0))
    assert math.isnan(plain.times_plain)
    assert plain.collapse == "1/2 from turn 768: thought/perception, action/max_share"
    assert (without.failed, without.runs, without.seeds) == (1, 2, (0.3,))
    assert without.interval == pooled([(30, 100)]).episodes
    assert without.apart_from_start
    # Two seeds leave the interval of rl4vlm wide; three would not.
    assert plain.interval.high > without.interval.low
    assert not without.apart_from_plain
    text = markdown([start, plain, gtr, without], "points24")
    assert "| gtr | 0.58 0.62 | 0.60 |" in text
    assert "0.30 (1 of 2 failed)" in text
    assert len(COLUMNS) == len(cells(start))


def outcomes(*rows: int) -> list[list[bool]]:
    """Runs on 100 starts, of which each won the first so many."""
    return [[start < won for start in range(100)] for won in rows]


def test_the_interval_says_for_whom_it_speaks() -> None:
    """Outcomes start by start make it speak for other starts too; without them only for other seeds."""
    kept = [
        result("gtr", seed, sum(won), end={**evaluation(sum(won)), "outcomes": won})
        for seed, won in enumerate(outcomes(58, 62, 50), start=1)
    ]
    _, row = rows_of(kept)
    assert row.speaks_for == "other seeds and starts"
    assert row.interval == replace(crossed(np.array(outcomes(58, 62, 50), dtype=float)), estimate=170 / 300)
    without = [replace(kept[0], end=evaluation(58)), *kept[1:]]
    start, row = rows_of(without)
    assert (start.speaks_for, row.speaks_for) == ("other starts", "other seeds, these starts")
    assert row.interval == pooled([(58, 100), (62, 100), (50, 100)]).seeds
    other = {**evaluation(62), "outcomes": outcomes(62)[0], "panel": "another"}
    assert rows_of([kept[0], replace(kept[1], end=other)])[1].speaks_for == "other seeds, these starts"
    assert rows_of(kept[:1])[1].speaks_for == "other starts"
    broken: list[bool | None] = [None, *outcomes(58)[0][1:]]
    aborted = {**evaluation(57, 99), "outcomes": broken}
    _, row = rows_of([replace(kept[0], end=aborted), *kept[1:]])
    assert row.interval.low == crossed(np.array([one[1:] for one in outcomes(58, 62, 50)], dtype=float)).low
    assert row.success == (57 + 62 + 50) / 299
    for lone in ([True], [True, None, None]):
        ends = [{**evaluation(1, 1), "outcomes": lone}, {**evaluation(0, 1), "outcomes": [False, *lone[1:]]}]
        few = [result("gtr", seed, 0, end=end) for seed, end in enumerate(ends)]
        assert rows_of(few)[1].speaks_for == "other seeds, these starts", "one start says nothing of others"


def test_how_likely_a_run_beats_one_of_outcome_only_ppo() -> None:
    results = [result("rl4vlm", 1, 10), result("rl4vlm", 2, 40), result("gtr", 1, 40), result("gtr", 2, 60)]
    _, plain, gtr = rows_of(results)
    assert math.isnan(plain.better_than_plain)
    assert gtr.better_than_plain == (1 + 0.5 + 1 + 1) / 4
    assert gtr.iqm == 0.5
    assert (gtr.profile[7], gtr.profile[8], gtr.profile[12]) == (1.0, 0.5, 0.0), "above .35, .40 and .60"


@pytest.mark.parametrize(
    ("agent", "seed", "panel", "marked"),
    [(0, 1, 1, True), (0, 99, 1, True), (7, 3, 1, True), (7, 101, 0, True), (7, 101, 1, False)],
)
def test_rows_that_settings_were_chosen_on_are_marked(agent: int, seed: int, panel: int, marked: bool) -> None:
    settings = all_settings({"sft": {"enabled": True, "seed": agent}, "train": {"eval_seed": panel}})
    run = result("gtr", seed, 50, settings=settings)
    assert cells(rows_of([run])[1])[0] == ("gtr†" if marked else "gtr")


def test_thoughts_that_are_worse_than_at_the_start_are_marked() -> None:
    """By hand: of .80, .70, .60 the mean is .70, the standard error .1 / sqrt(3), and t(2) at .975 is 4.303."""
    half = 4.303 * 0.1 / math.sqrt(3)
    ends = [evaluation(1, **{"thought/perception": one, "thought/start_plan": 0.5}) for one in (0.8, 0.7, 0.6)]
    for before, worse in ((0.7 + half + 0.01, {"perception"}), (0.7 + half - 0.01, set())):
        start = evaluation(10, **{"thought/perception": before, "thought/start_plan": 0.5})
        began, row = rows_of([replace(result("rl4vlm", i, 1, end=end), start=start) for i, end in enumerate(ends)])
        assert row.worse == worse
        assert began.worse == frozenset()
        assert ("0.70↓" in cells(row)) == bool(worse)
    single = rows_of([replace(result("rl4vlm", 1, 1, end=ends[2]), start=start)])[-1]
    assert single.worse == frozenset(), "a single run has no interval over runs"


def test_the_page_is_served_while_runs_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "comparison.json").write_text("{}")
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "start-0.log").write_text("warm-up (stage 1 of 3)  step    25\n")
    with page_served(tmp_path, 0):
        address = capsys.readouterr().out.partition("watch it grow: ")[2].strip()
        with urllib.request.urlopen(f"{address}api/overview") as answer:
            assert json.load(answer)["doing"] == ["warm-up (stage 1 of 3)  step    25"]
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(address)
    with page_served(tmp_path, None):
        assert capsys.readouterr().out == ""


def test_infinite_ratios_and_methods_that_never_finished() -> None:
    results = [result("rl4vlm", 1, 0), result("gtr", 1, 5), result("sft_only", 1, None)]
    rows = {row.agent: row for row in rows_of(results)}
    assert rows["gtr"].times_plain == math.inf
    assert math.isnan(rows["sft_only"].success)
    assert cells(rows["sft_only"])[1:4] == ["(1 of 1 failed)", "-", "-"]
    assert [number(value) for value in (math.nan, math.inf, 0.5)] == ["-", "-", "0.50"]
    told = "\n".join([*cells(rows["gtr"]), comma_separated(list(rows.values())), latex(list(rows.values()), "t", "l")])
    assert "inf" not in told
    assert "from 0" in cells(rows["gtr"])


def test_a_method_with_another_start_has_its_own_start_row() -> None:
    rows = rows_of([result("gtr", 1, 50), result("rl4vlm", 1, 1), result("no_thought", 1, 20, start=5)])
    assert [row.agent for row in rows] == ["start of gtr, rl4vlm", "start of no_thought", "gtr", "rl4vlm", "no_thought"]
    assert rows[-1].times_start == pytest.approx(4.0)


def test_the_spreadsheet_holds_full_numbers() -> None:
    rows = list(csv.DictReader(io.StringIO(comma_separated(rows_of([result("gtr", 1, 33), result("gtr", 2, 34)])))))
    assert rows[1]["agent"] == "gtr"
    assert float(rows[1]["success"]) == 0.335
    assert rows[1]["seeds"] == "0.33 0.34"


def test_the_alarm_is_found_again_in_the_metrics() -> None:
    healthy = {"thought/perception": 1.0, "thought/start_plan": 0.6, "gap": math.nan}
    ill = {"thought/perception": 0.3, "thought/start_plan": 0.0}
    lines = [{"update": number, **(healthy if number < 5 else ill)} for number in range(1, 10)]
    assert find_collapse(lines[:4], played(lines, 384)) is None
    found = find_collapse(lines, played(lines, 384))
    assert found == Collapse(7, 7 * 384, ("thought/perception", "thought/start_plan"))


def test_curves_align_seeds_by_turns() -> None:
    short = replace(result("gtr", 3, 50), turns=[384], series={"thought/perception": [0.25]})
    turns, values = curve([result("gtr", 1, 50), short], "thought/perception")
    assert turns == [384, 768]
    np.testing.assert_array_equal(values, [[1.0, 0.6], [0.25, math.nan]])
    turns, values = curve([result("gtr", 1, 50), result("gtr", 2, 60)], "")
    assert turns == [0, 1152]
    np.testing.assert_allclose(values, [[0.1, 0.5], [0.1, 0.6]])


def test_reading_a_run(tmp_path: Path) -> None:
    config = replace(build("gtr"), runs=str(tmp_path), name="gtr-seed1", report=ReportConfig(trackers=()))
    with RunFolder.create(config) as folder:
        folder.write_evaluation(0, evaluation(7))
        for update in (1, 2):
            folder.write_metrics(update, {"episode/success": update / 4, **({"rare": 1.0} if update == 2 else {})})
        folder.write_evaluation(2, evaluation(9))
    job = Job("gtr-seed1", (), tmp_path, folder.path, 2, "gtr", 1)
    read = read_result(job, State.FINISHED)
    assert (read.turns, read.panel) == ([384, 768], {0: 0.07, 768: 0.09})
    assert read.series["episode/success"] == [0.25, 0.5]
    assert math.isnan(read.series["rare"][0])
    assert read.start == {**evaluation(7), "update": 0, "interval": None, "outcomes": []}
    assert read.end == {**evaluation(9), "update": 2, "interval": None, "outcomes": []}
    missing = read_result(replace(job, folder=tmp_path / "none", out=tmp_path), State.FAILED)
    assert (missing.state, missing.start) == (State.FAILED, None)


def test_everything_is_written_also_when_all_runs_failed(tmp_path: Path) -> None:
    nothing: dict[str, Any] = {"start": None, "turns": [], "series": {}, "panel": {}}
    results = [replace(result(method, 1, None), **nothing) for method in ("gtr", "rl4vlm")]
    write(study_of(results, "points24", ["gtr"]), tmp_path)
    assert np.asarray(Pictures.open(tmp_path / "curves.png")).shape[2] == 4
    record = json.loads((tmp_path / "results.json").read_text(), parse_constant=pytest.fail)
    assert record["runs"][0]["trouble"] == "Error: broken"
    assert "(1 of 1 failed)" in (tmp_path / "table.md").read_text()


def test_marks_are_the_tasks_own_checks() -> None:
    task = load(TaskConfig(name="ezpoints", prompt="compact"))
    env = task.make_env()
    _, info = env.reset(options={"cards": ["H3", "S9"]})
    truth = json.loads(json.dumps({key: value for key, value in info.items() if isinstance(value, list)}))
    fields = {"cards": [3, 9], "formula": "3+8=", "thoughts": "next 3", "action": "3"}
    record = {"truth": truth, "status": "complete", "reply": json.dumps(fields), "fields": fields, "action": "3"}
    assert sample("before", record, task).marks == {"perception": True, "plan": False, "step": True}
    assert sample("before", {**record, "status": "malformed"}, task).trouble == "malformed reply"


@pytest.mark.slow
def test_a_whole_comparison(tmp_path: Path) -> None:
    """The real program: a starting agent, two methods, one seed; then the same command again does nothing anew."""
    out = tmp_path / "out"
    small = "--train.updates 2 --train.envs 4 --train.turns 4 --train.minibatch 16 --train.eval_episodes 8"
    quick = "--sft.target 0 --sft.reading 0 --sft.max_steps 2 --sft.check_episodes 4 --report.probe_turns 4"
    words = f"compare rl4vlm gtr --task ezpoints --seeds 1 --out {out} {small} {quick}"
    for _ in range(2):
        done = subprocess.run([sys.executable, "-m", "gtr", *words.split()], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr + "".join(path.read_text() for path in out.glob("logs/*.log"))
        assert f"picture: {out / 'curves.png'}" in done.stdout
    assert sorted(path.name for path in (out / "runs").iterdir()) == ["agents", "gtr-seed1", "rl4vlm-seed1"]
    record = json.loads((out / "results.json").read_text())
    starts = [run["start"] for run in record["runs"]]
    assert starts[0]["successes"] == starts[1]["successes"]
    assert starts[0]["panel"] == starts[1]["panel"] == record["runs"][1]["end"]["panel"]
    assert [run["turns"] for run in record["runs"]] == [[16, 32]] * 2
    samples = (out / "samples.md").read_text()
    assert "| after gtr, seed 1 |" in samples
    assert all((out / name).exists() for name in ("table.md", "table.tex", "comparison.html", "figure-page.svg"))


def test_turns_are_those_that_were_played() -> None:
    """Whole episodes make rollouts of unequal length; old runs counted nothing, and theirs are as long as was asked."""
    lines = [{"update": 1, "count/turns": 400.0, "episode/aborted": 2.0}, {"update": 2, "count/turns": 390.0}]
    assert played(lines, 384) == {0: 0, 1: 402, 2: 792}
    assert played([{"update": 1}, {"update": 2}], 384) == {0: 0, 1: 384, 2: 768}


def test_a_row_says_what_a_run_took() -> None:
    series = {"count/tokens": [10.0, 20.0], "count/gradient_tokens": [40.0, 80.0], "count/turns": [5.0, 6.0]}
    series |= {"episode/aborted": [0.0, 1.0]} | {f"seconds/{stage}": [30.0, 30.0] for stage in STAGES}
    end = {"successes": 1, "episodes": 4, "panel": "p", "health": {}, "success": 0.25}
    one = RunResult("gtr", 1, State.FINISHED, "run", series=series, start=end, end=end)
    (_, row) = rows_of([one])
    counted = {"turns": 12.0, "tokens": 30.0, "gradient tokens": 120.0, "minutes": 5.0}
    assert {name: value for name, value in row.costs.items() if not math.isnan(value)} == counted
    taught = {"count/teacher_tokens": [7.0, 8.0], "seconds/teach": [60.0, 0.0], "corrector/usd": [0.5, 1.25]}
    (_, row) = rows_of([replace(one, series=series | taught)])
    assert row.costs == counted | {"teacher tokens": 15.0, "minutes": 6.0, "dollars": 1.25}
    assert dict(zip(COLUMNS, cells(row), strict=True)).items() >= {"minutes": "6.0", "dollars": "1.25"}.items()


def test_what_was_sampled_ahead_takes_no_time_beside_the_waiting_for_it() -> None:
    series = {"seconds/generate": [40.0, 40.0], "seconds/step": [5.0, math.nan], "seconds/learn": [50.0, 60.0]}
    assert durations(series) == [95.0, 100.0]
    assert durations({**series, "seconds/wait": [1.0, 2.0]}) == [51.0, 62.0]
    assert durations({"count/turns": [1.0]}) == []


STAGES = ("generate", "step", "correct", "probe", "learn")

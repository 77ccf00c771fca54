"""The alarm rated on synthetic runs whose fate is known, and its command on run folders."""

import json
import runpy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from alarm_rating import Outcome, Rating, Record, candidates, choose, outcome, rate

from gtr.config import Config, ReportConfig
from gtr.config.presets import build
from gtr.errors import RunError
from gtr.metrics.alarm import DEFAULT, Sensitivity
from gtr.report import RunFolder
from gtr.train import train

WELL = {"thought/perception": 1.0, "thought/start_plan": 0.8, "action/follows": 0.9, "episode/success": 0.3}
ILL = {"thought/perception": 0.4, "thought/start_plan": 0.1, "action/follows": 0.3, "episode/success": 0.0}


def lines(*stages: tuple[Mapping[str, float], int]) -> list[dict[str, float]]:
    """Updates from 1 on: each of these metrics for so many updates."""
    rows = [values for values, count in stages for _ in range(count)]
    return [{"update": float(i), **values} for i, values in enumerate(rows, start=1)]


def panel(*values: tuple[int, float, float]) -> dict[int, dict[str, float]]:
    """Evaluations as (update, share of first plans that work, success)."""
    return {update: {"thought/start_plan": plans, "success": success} for update, plans, success in values}


FELL = Record("fell", False, lines((WELL, 1), (ILL, 7)), panel((0, 0.8, 0.3), (4, 0.75, 0.3), (8, 0.1, 0.0)))
UNSEEN = Record("unseen", False, lines((WELL, 8)), panel((0, 0.8, 0.01), (4, 0.3, 0.0), (8, 0.2, 0.0)))
CAME_BACK = Record("came back", True, lines((WELL, 8)), panel((0, 0.8, 0.3), (4, 0.2, 0.0), (8, 0.9, 0.4)))
JITTER = Record("jitter", True, lines((WELL, 1), (ILL, 3), (WELL, 2), (ILL, 4)), panel((0, 0.8, 0.3), (8, 0.8, 0.5)))


def test_the_panel_says_what_became_of_a_run() -> None:
    # The alarm needs three bad updates, 2 to 4; success lies low on the panel of update 8.
    assert outcome(FELL) == Outcome(collapsed=8, lost=8, rings=(4,))
    assert outcome(FELL).warning == 4
    # From .01 success cannot fall by .05: a collapse without a fall of success, and without an alarm.
    assert outcome(UNSEEN) == Outcome(collapsed=4, lost=None, rings=())
    assert outcome(UNSEEN).warning is None
    assert outcome(CAME_BACK) == Outcome(collapsed=None, lost=None, rings=())
    assert outcome(JITTER) == Outcome(collapsed=None, lost=None, rings=(4, 9)), "it begins to ring twice"


def test_a_rating_counts_by_hand() -> None:
    found = rate([FELL, UNSEEN, CAME_BACK, JITTER])
    assert found == Rating(2, 2, 0, 0, collapses=2, missed=1, warnings=(4,))
    assert found.mistakes == (1 / 2 + 2 / 2, -4.0)
    assert rate([]).mistakes == (0.0, 0.0)


def test_a_late_ring_is_a_negative_warning() -> None:
    late = Record("late", False, lines((WELL, 9), (ILL, 3)), panel((0, 0.8, 0.3), (4, 0.1, 0.0), (12, 0.1, 0.0)))
    assert outcome(late).warning == 4 - 12


def test_the_choice_is_the_one_with_the_fewest_mistakes() -> None:
    assert choose([FELL, CAME_BACK], [Sensitivity(patience=3), Sensitivity(patience=1)]).patience == 1, "earlier"
    chosen = choose([FELL, CAME_BACK, JITTER], [Sensitivity(), Sensitivity(patience=5)])
    assert chosen.patience == 5, "the longest false series has four updates, the collapse seven"
    assert candidates()[0] == DEFAULT
    assert len(set(candidates())) == len(candidates()) == 4 * 3 * 3 * 3
    assert choose([CAME_BACK]) == DEFAULT, "where nothing is better, nothing changes"


def test_a_metric_that_was_not_measured_is_not_handed_to_the_alarm() -> None:
    gap = [{**line, "thought/perception": float("nan")} for line in lines((WELL, 1), (ILL, 3))]
    assert outcome(replace(FELL, lines=gap)).rings == (4,), "plans and following fall too"


# -- the command --------------------------------------------------------------------------------------------------
COMMAND = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "alarm.py"))


def kept(folder: Path, record: Record, method: str = "rl4vlm", seed: int = 1, start: int = 0) -> Path:
    """A run folder with a record's numbers, its metrics under old names."""
    config = build(method, "ezpoints")
    config = replace(config, runs=str(folder), name=record.name, seed=seed, report=ReportConfig(trackers=()))
    config = replace(config, sft=replace(config.sft, seed=start))
    with RunFolder.create(config) as run:
        for line in record.lines:
            values = {key: value for key, value in line.items() if key != "update"}
            run.write_metrics(int(line["update"]), {**values, "update/clip_share": 0.1})
        for update, values in record.panel.items():
            success = values["success"]
            health = {key: value for key, value in values.items() if key != "success"}
            run.write_evaluation(update, {"success": success, "health": health})
    return Path(run.path)


def run(*words: Any) -> None:
    COMMAND["main"]([str(word) for word in words])


def test_the_command_rates_both_sets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    develop = [kept(tmp_path / "a" / "runs", FELL), kept(tmp_path / "a" / "runs", CAME_BACK, "gtr")]
    others = [kept(tmp_path / "b" / "runs", UNSEEN, seed=2), kept(tmp_path / "b" / "runs", JITTER, "gtr", seed=2)]
    file = tmp_path / "found.json"
    run("--develop", tmp_path / "a", "--held-out", *others, "--json", file)
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    by_name = {row[0]: row[1:] for row in cells if len(row) == 6}
    assert by_name["development"] == ["2", "0 / 1", "0 / 0", "0 / 1", "4.0 (4 to 4)"]
    assert by_name["held out"] == ["2", "2 / 1", "0 / 0", "1 / 1", "-"]
    found = json.loads(file.read_text())
    assert found["develop"][str(develop[0])] == {"collapsed": 8, "lost": 8, "rings": [4]}
    assert found["sensitivity"]["patience"] == 3

    run("--develop", tmp_path / "a", "--held-out", *others, "--choose", "--json", file)
    assert json.loads(file.read_text())["sensitivity"]["patience"] == 1
    assert "patience 1" in capsys.readouterr().out


@pytest.mark.parametrize(("seed", "start", "task"), [(2, 0, "ezpoints"), (1, 7, "ezpoints")])
def test_sets_may_share_part_of_what_makes_a_run(seed: int, start: int, task: str, tmp_path: Path) -> None:
    one, other = kept(tmp_path / "a", FELL), kept(tmp_path / "b", UNSEEN, seed=seed, start=start)
    COMMAND["both"]([one], [other])


def test_sets_that_share_a_game_start_and_seed_are_refused(tmp_path: Path) -> None:
    one, other = kept(tmp_path / "a", FELL), kept(tmp_path / "b", CAME_BACK, "gtr")
    for sets in (([one], [other]), ([one], [one])):
        with pytest.raises(RunError, match=r"ezpoints, sft.seed 0, seed 1\): move them into one set"):
            COMMAND["both"](*sets)


def test_a_run_without_its_start_is_refused(tmp_path: Path) -> None:
    begun = kept(tmp_path / "a", replace(FELL, panel=panel((4, 0.1, 0.0))))
    with pytest.raises(RunError, match="no evaluation of its starting agent"):
        COMMAND["both"]([begun], [kept(tmp_path / "b", UNSEEN, seed=2)])


def paths(records: Sequence[Record]) -> list[str]:
    return [record.name for record in records]


def test_a_run_named_twice_counts_once(tmp_path: Path) -> None:
    one, other = kept(tmp_path / "a" / "runs", FELL), kept(tmp_path / "b", UNSEEN, seed=2)
    develop, held_out = COMMAND["both"]([one, tmp_path / "a", one], [other])
    assert paths(develop) == [str(one)]
    assert paths(held_out) == [str(other)]


@pytest.mark.slow
def test_the_command_reads_real_runs(
    settings: Callable[..., Config], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An untrained agent neither collapses nor learns: nothing to miss, and nothing to ring for."""
    small = {"train.updates": 3, "train.envs": 2, "train.turns": 2, "train.eval_episodes": 2, "report.trackers": ()}
    for seed, method in product((1, 2), ("gtr", "rl4vlm")):
        config = settings(method, **small, seed=seed, runs=str(tmp_path / str(seed) / "runs"), name=f"{method}-{seed}")
        train(config)
    run("--develop", tmp_path / "1", "--held-out", tmp_path / "2", "--json", tmp_path / "found.json")
    assert "held out" in capsys.readouterr().out
    found = json.loads((tmp_path / "found.json").read_text())
    names = {Path(name).name for name in (*found["develop"], *found["held_out"])}
    assert names == {"gtr-1", "rl4vlm-1", "gtr-2", "rl4vlm-2"}
    for outcome_ in (*found["develop"].values(), *found["held_out"].values()):
        assert outcome_ == {"collapsed": None, "lost": None, "rings": []}

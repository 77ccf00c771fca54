"""Comparisons over starting agents, along a grid and on further panels."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from foreign import DAMAGES

from gtr.cli import run
from gtr.cli.compare import parse_compare
from gtr.compare import study_of, write
from gtr.compare.across import points_of
from gtr.compare.formats import by_panel, cells
from gtr.compare.from_runs import read_existing
from gtr.compare.plan import FIRST_MODEL, panels_file, plan, played
from gtr.compare.results import RunResult, on_panel, read_panels
from gtr.compare.runner import State
from gtr.compare.table import rows_of
from gtr.config import ReportConfig
from gtr.config.io import settings_of
from gtr.config.presets import build
from gtr.errors import ConfigError
from gtr.report import Run, RunFolder
from gtr.stats import clustered, wilson


def parsed(words: str, out: Path) -> Any:
    return parse_compare([*words.split(), "--out", str(out)])


# -- what is run --------------------------------------------------------------------------------------------------


def test_methods_share_one_starting_agent_per_start(tmp_path: Path) -> None:
    asked = parsed("rl4vlm gtr --task ezpoints --starts 21 22 --seeds 101 102 --train.eval_seed 1", tmp_path)
    planned = plan(asked)
    assert [one.config.sft.seed for one in planned.starts if one.config] == [21, 22]
    assert [(job.name, job.seed) for job in planned.runs] == [
        (f"{method}-start{start}-seed{seed}", seed)
        for method in ("rl4vlm", "gtr")
        for start in (21, 22)
        for seed in (101, 102)
    ]
    last = planned.runs[-1].config
    assert last is not None
    assert (last.sft.seed, last.seed, last.train.eval_seed) == (22, 102, 1)
    assert asked.title == "ezpoints: rl4vlm, gtr; starting agents 21, 22; seeds 101, 102"


def test_a_grid_makes_a_method_of_every_value_and_leaves_unguided_ones_alone(tmp_path: Path) -> None:
    words = "rl4vlm gtr sft_only --task ezpoints --guidance.corrector noisy --noise.miss .1 --grid noise.wrong 0 .2"
    asked = parsed(words, tmp_path)
    names = ["rl4vlm", *(f"{name} noise.wrong={value}" for name in ("gtr", "sft_only") for value in (0.0, 0.2))]
    assert list(asked.configs) == names
    plain, exact, wrong, *_ = asked.configs.values()
    assert (plain.guidance.corrector, plain.noise.miss) == ("none", 0.0)
    assert (exact.guidance.corrector, exact.noise.miss, exact.noise.wrong, wrong.noise.wrong) == (
        "noisy",
        0.1,
        0.0,
        0.2,
    )
    assert [job.name for job in plan(asked).runs][3:5] == ["gtr-noise.wrong=0.0-seed1", "gtr-noise.wrong=0.0-seed2"]
    again = parse_compare(asked.command[2:])
    assert again == asked, "the command that is reported makes the same comparison"


def test_a_grid_over_a_setting_of_all_methods(tmp_path: Path) -> None:
    asked = parsed("rl4vlm gtr --task ezpoints --grid train.updates 3 6", tmp_path)
    lengths = [one.train.updates for one in asked.configs.values()]
    assert lengths == [3, 6, 3, 6]
    assert [job.updates for job in plan(asked).runs][::3] == lengths
    assert len(plan(asked).starts) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("gtr --grid seed 1 2", "--grid seed: give the values by --seeds"),
        ("gtr --grid sft.seed 1 2", "--grid sft.seed: give the values by --starts"),
        ("gtr --grid algo.clip", "write a setting and its values"),
        ("gtr --grid algo.clip .1 .1", "write a setting and its values"),
        ("gtr --starts 1 1", "the starts 1, 1 repeat themselves"),
        ("gtr --starts 1 --sft.seed 2", "--sft.seed is set by the comparison itself"),
        ("gtr --starts 1 --sft.enabled False", "leave --starts out"),
        ("gtr --splits new-moon", "--split new-moon: points24 has same"),
        ("gtr --grid noise.wrong 0 .1", "set guidance.corrector noisy"),
    ],
)
def test_dimensions_that_cannot_be(words: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        parsed(words, tmp_path)
    assert message in str(raised.value)


def test_an_unknown_setting_of_a_grid_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed("gtr --grid algo.clap .1", tmp_path)
    assert "algo.clap" in capsys.readouterr().err


# -- what is reported ---------------------------------------------------------------------------------------------


def evaluation(won: list[bool], split: str = "same", **more: Any) -> dict[str, Any]:
    known = {"panel": f"ezpoints-{split}-20-abc", "split": split, "successes": sum(won), "episodes": len(won)}
    return {**known, "success": sum(won) / len(won), "health": {}, "outcomes": won, **more}


def result(method: str, agent: int, seed: int, wins: int, begun: int = 2) -> RunResult:
    """Won or lost on 20 starts, the first of them first."""
    first, last = ([i < count for i in range(20)] for count in (begun, wins))
    settings = {"sft.seed": agent, "sft.enabled": True, "train.eval_seed": 1}
    done = {"start": evaluation(first), "end": evaluation(last), "settings": settings}
    return RunResult(method, seed, State.FINISHED, f"runs/{method}-{agent}-{seed}", **done)


def test_rows_speak_for_other_starting_agents() -> None:
    wins = {(21, 101): 9, (21, 102): 11, (22, 101): 14, (22, 102): 15}
    results = [result("gtr", *key, count, begun=2 if key[0] == 21 else 5) for key, count in wins.items()]
    start, row = rows_of(results)
    table = np.array([[i < count for i in range(20)] for count in wins.values()], dtype=float)
    assert row.interval == replace(clustered(table, [21, 21, 22, 22]), estimate=49 / 80)
    assert row.speaks_for == start.speaks_for == "other starting agents, seeds and starts"
    assert (start.agent, start.seeds, start.success) == ("start", (0.1, 0.25), 7 / 40)
    assert cells(row)[0] == "gtr"
    single = rows_of(results[:2])
    assert [one.speaks_for for one in single] == ["other starts", "other seeds and starts"]
    assert single[0].interval == wilson(2, 20)


def test_a_method_that_has_not_begun_from_all_agents_shares_their_row() -> None:
    rows = rows_of([result("gtr", 21, 1, 9), result("gtr", 22, 1, 9, begun=5), result("rl4vlm", 22, 1, 1, begun=5)])
    assert [row.agent for row in rows] == ["start", "gtr", "rl4vlm"]


def test_a_grid_is_found_again_and_drawn(tmp_path: Path) -> None:
    results = [result("rl4vlm", 21, 101, 1)]
    for value, wins in ((0.0, 16), (0.4, 6)):
        one = result(f"gtr noise.wrong={value}", 21, 101, wins)
        results.append(replace(one, settings={**one.settings, "noise.wrong": value}))
    points = points_of(results)
    assert {name: (one.method, one.key, one.value) for name, one in points.items()} == {
        f"gtr noise.wrong={value}": ("gtr", "noise.wrong", value) for value in (0.0, 0.4)
    }
    reported = [replace(one, method=one.method.replace(" noise.wrong=", " (noise.wrong ") + ")") for one in results[1:]]
    assert list(points_of(reported).values()) == list(points.values())
    write(study_of(results, "ezpoints", ["gtr"]), tmp_path)
    svg = {name: (tmp_path / f"{name}.svg").read_text() for name in ("profile", "grid")}
    assert all(text.lstrip().startswith("<?xml") for text in svg.values())
    again = tmp_path / "again"
    write(study_of(results, "ezpoints", ["gtr"]), again)
    assert (again / "grid.png").read_bytes() == (tmp_path / "grid.png").read_bytes()
    write(study_of(results[:1], "ezpoints", ["gtr"]), tmp_path / "no-grid")
    assert not (tmp_path / "no-grid" / "grid.png").exists()


def saved_run(out: Path, method: str, start: int, seed: int) -> Path:
    config = build(method, "ezpoints")
    config = replace(config, seed=seed, name=f"{method}-start{start}-seed{seed}", runs=str(out / "runs"))
    config = replace(config, sft=replace(config.sft, seed=start), report=ReportConfig(trackers=()))
    with RunFolder.create(replace(config, train=replace(config.train, updates=1))) as folder:
        folder.write_evaluation(0, evaluation([False] * 20))
        folder.write_metrics(1, {"episode/success": 0.5})
        folder.write_evaluation(1, evaluation([True] * 20))
    return folder.path


def test_a_folder_of_several_starting_agents_is_read_as_such(tmp_path: Path) -> None:
    for start in (21, 22):
        saved_run(tmp_path, "gtr", start, 101)
    results = read_existing([tmp_path])
    assert [(one.method, one.agent, one.seed) for one in results] == [("gtr", 21, 101), ("gtr", 22, 101)]


def test_what_was_played_on_further_panels_stands_in_the_table(tmp_path: Path) -> None:
    won = {"rl4vlm": 1, "gtr": 18}
    for method, wins in won.items():
        path = saved_run(tmp_path, method, 21, 101)
        first = str(path / FIRST_MODEL)
        panels_file(path).parent.mkdir(exist_ok=True)
        played = [
            evaluation([i < count for i in range(20)], split, agent=agent)
            for split in ("same", "new-look")
            for agent, count in ((str(path), wins if split == "same" else 3), (first, 0))
        ]
        panels_file(path).write_text(json.dumps(played))
    results = read_existing([tmp_path])
    study = study_of(results, "ezpoints", ["gtr"])
    head, *body = by_panel(study.panels)
    assert head == ["agent", "ezpoints-same-20-abc", "ezpoints-new-look-20-abc"]
    lines = {agent: shares for agent, *shares in body}
    low, high = wilson(18, 20).low, wilson(18, 20).high
    assert lines["gtr"][0] == f"0.90 ({low:.2f}-{high:.2f}, x 18.00*)"
    assert lines["gtr"][1].endswith("x 1.00)")
    assert lines["start"][0].startswith("0.00 (")
    write(study, tmp_path / "report")
    assert "Success on other panels:" in (tmp_path / "report" / "table.md").read_text()
    assert read_panels(Run(tmp_path / "runs" / "nothing")) == {}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_play_on_further_panels_is_left_out_in_words(damage: str, tmp_path: Path) -> None:
    path = saved_run(tmp_path, "gtr", 21, 101)
    agents = (str(path), str(path / FIRST_MODEL))
    panels_file(path).parent.mkdir()
    panels_file(path).write_text(json.dumps([evaluation([True, False], "same", agent=one) for one in agents]))
    DAMAGES[damage](panels_file(path))
    results = read_existing([tmp_path])
    rows_of(on_panel(results, "same"))
    if not results[0].panels and damage != "half the keys":  # Of a list it leaves none, which is no damage.
        assert any("panels/" in problem for problem in results[0].problems)


def test_play_on_further_panels_is_not_read_from_elsewhere(tmp_path: Path) -> None:
    path = saved_run(tmp_path, "gtr", 21, 101)
    panels_file(path).parent.mkdir()
    (tmp_path / "elsewhere").write_text("[]")
    panels_file(path).symlink_to(tmp_path / "elsewhere")
    assert any("links are not followed" in one for one in read_existing([tmp_path])[0].problems)


def test_panels_are_played_by_the_runs_own_settings(tmp_path: Path) -> None:
    asked = parsed("gtr --task ezpoints --splits new-look --seeds 101 --train.eval_seed 3", tmp_path)
    (job,) = plan(asked).runs
    words = played(job, asked.splits).command()
    assert words[:3] == ("eval", str(job.folder), str(tmp_path / "runs" / "gtr-seed101" / FIRST_MODEL))
    assert " ".join(words[3:9]) == "--split new-look --episodes 100 --seed 3"


# -- all of it ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_comparison_over_starts_values_and_panels_is_run_and_gone_on_with(tmp_path: Path) -> None:
    words = "compare gtr --task numberline --guidance.corrector noisy --grid noise.wrong 0 .5 --starts 21 --seeds 101"
    small = "--train.updates 1 --train.envs 4 --train.turns 2 --train.minibatch 8 --train.eval_episodes 4"
    words += f" --splits same new-look {small} --sft.check_episodes 4 --sft.target 0 --out {tmp_path}"
    assert run(words.split()) == 0
    record = json.loads((tmp_path / "results.json").read_text())
    rows = {row["agent"]: row for row in record["rows"]}
    assert set(rows) == {"start", "gtr noise.wrong=0.0", "gtr noise.wrong=0.5"}
    assert all(len(row["seeds"]) == 1 for row in rows.values())
    assert all(set(one["panels"]) == {"same", "new-look"} for one in record["runs"])
    for one in record["runs"]:
        assert one["panels"]["same"][1]["outcomes"] == one["end"]["outcomes"], "the run's own panel, played again"
        assert one["panels"]["same"][0]["outcomes"] == one["start"]["outcomes"]
    logs = {path: path.stat().st_mtime for path in (tmp_path / "logs").iterdir()}
    assert run(words.split()) == 0
    assert logs == {path: path.stat().st_mtime for path in (tmp_path / "logs").iterdir()}, "nothing is done again"
    settings = settings_of(parse_compare(words.split()[1:]).configs["gtr noise.wrong=0.5"])
    assert record["runs"][-1]["settings"]["noise.wrong"] == settings["noise.wrong"] == 0.5

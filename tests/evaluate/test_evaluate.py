"""Panels, and the agents that play them, against counts made another way."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small import changed

from gtr import cli, tasks
from gtr.config import Config
from gtr.evaluate import evaluate, evaluate_policy, make_panel
from gtr.policy.policy import Policy
from gtr.presets import build
from gtr.tasks.solver import solvable

Settings = Callable[..., Config]


# -- panels -------------------------------------------------------------------------------------------------------
def test_a_panel_is_named_by_what_is_in_it() -> None:
    task = build("gtr", "points24").task
    panel = make_panel(task, "same", 12, 0)
    assert make_panel(task, "same", 12, 0) == panel
    others = [
        make_panel(task, "same", 12, 1),
        make_panel(task, "same", 13, 0),
        make_panel(task, "new-look", 12, 0),
        make_panel(task, "new-rules", 12, 0),
        make_panel(replace(task, image_size=64), "same", 12, 0),
    ]
    assert len({one.name for one in [panel, *others]}) == 6
    assert panel.name.startswith("points24-same-12-")


def test_the_splits_change_looks_or_rules_alone() -> None:
    task = build("gtr", "points24").task
    look, rules = tasks.load(task).under("new-look"), tasks.load(task).under("new-rules")
    assert (look.deck, rules.deck) == ("dark", "classic")
    assert (look.faces, rules.faces) == ("ten", "rank")
    assert tasks.load(task).under("same") == task
    start = {"seed": 0, "options": {"cards": ["HK", "S2", "D3", "CQ"]}}
    seen = [tasks.load(one).make_env().reset(**start) for one in (task, look, rules)]
    assert [info["Numbers"] for _, info in seen] == [[10, 2, 3, 10], [10, 2, 3, 10], [13, 2, 3, 12]]
    pictures = [image for image, _ in seen]
    assert not np.array_equal(pictures[0], pictures[1])
    assert np.array_equal(pictures[0], pictures[2]), "the cards are the same, what they count is not"


# -- agents -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["numberline", "ezpoints"])
def test_the_expert_wins_and_chance_does_not(name: str) -> None:
    config = build("gtr", name)
    expert, chance = (evaluate(agent, config, episodes=40) for agent in ("expert", "random"))
    assert expert.panel == chance.panel
    assert (expert.success, expert.successes, expert.episodes) == (1.0, 40, 40)
    assert chance.success < 0.8
    assert expert.health["thought/perception"] == 1.0
    assert expert.mode == chance.mode == "scripted"


def test_the_expert_wins_what_can_be_won() -> None:
    config = changed(build("gtr", "points24"), **{"task.hands": None})
    panel = make_panel(config.task, "same", 60, 0)
    env = tasks.load(panel.task).make_env()
    can = sum(solvable(env.reset(**start)[1]["Numbers"], 24) for start in panel.starts)
    found = evaluate("expert", config, episodes=60)
    assert 0 < can < 60
    assert found.successes == can
    from scipy.stats import binomtest

    interval = binomtest(can, 60).proportion_ci(method="wilson")
    assert found.interval == pytest.approx((interval.low, interval.high), abs=1e-9)


def test_a_policys_result_is_its_own(settings: Settings, make_policy: Callable[..., Policy]) -> None:
    """Neither how many environments share a batch nor the caller's random numbers matter, nor does a corrector cut."""
    policy, config = make_policy(), settings(**{"task.max_turns": 3})
    torch.manual_seed(1)
    found = [evaluate_policy(policy, "a", changed(config, **{"train.envs": n}), "same", 6, 0)[0] for n in (6, 4)]
    assert found[0] == found[1]
    after = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(after, torch.rand(1))
    assert found[0].health["episode/stopped"] == 0.0
    sampled = [evaluate_policy(policy, "a", config, "same", 6, seed, greedy=False)[0] for seed in (2, 2)]
    assert sampled[0] == sampled[1]


def test_one_table_and_one_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "found.json"
    words = f"eval expert random --task numberline --episodes 20 --split new-look --json {file}"
    assert cli.run(words.split()) == 0
    rows = json.loads(file.read_text())
    assert [row["agent"] for row in rows] == ["expert", "random"]
    assert rows[0]["success"] == 1.0
    shown = capsys.readouterr().out
    assert rows[0]["panel"] in shown
    assert rows[0]["split"] == "new-look"
    assert "1.00" in shown

"""Panels, and the agents that play them, against counts made another way."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small import changed

from gtr import cli, tasks
from gtr.agents import Agent
from gtr.config import Config
from gtr.config.presets import build
from gtr.envs import EnvState
from gtr.errors import RunError
from gtr.evaluate import evaluate, evaluate_policy, make_panel, play, print_table, write_json
from gtr.evaluate.agents import ExpertAgent
from gtr.evaluate.results import result_of
from gtr.policy.policy import Policy
from gtr.report.found import find_runs
from gtr.show.source import Source
from gtr.tasks.alfworld.task import ALFWorldTask
from gtr.tasks.solver import solvable
from gtr.types import Ending, Reply

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
    look, rules = tasks.load(task).for_split("new-look"), tasks.load(task).for_split("new-rules")
    assert (look.deck, rules.deck) == ("dark", "classic")
    assert (look.faces, rules.faces) == ("ten", "rank")
    assert tasks.load(task).for_split("same") == task
    start = {"seed": 0, "options": {"cards": ["HK", "S2", "D3", "CQ"]}}
    seen = [tasks.load(one).make_env().reset(**start) for one in (task, look, rules)]
    assert [info["Numbers"] for _, info in seen] == [[10, 2, 3, 10], [10, 2, 3, 10], [13, 2, 3, 12]]
    pictures = [image for image, _ in seen]
    assert not np.array_equal(pictures[0], pictures[1])
    assert np.array_equal(pictures[0], pictures[2]), "the cards are the same, what they count is not"


@pytest.mark.parametrize(
    "setting",
    [
        {"illegal_reward": -0.5},
        {"max_turns": 4},
        {"hands": 16},
        {"faces": "rank"},
        {"deck": "sketch"},
        {"order": "sorted"},
    ],
)
def test_other_rules_make_another_panel(setting: dict[str, Any]) -> None:
    task = build("gtr", "points24").task
    assert make_panel(replace(task, **setting), "same", 4, 0).name != make_panel(task, "same", 4, 0).name


@pytest.mark.parametrize(
    "setting", [{"prompt": "paper"}, {"thought": False}, {"loopholes": True}, {"illegal": "random"}]
)
def test_what_is_told_and_how_training_meets_bad_replies_make_none(setting: dict[str, Any]) -> None:
    task = build("gtr", "points24").task
    panel = make_panel(replace(task, **setting), "same", 4, 0)
    assert panel.name == make_panel(task, "same", 4, 0).name
    assert (panel.task.loopholes, panel.task.illegal) == (False, "penalise")


def test_the_default_turn_limit_written_out_is_the_same_panel() -> None:
    task = build("gtr", "points24").task
    written = replace(task, max_turns=tasks.load(task).max_turns)
    assert make_panel(written, "same", 4, 0).name == make_panel(task, "same", 4, 0).name


def test_a_household_is_measured_without_reading_actions_off_any_text() -> None:
    config = build("gtr", "alfworld").task
    loose = replace(config, match="substring", workers=True, hidden=True)
    ours, theirs = tasks.load(config), tasks.load(tasks.load(loose).strict())
    assert isinstance(theirs, ALFWorldTask)
    assert theirs.config.match == "exact"
    assert ours.rules() == theirs.rules()
    assert ours.rules() != tasks.load(loose).rules()


class Garbage(Agent):
    """Writes what no game understands."""

    name, mode = "garbage", "scripted"

    def act(self, states: Sequence[EnvState]) -> Sequence[Reply]:
        return [Reply("garbage", (), (), True) for _ in states]


@pytest.mark.parametrize("name", ["numberline", "blackjack", "ezpoints"])
def test_nonsense_wins_nothing_however_training_would_meet_it(name: str) -> None:
    names = set()
    for method in ("gtr", "reference"):
        config = build(method, name)
        panel = make_panel(config.task, "same", 20, 0)
        episodes = play(Garbage(), tasks.load(panel.task), panel, config)
        assert not any(episode[-1].success for episode in episodes), method
        names.add(panel.name)
    assert len(names) == 1


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
    assert [bool(won) for won in found.outcomes] == [solvable(env.reset(**s)[1]["Numbers"], 24) for s in panel.starts]
    assert found.successes == can
    from scipy.stats import binomtest

    interval = binomtest(can, 60).proportion_ci(method="wilson")
    assert found.interval == pytest.approx((interval.low, interval.high), abs=1e-9)


def test_a_policys_result_is_its_own(settings: Settings, make_policy: Callable[..., Policy]) -> None:
    """Neither how many environments share a batch nor the caller's random numbers matter, nor does a corrector cut."""
    policy, config = make_policy(), settings(**{"task.max_turns": 3})
    torch.manual_seed(1)
    found = [evaluate_policy(policy, "a", changed(config, **{"train.envs": n}), "same", 6, 0)[0] for n in (6, 4)]
    one, other = (dict(result.health) for result in found)
    # The last digits of a log-probability depend on the size of the batch, on some CPUs.
    assert one.pop("policy/entropy") == pytest.approx(other.pop("policy/entropy"), rel=1e-4)
    assert replace(found[0], health=one) == replace(found[1], health=other)
    after = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(after, torch.rand(1))
    assert found[0].health["episode/stopped"] == 0.0
    assert found[0].outcomes == (False,) * 6
    sampled = [evaluate_policy(policy, "a", config, "same", 6, seed, greedy=False)[0] for seed in (2, 2)]
    assert sampled[0] == sampled[1]


def test_one_table_and_one_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "found.json"
    words = f"eval expert random --task numberline --episodes 20 --split new-look --json {file} --out {tmp_path}"
    assert cli.run(words.split()) == 0
    rows = json.loads(file.read_text())
    assert [row["agent"] for row in rows] == ["expert", "random"]
    assert rows[0]["success"] == 1.0
    shown = capsys.readouterr().out
    assert rows[0]["panel"] in shown
    assert rows[0]["split"] == "new-look"
    assert "1.00" in shown


def test_what_was_played_is_kept_and_shown_as_a_run_is(tmp_path: Path) -> None:
    """Each agent's folder opens in the viewer: outcome, every turn, and how sure its success is; it is no run."""
    config = build("gtr", "numberline")
    found = {name: evaluate(name, config, episodes=6, keep=tmp_path) for name in ("expert", "random")}
    again = evaluate("random", config, episodes=6, keep=tmp_path)
    assert again == found["random"]
    runs = find_runs([tmp_path])
    assert len(runs) == 3
    assert all(run.only_played and not run.goes_on(0) and run.problems == [] for run in runs)
    source = Source(runs)
    (group,) = source.overview()["groups"]
    assert group["name"] == f"evaluations on {found['expert'].panel}"
    assert group["story"]["headline"] == "3 evaluations of one panel"
    texts = [one["text"] for one in group["story"]["sentences"]]
    assert "expert wins 6 of 6 starts: 100% (61-100)." in texts
    (expert,) = [i for i, run in enumerate(runs) if run.method == "expert"]
    (part,) = source.panels(expert)
    assert part["columns"]["success"] == [1] * 6
    assert part["columns"]["env"] == ["e0"] * 6
    turns = source.play(expert, 0, 3)
    assert [turn["turn"] for turn in turns] == list(
        range(part["columns"]["turns"][part["columns"]["episode"].index(3)])
    )
    assert all(turns[0]["checks"].values())
    assert runs[expert].picture(turns[0]["image"]) is not None
    assert source.search(expert, -1, turns[0]["reply"][:20].upper())["found"]
    assert source.search(expert, -1, "no reply says this") == {"found": [], "next": -1, "done": True}


def test_a_trained_agents_tokens_are_kept_too(
    tmp_path: Path, settings: Settings, make_policy: Callable[..., Policy]
) -> None:
    config = settings("gtr", "numberline", "tiny-llava")
    make_policy("tiny-llava").save(tmp_path / "model")
    evaluate(str(tmp_path / "model"), config, episodes=2, keep=tmp_path / "kept")
    (run,) = find_runs([tmp_path / "kept"])
    for turn in run.panel(0):
        assert len(turn["per_token"]["ends"]) == turn["tokens"] > 0


def test_an_agent_without_an_episode_has_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent(Agent):
        name = "silent"

        def act(self, states: Sequence[EnvState]) -> list[Reply | None]:
            return [None] * len(states)

    monkeypatch.setattr("gtr.evaluate._player", lambda *_: Silent())
    with pytest.raises(RunError, match="silent: none of 4 episodes was played to its end"):
        evaluate("silent", build("gtr", "numberline"), episodes=4)


def test_rows_under_different_rules_do_not_share_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    config = build("gtr", "numberline")
    short = changed(config, **{"task.max_turns": 3})
    print_table([evaluate("expert", config, episodes=4), evaluate("expert", short, episodes=4)])
    shown = capsys.readouterr().out
    titles = [line.strip() for line in shown.splitlines() if line.strip().startswith("panel ")]
    assert len(set(titles)) == 2
    assert "on other starts" in shown


@pytest.mark.parametrize("broken", [0, 1])
def test_an_aborted_episode_has_no_outcome(broken: int) -> None:
    config = build("gtr", "numberline")
    panel = make_panel(config.task, "same", 3, 0)
    task = tasks.load(panel.task)
    episodes = play(ExpertAgent(task), task, panel, config)
    last = episodes[broken][-1]
    episodes[broken][-1] = replace(last, ending=Ending.ABORTED, success=False)
    found = result_of(ExpertAgent(task), panel, task, episodes)
    assert list(found.outcomes) == [None if i == broken else True for i in range(3)]
    assert (found.episodes, found.aborted, found.success) == (2, 1, 1.0)
    whole = result_of(ExpertAgent(task), panel, task, [one for i, one in enumerate(episodes) if i != broken])
    assert found.health["episode/return"] == whole.health["episode/return"]


# -- tasks that do not say what success is ----------------------------------------------------------------------------
UNSAID = str(Path(__file__).parents[1] / "check" / "broken.py") + ":NoSuccess"


def test_a_reward_is_no_success(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    found = evaluate("expert", build("gtr", UNSAID), episodes=6)
    assert (found.successes, found.episodes, found.health["episode/return"]) == (None, 6, 1.0)
    assert np.isnan(found.success)
    assert "episode/success" not in found.health
    print_table([found])
    said = capsys.readouterr().out
    assert "does not say what success is" in said
    assert "1.00" in said, "the return is known all the same"
    write_json([found], tmp_path / "found.json")
    (kept,) = json.loads((tmp_path / "found.json").read_text())
    assert (kept["success"], kept["successes"], kept["interval"]) == (None, None, [0.0, 1.0])


def test_a_turn_limit_is_no_failure_there_either() -> None:
    config = changed(build("gtr", UNSAID), **{"task.max_turns": 1})
    assert evaluate("random", config, episodes=6).outcomes == (None,) * 6
    known = changed(build("gtr", "numberline"), **{"task.max_turns": 1})
    assert evaluate("random", known, episodes=6).outcomes.count(None) == 0


def test_an_agent_that_never_plays_has_not_won() -> None:
    """Dots puts success into its step alone; who writes nonsense never gets there."""
    config = build("gtr", str(Path(__file__).parents[2] / "examples" / "dots.py") + ":DotsTask")
    panel = make_panel(config.task, "same", 6, 0)
    task = tasks.load(panel.task)
    agent = Garbage()
    found = result_of(agent, panel, task, play(agent, task, panel, config))
    assert (found.successes, found.success, found.outcomes) == (0, 0.0, (False,) * 6)

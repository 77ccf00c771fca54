"""Examining a corrector, and API models as agents, against a real HTTP server (the solver behind the protocol)."""

import json
from collections import Counter

import pytest

pytest.importorskip("openai")
from chat_cases import replace, settings
from chat_server import Server

import gtr.corrector_eval as examination
from gtr import cli, tasks
from gtr.config import TaskConfig
from gtr.envs import VecEnv
from gtr.errors import CorrectorError
from gtr.evaluate import evaluate
from gtr.guidance.oracle import OracleCorrector
from gtr.guidance.trial import Fault, samples, trial

GAMES = ("points24", "ezpoints", "numberline", "blackjack")


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret-0123456789")


@pytest.mark.parametrize("game", GAMES)
@pytest.mark.parametrize("prompt", ["paper", "compact"])
def test_thoughts_are_of_their_kind_and_the_oracle_gets_them_all_right(game, prompt):
    task = tasks.load(TaskConfig(game, prompt=prompt, image_size=64))
    put = samples(task, 5, 0)
    kinds = Counter(sample.fault for sample in put)
    expected = set(Fault) - (set() if "formula" in task.thought_keys else {Fault.PLAN})
    assert kinds == dict.fromkeys(expected, 5)
    for sample in put:
        checks = task.check(sample.case.truth, sample.case.parsed, None)
        assert all(checks.values()) is (sample.fault is Fault.NONE)
        if sample.fault is Fault.MISREAD:
            assert [name for name, passed in checks.items() if not passed] == ["perception"]
    again = [sample.case.text for sample in samples(task, 5, 0)]
    assert again == [sample.case.text for sample in put], "the panel is fixed"
    assert again != [sample.case.text for sample in samples(task, 5, 1)]
    for score in trial(OracleCorrector(task), task, put):
        assert (score.found.estimate, score.mended.estimate, score.absent) == (1.0, 1.0, 0)


def shown(monkeypatch, server):
    """Shows the server every picture of the examination with its truth."""
    make = examination.samples

    def made(*arguments):
        put = make(*arguments)
        for sample in put:
            server.show(sample.case.prompt.image, sample.case.truth)
        return put

    monkeypatch.setattr(examination, "samples", made)


def test_examination_of_a_corrector_behind_an_api(monkeypatch, tmp_path, capsys):
    task = tasks.load(TaskConfig("points24", image_size=64))
    with Server(task) as server:
        shown(monkeypatch, server)
        words = f"corrector-eval --task points24 --thoughts 4 --corrector.base_url {server.url}"
        words += f" --task.image_size 64 --json {tmp_path / 'found.json'} --folder {tmp_path / 'kept'}"
        assert cli.run(words.split()) == 0
        asked = len(server.requests)
        assert cli.run(words.split()) == 0
        assert len(server.requests) == asked, "what was answered is not paid for again"
    printed = capsys.readouterr().out
    assert "per 1,000 turns" in printed
    found = json.loads((tmp_path / "found.json").read_text())
    assert {score["fault"] for score in found["scores"]} == {*Fault, "all wrong"}
    assert all(score["found"]["estimate"] == 1 for score in found["scores"])


def test_a_corrector_that_lets_everything_pass_is_seen_through(monkeypatch):
    task = tasks.load(TaskConfig("ezpoints", image_size=64))
    with Server(task) as server:
        answer = server.answer
        server.answer = lambda body, truth: {**answer(body, truth), "evaluation": "YES", "correction": None}
        shown(monkeypatch, server)
        config = settings(server.url, "ezpoints")
        report = examination.examine(config, 6, 0)
    scores = {score.fault: score for score in report.scores}
    assert scores["right"].found.estimate == 1
    assert scores["all wrong"].found.estimate == scores["all wrong"].mended.estimate == 0
    assert 0 < scores["all wrong"].found.high < 0.2
    assert report.costs["usd_per_1000"] > 0
    assert report.costs["corrector/contradictions"] == 24


@pytest.mark.parametrize("agent", ["openai:gpt-4o", "openai+tool:gpt-4o"])
def test_an_api_model_plays_the_panel(agent, monkeypatch):
    task = tasks.load(TaskConfig("ezpoints", image_size=64))
    see = VecEnv._see
    with Server(task) as server:

        def seen(self, state, image, info):
            see(self, state, image, info)
            server.show(state.prompt.image, state.truth)

        monkeypatch.setattr(VecEnv, "_see", seen)
        config = settings(server.url, "ezpoints")
        config = replace(config, task=replace(config.task, hands=5))
        found = evaluate(agent, config, episodes=6)
    assert (found.success, found.episodes, found.mode) == (1.0, 6, "greedy")
    assert found.health["corrector/usd"] > 0
    assert (found.health["corrector/tool_calls"] > 0) is ("tool" in agent)
    assert {body["temperature"] for body in server.requests} == {0.0}


def test_an_episode_without_a_reply_is_left_out_and_a_spent_budget_ends_the_evaluation(monkeypatch):
    task = tasks.load(TaskConfig("ezpoints", image_size=64))
    see = VecEnv._see
    with Server(task, fault_share=0.15, faults=("500",)) as server:

        def seen(self, state, image, info):
            see(self, state, image, info)
            server.show(state.prompt.image, state.truth)

        monkeypatch.setattr(VecEnv, "_see", seen)
        config = settings(server.url, "ezpoints", retries=0, breaker=1000)
        config = replace(config, task=replace(config.task, hands=5))
        found = evaluate("openai:gpt-4o", config, episodes=12)
        assert found.aborted > 0
        assert (found.episodes + found.aborted, found.success) == (12, 1.0)
        poor = replace(config, corrector=replace(config.corrector, budget_usd=0.02))
        with pytest.raises(CorrectorError, match=r"budget of \$0.02 was spent before the panel"):
            evaluate("openai:gpt-4o", poor, episodes=12)


def test_the_example_of_a_corrector_of_ones_own_is_short_and_found_out(capsys):
    import runpy
    from pathlib import Path

    file = Path(__file__).parents[1] / "examples" / "own_corrector.py"
    assert len(file.read_text().splitlines()) < 40
    runpy.run_path(str(file), run_name="__main__")
    lines = dict(line.split(" found ") for line in capsys.readouterr().out.splitlines())
    said = {name.strip(): rates for name, rates in lines.items()}
    assert said["right"] == said["wrong step"] == "1.00, mended or unspoilt 1.00"
    assert said["misread"] != said["right"]

"""Examining a corrector, by itself and behind a real HTTP server (the solver behind the protocol)."""

import json
from collections import Counter

import pytest

pytest.importorskip("openai")
from chat_cases import settings
from chat_server import Server

import gtr.corrector_eval as examination
from gtr import cli, tasks
from gtr.config import TaskConfig
from gtr.guidance.benchmark import ErrorKind, benchmark, benchmark_cases
from gtr.guidance.oracle import OracleCorrector

GAMES = ("points24", "ezpoints", "numberline", "blackjack")


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret-0123456789")


@pytest.mark.parametrize("game", GAMES)
@pytest.mark.parametrize("prompt", ["paper", "compact"])
def test_thoughts_are_of_their_kind_and_the_oracle_gets_them_all_right(game, prompt):
    task = tasks.load(TaskConfig(game, prompt=prompt, image_size=64))
    put = benchmark_cases(task, 5, 0)
    kinds = Counter(sample.kind for sample in put)
    expected = set(ErrorKind) - (set() if "formula" in task.thought_keys else {ErrorKind.PLAN})
    assert kinds == dict.fromkeys(expected, 5)
    for sample in put:
        checks = task.check(sample.case.truth, sample.case.parsed, None)
        assert all(checks.values()) is (sample.kind is ErrorKind.NONE)
        if sample.kind is ErrorKind.MISREAD:
            assert [name for name, passed in checks.items() if not passed] == ["perception"]
    again = [sample.case.text for sample in benchmark_cases(task, 5, 0)]
    assert again == [sample.case.text for sample in put], "the panel is fixed"
    assert again != [sample.case.text for sample in benchmark_cases(task, 5, 1)]
    for score in benchmark(OracleCorrector(task), task, put):
        assert (score.found.estimate, score.fixed.estimate, score.absent) == (1.0, 1.0, 0)


def shown(monkeypatch, server):
    """Shows the server every picture of the examination with its truth."""
    make = examination.benchmark_cases

    def made(*arguments):
        put = make(*arguments)
        for sample in put:
            server.show(sample.case.prompt.image, sample.case.truth)
        return put

    monkeypatch.setattr(examination, "benchmark_cases", made)


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
    assert {score["kind"] for score in found["scores"]} == {*ErrorKind, "all wrong"}
    assert all(score["found"]["estimate"] == 1 for score in found["scores"])


def test_a_corrector_that_lets_everything_pass_is_seen_through(monkeypatch):
    task = tasks.load(TaskConfig("ezpoints", image_size=64))
    with Server(task) as server:
        answer = server.answer
        server.answer = lambda body, truth: {**answer(body, truth), "evaluation": "YES", "correction": None}
        shown(monkeypatch, server)
        config = settings(server.url, "ezpoints")
        report = examination.examine(config, 6, 0)
    scores = {score.kind: score for score in report.scores}
    assert scores["correct"].found.estimate == 1
    assert scores["all wrong"].found.estimate == scores["all wrong"].fixed.estimate == 0
    assert 0 < scores["all wrong"].found.high < 0.2
    assert report.costs["usd_per_1000"] > 0
    assert report.costs["corrector/contradictions"] == 24


def test_the_example_of_a_corrector_of_ones_own_is_short_and_found_out(capsys):
    import runpy
    from pathlib import Path

    file = Path(__file__).parents[2] / "examples" / "own_corrector.py"
    assert len(file.read_text().splitlines()) < 45
    runpy.run_path(str(file), run_name="__main__")
    lines = dict(line.split(" found ") for line in capsys.readouterr().out.splitlines())
    said = {name.strip(): rates for name, rates in lines.items()}
    assert said["correct"] == said["wrong step"] == "1.00, fixed or unspoilt 1.00"
    assert said["misread"] != said["correct"]

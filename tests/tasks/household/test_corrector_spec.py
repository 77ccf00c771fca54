"""ALFWorld before correctors that are models: briefed in its own words, examined like every game."""

from dataclasses import replace

import pytest

pytest.importorskip("openai")
from chat_cases import settings
from chat_server import Server

from gtr import tasks
from gtr.config.presets import build
from gtr.guidance import make_corrector
from gtr.guidance.benchmark import ErrorKind, benchmark, benchmark_cases


def test_a_model_is_briefed_on_the_household_and_its_verdicts_hold(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret-0123456789")
    game = build("gtr", "alfworld").task
    task = tasks.load(game)
    put = benchmark_cases(task, 2, 0)
    spec = task.corrector_spec()
    assert len(spec.rules) > 100
    for sample in put:
        assert set(spec.questions) == set(task.check(sample.case.truth, sample.case.parsed, None))
    with Server(task) as server:
        for sample in put:
            server.show(sample.case.prompt.image, sample.case.truth)
        corrector = make_corrector(replace(settings(server.url), task=game), task)
        scores = {score.kind: score for score in benchmark(corrector, task, put)}
        corrector.close()
    assert scores[ErrorKind.NONE].found.estimate == scores[ErrorKind.NONE].fixed.estimate == 1
    assert scores["all wrong"].found.estimate == 1
    assert all(score.absent == 0 for score in scores.values())

"""The chat corrector against a real HTTP server on loopback (the solver behind the protocol: see chat_server)."""

import itertools
import json
import time

import pytest

pytest.importorskip("openai")
from chat_cases import case_of, load, misread, right, settings
from chat_server import Server

from gtr.errors import CorrectorError
from gtr.guidance import make_corrector
from gtr.types import Judgement

GAMES = ("points24", "ezpoints", "numberline", "blackjack")


def judge(corrector, *cases):
    return [future.result(30) for future in corrector.judge(cases)]


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret-0123456789")


@pytest.mark.parametrize("game", GAMES)
def test_judges_every_card_game(game, tmp_path):
    config = settings("http://127.0.0.1:9/v1", game)
    task = load(config)
    with Server(task) as server:
        config = settings(server.url, game)
        corrector = make_corrector(config, task, tmp_path)
        cases = [case_of(task, kind, seed=3, env=env) for env, kind in enumerate((right, misread, "no JSON at all"))]
        for case in cases:
            server.show(case.prompt.image, case.truth)
        verdicts = judge(corrector, *cases)
        corrector.close()
    assert [verdict.judgement for verdict in verdicts] == [Judgement.CORRECT, Judgement.INCORRECT, Judgement.INCORRECT]
    assert verdicts[0].answers == dict.fromkeys(task.corrector_spec().questions, True)
    expert = task.expert(cases[1].truth)
    assert verdicts[1].thought == expert.thought
    assert verdicts[1].answers["perception"] is False
    assert verdicts[2].action == expert.action
    for body in server.requests:
        assert '"action": "' + str(expert.action) not in json.dumps(body["messages"]), "the agent's action was shown"


@pytest.mark.parametrize("structure", ["json_schema", "json_object", "prompt"])
@pytest.mark.parametrize("tools", [True, False])
def test_finds_out_what_the_server_does(structure, tools, tmp_path):
    task = load(settings(None))
    with Server(task, structure, tools) as server:
        corrector = make_corrector(settings(server.url), task, tmp_path)
        case = case_of(task, misread)
        server.show(case.prompt.image, case.truth)
        verdict = judge(corrector, case)[0]
        values = corrector.metrics()
        corrector.close()
    assert verdict.thought == task.expert(case.truth).thought
    last = server.requests[-1].get("response_format", {}).get("type", "prompt")
    assert last == ("prompt" if tools else structure), "a model that calls tools may answer at once, and is understood"
    assert values["corrector/tool_calls"] == 1
    assert values["corrector/repairs"] == 0
    result = json.dumps(server.requests[-1]["messages"])
    assert "find_all_correct_formulas" in result
    assert task.expert(case.truth).target.removesuffix("=") in result


def test_plan_is_kept_for_the_episode_and_dropped_when_it_no_longer_fits(tmp_path):
    task = load(settings(None))
    first = case_of(task, misread, seed=3)
    plan = task.expert(first.truth).target
    symbol = task.to_env(task.expert(first.truth).action, first.observation)
    other = next(i for i, word in enumerate(task.words) if word == "(" or word == plan[0])
    second = case_of(task, misread, seed=3, index=1, steps=[symbol])
    strayed = case_of(task, misread, seed=3, index=1, episode=1, steps=[other + (other == symbol)])
    with Server(task, delay=0.2) as server:
        for case in (first, second, strayed):
            server.show(case.prompt.image, case.truth)
        corrector = make_corrector(settings(server.url, structured="json_schema", tools="off"), task, tmp_path)
        verdicts = judge(corrector, first, second)
        asked = [body["messages"][1]["content"][0]["text"] for body in server.requests]
        assert [("keep to it" in text) for text in asked] == [False, True]
        assert json.dumps(plan) in asked[1]
        assert verdicts[0].target == verdicts[1].target == plan
        assert corrector.state() == {"0": [0, plan]}
        corrector.restore({"0": [1, plan]})
        judge(corrector, strayed)
        corrector.close()
    fits = task.fits(strayed.observation, plan)
    assert ("keep to it" in server.requests[-1]["messages"][1]["content"][0]["text"]) is fits


def test_one_repair_then_the_turn_goes_without_a_lesson(tmp_path):
    task = load(settings(None))
    case = case_of(task, misread)
    with Server(task, fault_share=1.0, faults=("schema", "injection")) as server:
        server.show(case.prompt.image, case.truth)
        corrector = make_corrector(settings(server.url, structured="json_object", tools="off"), task, tmp_path)
        verdict = judge(corrector, case)[0]
        values = corrector.metrics()
        corrector.close()
    assert verdict.judgement is Judgement.ABSENT
    assert len(server.requests) == 2
    assert "cannot be used" in server.requests[1]["messages"][-1]["content"]
    assert (values["corrector/repairs"], values["corrector/invalid"]) == (1, 1)


def test_the_same_question_is_asked_once_and_never_again_after_a_restart(tmp_path):
    task = load(settings(None))
    cases = [case_of(task, misread, env=env) for env in range(4)]
    with Server(task, delay=0.1) as server:
        server.show(cases[0].prompt.image, cases[0].truth)
        config = settings(server.url, structured="json_schema", tools="off")
        corrector = make_corrector(config, task, tmp_path)
        first = judge(corrector, *cases)
        values = corrector.metrics()
        corrector.close()
        again = make_corrector(config, task, tmp_path)
        second = judge(again, *cases)
        after = again.metrics()
        again.close()
    assert len(server.requests) == 1
    assert first == second
    assert values["corrector/cache_hits"] == 3
    assert after["corrector/usd"] == values["corrector/usd"] > 0, "what was spent before counts after a restart too"
    lines = [json.loads(line) for line in (tmp_path / "corrector" / "verdicts-0.jsonl").read_text().splitlines()]
    assert [line["source"] for line in lines] == ["asked", *["cache"] * 7]


def test_budget_holds_with_many_requests_in_flight(tmp_path):
    task = load(settings(None))
    cases = [case_of(task, misread, seed=seed, env=seed) for seed in range(30)]
    with Server(task, delay=0.05) as server:
        for case in cases:
            server.show(case.prompt.image, case.truth)
        corrector = make_corrector(settings(server.url, budget_usd=0.15, in_flight=8), task, tmp_path)
        verdicts = judge(corrector, *cases)
        values = corrector.metrics()
        corrector.close()
    spent = (server.billed_in * 2.5 + server.billed_out * 10) / 1e6
    assert spent == pytest.approx(values["corrector/usd"])
    assert 0.02 < spent <= 0.15
    counts = [verdict.judgement for verdict in verdicts]
    assert (
        counts.count(Judgement.INCORRECT) + counts.count(Judgement.UNSOLVABLE) + counts.count(Judgement.SKIPPED) == 30
    )
    assert counts.count(Judgement.SKIPPED) == values["corrector/unfunded"] > 0


def test_budget_may_end_the_run_and_needs_a_price(tmp_path):
    task = load(settings(None))
    with Server(task) as server:
        case = case_of(task, misread)
        server.show(case.prompt.image, case.truth)
        corrector = make_corrector(settings(server.url, budget_usd=0.0, at_budget="stop"), task, tmp_path)
        with pytest.raises(CorrectorError, match=r"budget of .* is spent"):
            judge(corrector, case)
        corrector.close()
        assert not server.requests
        with pytest.raises(Exception, match=r"corrector.price_in"):
            make_corrector(settings(server.url, budget_usd=1.0, model="my-own"), task, tmp_path)


def test_limits_of_requests_in_flight_and_per_minute(tmp_path):
    task = load(settings(None))
    cases = [case_of(task, misread, seed=seed, env=seed) for seed in range(12)]
    with Server(task, delay=0.15) as server:
        for case in cases:
            server.show(case.prompt.image, case.truth)
        limited = settings(server.url, structured="json_schema", tools="off", in_flight=3, requests_per_minute=600)
        corrector = make_corrector(limited, task, tmp_path)
        judge(corrector, *cases)
        corrector.close()
    gaps = [b - a for a, b in itertools.pairwise(server.starts)]
    assert server.most_at_once <= 3
    assert len(gaps) == 11
    assert server.starts[-1] - server.starts[0] >= 11 * 0.1 * 0.9, "600 a minute are at least 0.1 s apart"


def test_a_server_that_stays_down_stops_the_run_or_is_waited_for_or_done_without(tmp_path):
    task = load(settings(None))
    with Server(task) as server:
        cases = [case_of(task, misread, seed=seed, env=seed) for seed in range(8)]
        for case in cases:
            server.show(case.prompt.image, case.truth)
        server.down = True
        down = {"structured": "prompt", "tools": "off", "breaker": 4, "retries": 50, "patience": 1.0}
        stopping = make_corrector(settings(server.url, **down), task, tmp_path / "stop")
        with pytest.raises(CorrectorError, match="has been down for"):
            judge(stopping, *cases)
        stopping.close()
        asked = len(server.requests)
        assert asked < 40, "a server that is down is probed, not hammered"
        without = make_corrector(settings(server.url, **down, when_down="continue"), task, tmp_path / "continue")
        assert {verdict.judgement for verdict in judge(without, *cases[:7])} == {Judgement.ABSENT}
        without.close()
        waiting = make_corrector(settings(server.url, **down, when_down="wait"), task, tmp_path / "wait")
        futures = waiting.judge(cases)
        time.sleep(2)
        assert not any(future.done() for future in futures)
        server.down = False
        assert all(future.result(20).judgement is not Judgement.ABSENT for future in futures)
        waiting.close()


def test_no_key_reaches_the_disk_the_log_or_an_error(tmp_path, caplog, monkeypatch):
    caplog.set_level("DEBUG")
    secret = "sk-very-secret-0123456789"
    task = load(settings(None))
    with Server(task, fault_share=1.0, faults=("500",)) as server:
        case = case_of(task, misread)
        server.show(case.prompt.image, case.truth)
        corrector = make_corrector(settings(server.url, patience=0.0, breaker=1, retries=3), task, tmp_path)
        server.down = True
        with pytest.raises(CorrectorError) as error:
            judge(corrector, case)
        state = json.dumps(corrector.state())
        corrector.close()
    assert server.keys == {f"Bearer {secret}"}, "the key was used"
    everything = [file.read_bytes().decode() for file in tmp_path.rglob("*") if file.is_file()]
    assert everything
    assert "(key)" in str(error.value)
    assert not [text for text in (*everything, caplog.text, str(error.value), state) if secret in text]


def test_close_ends_in_seconds_whatever_is_under_way(tmp_path):
    task = load(settings(None))
    with Server(task, fault_share=1.0, faults=("hang", "endless")) as server:
        cases = [case_of(task, misread, seed=seed, env=seed) for seed in range(6)]
        for case in cases:
            server.show(case.prompt.image, case.truth)
        config = settings(server.url, structured="prompt", tools="off", timeout=60.0)
        corrector = make_corrector(config, task, tmp_path)
        futures = corrector.judge(cases)
        while len(server.requests) < 6:
            time.sleep(0.05)
        started = time.monotonic()
        corrector.close()
        assert time.monotonic() - started < 3
        assert all(isinstance(future.exception(1), CorrectorError) for future in futures)


@pytest.mark.parametrize("fault", ["drop", "hang", "truncated", "not_json", "endless", "huge", "tool_args"])
def test_each_fault_costs_a_turn_at_most(fault, tmp_path):
    task = load(settings(None))
    with Server(task, fault_share=1.0, faults=(fault,)) as server:
        case = case_of(task, misread)
        server.show(case.prompt.image, case.truth)
        corrector = make_corrector(settings(server.url, timeout=1.0, retries=1), task, tmp_path)
        verdict = judge(corrector, case)[0]
        values = corrector.metrics()
        assert verdict.judgement is Judgement.ABSENT
        assert values["corrector/failed"] + values["corrector/invalid"] > 0
        server.fault_share = 0.0
        assert judge(corrector, case)[0].judgement is Judgement.INCORRECT, "the next answer is taken"
        corrector.close()


def test_asks_only_where_the_settings_say(tmp_path):
    task = load(settings(None))
    cases = [case_of(task, kind, seed=3, env=env) for env, kind in enumerate((right, misread))]
    with Server(task) as server:
        for case in cases:
            server.show(case.prompt.image, case.truth)
        fast = {"structured": "json_schema", "tools": "off"}
        doubting = make_corrector(settings(server.url, ask="doubted", **fast), task, tmp_path / "a")
        assert [one.judgement for one in judge(doubting, *cases)] == [Judgement.CORRECT, Judgement.INCORRECT]
        doubting.close()
        assert len(server.requests) == 1
        silent = make_corrector(settings(server.url, ask_share=0.0, **fast), task, tmp_path / "b")
        assert {one.judgement for one in judge(silent, *cases)} == {Judgement.SKIPPED}
        silent.close()
        assert len(server.requests) == 1


def test_importing_guidance_brings_no_client():
    import subprocess
    import sys

    code = "import sys, gtr.guidance; sys.exit('openai' in sys.modules or 'tenacity' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

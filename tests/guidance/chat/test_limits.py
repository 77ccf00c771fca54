"""The parts that keep a night's run within bounds: ledger, pace, breaker; and what a question is remembered by."""

import asyncio
import json
import time
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("openai")
from chat_cases import case_of, load, misread, right, settings
from chat_server import Server

from gtr.config import CorrectorConfig
from gtr.errors import CorrectorError
from gtr.guidance import make_corrector
from gtr.guidance.chat.answers import BadAnswer, answer_form, read_answer
from gtr.guidance.chat.costs import Ledger
from gtr.guidance.chat.limits import Pace
from gtr.guidance.chat.model import FailureKind, Tokens
from gtr.guidance.chat.questions import Corrections
from gtr.report.costs import costs_line
from gtr.types import Judgement


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret-0123456789")


def test_a_killed_process_leaves_no_request_uncounted(tmp_path):
    file = tmp_path / "requests.jsonl"
    first = Ledger(file, 1.0)
    numbers = [first.reserve(0.3) for _ in range(4)]
    assert numbers == [1, 2, 3, None], "the budget does not hold a fourth"
    first.answered(1, 0.1, Tokens(100, 10), 0.5)
    first.failed(2, FailureKind.TIMEOUT, 0.3, 60.0)
    after = Ledger(file, 1.0)  # The first one was killed with a request under way.
    assert (after.usd, after.usd_unsure) == pytest.approx((0.1, 0.6))
    assert after.metrics()["corrector/failed/lost"] == 1
    assert after.reserve(0.35) is None
    assert after.reserve(0.25) == 4
    after.answered(4, 0.2, Tokens(1, 1), 0.1)
    again = Ledger(file, None)
    assert (again.usd, again.usd_unsure) == pytest.approx((0.3, 0.6)), "what was lost is counted once"
    assert again.metrics()["corrector/requests"] == 4


def test_the_pace_holds_after_a_pause_too():
    async def starts():
        pace, begun = Pace(requests_per_minute=1200, tokens_per_minute=0), []

        async def one():
            await pace.turn(1)
            begun.append(time.monotonic())

        waiting = [asyncio.create_task(one()) for _ in range(8)]
        await asyncio.sleep(0.06)
        pace.pause(0.4)
        await asyncio.gather(*waiting)
        return begun

    gaps = [b - a for a, b in pairwise(asyncio.run(starts()))]
    assert min(gaps) > 0.045, "1,200 a minute are 0.05 s apart, also those that waited together"
    assert max(gaps) > 0.3


def test_tokens_are_spread_over_the_minute():
    async def waited():
        pace = Pace(requests_per_minute=0, tokens_per_minute=60_000)
        started = time.monotonic()
        await pace.turn(100)
        pace.settle(100)  # It took 200: 0.2 s at 1,000 a second.
        await pace.turn(1)
        return time.monotonic() - started

    assert 0.19 < asyncio.run(waited()) < 2


def test_what_queued_while_a_server_went_down_is_not_sent(tmp_path):
    task = load(settings(None))
    cases = [case_of(task, misread, seed=seed, env=seed) for seed in range(40)]
    with Server(task) as server:
        server.down = True
        down = {"structured": "prompt", "tools": "off", "breaker": 3, "in_flight": 3, "retries": 9, "patience": 1.0}
        corrector = make_corrector(settings(server.url, **down, when_down="continue"), task, tmp_path)
        verdicts = {future.result(30).judgement for future in corrector.judge(cases)}
        corrector.close()
    assert verdicts == {Judgement.ABSENT}
    assert len(server.requests) < 15, "three failures, those then under way, and a probe every 0.2 s"


def test_a_server_that_only_says_slow_down_is_down_in_the_end(tmp_path):
    task = load(settings(None))
    cases = [case_of(task, misread, seed=seed, env=seed) for seed in range(4)]
    with Server(task, fault_share=1.0, faults=("429",)) as server:
        for case in cases:
            server.show(case.prompt.image, case.truth)
        fast = {"structured": "prompt", "tools": "off", "retries": 50, "patience": 1.0}
        corrector = make_corrector(settings(server.url, **fast), task, tmp_path)
        with pytest.raises(CorrectorError, match=r"has been down for .* \(rate_limit"):
            [future.result(30) for future in corrector.judge(cases)]
        corrector.close()


def test_turns_of_a_game_without_plans_do_not_wait_for_one_another(tmp_path):
    task = load(settings(None, "numberline"))
    every = (case_of(task, misread, seed=seed, index=seed) for seed in range(40))
    cases = list({case.text: case for case in every}.values())[:6]
    with Server(task, delay=1.0) as server:
        for case in cases:
            server.show(case.prompt.image, case.truth)
        corrector = make_corrector(settings(server.url, "numberline", structured="prompt"), task, tmp_path)
        assert all(future.result(30).judgement is Judgement.INCORRECT for future in corrector.judge(cases))
        corrector.close()
    assert server.most_at_once == 6


CHANGES = {
    "model": "other",
    "base_url": "http://127.0.0.1:1/v1",
    "temperature": 0.1,
    "max_tokens": 99,
    "detail": "low",
    "structured": "prompt",
    "tools": "off",
    "tool_rounds": 5,
    "minimum_edit": True,
}


def test_a_verdict_is_remembered_by_all_that_was_asked_and_nothing_else():
    task, config = load(settings(None)), CorrectorConfig()
    case = case_of(task, misread, seed=3)

    def key(case=case, kept=None, tools=("solver",), **changes):
        changed = replace(config, **changes)
        return Corrections(task, changed).question(case, kept).key(changed, tools)

    image = case.prompt.image.copy()
    image[0, 0] ^= 1
    others = [key(**{name: value}) for name, value in CHANGES.items()]
    others += [key(kept="1+2="), key(tools=()), key(case_of(task, right, seed=3))]
    others.append(key(replace(case, prompt=replace(case.prompt, image=np.ascontiguousarray(image)))))
    others.append(key(replace(case, prompt=replace(case.prompt, text="another prompt"))))
    assert len({key(), *others}) == 1 + len(others)
    assert key(replace(case, env=5, episode=2)) == key()
    assert key(timeout=1.0, in_flight=1, budget_usd=3.0, key_env="OTHER") == key()


def test_an_answer_is_found_behind_thoughts_in_json():
    form = answer_form(load(settings(None, "numberline")).corrector_spec(), ("thoughts",))
    answer = {
        "seen": "2 and 4",
        "checks": {"perception": True, "step": True},
        "evaluation": "yes.",
        "possible_solution": True,
        "correction": None,
        "action": None,
    }
    text = '<think>{"target": 2} or {maybe}?</think>\n```json\n' + json.dumps(answer) + "\n```"
    assert read_answer(text, form).model_dump()["evaluation"] == "YES"
    for spoilt, reason in (
        ("no", "no JSON"),
        ("{" * 5000, "cannot be read"),
        ('{"seen": 1}', "checks: Field required"),
    ):
        with pytest.raises(BadAnswer, match=reason):
            read_answer(spoilt, form)


def test_costs_in_a_line():
    ledger = Ledger(None, None)
    for outcome in range(3):
        number = ledger.reserve(0.5)
        if outcome:
            ledger.answered(number, 0.25, Tokens(1000, 50), float(outcome))
        else:
            ledger.failed(number, FailureKind.TIMEOUT, 0.5, 60.0)
    ledger.count("cache_hits")
    assert costs_line(ledger.metrics()) == (
        "$0.50 (+ at most $0.50) for 3 requests, 1 failed (timeout 1); 2,000 tokens in, 100 out; "
        "1.0 s each (median), 2.0 s (95 %); 1 turns from memory"
    )
    assert costs_line({"episode/success": 1.0}) is None

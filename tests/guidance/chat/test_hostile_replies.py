"""Whatever a server sends: a verdict or a clear error, every request settled, nothing kept that cannot be used."""

import json
import logging
from dataclasses import replace

import pytest

pytest.importorskip("openai")
from chat_cases import case_of, load, misread, settings
from chat_server import Scripted, Server
from hostile import arguments, kinds

from gtr.errors import CorrectorError
from gtr.guidance import make_corrector
from gtr.guidance.chat.conversation import tool_of
from gtr.tasks.reply import parse, write
from gtr.types import Judgement

KEY = "sk-very-secret-0123456789"


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def right_answer(judge, task, case):
    if judge == "compare":
        return {"seen_first": "cards", "seen_second": "cards", "better": "first"}
    passed = dict.fromkeys(task.corrector_spec().questions, False)
    if judge == "score":
        return {"seen": "cards", "checks": passed, "score": 3}
    expert = task.expert(case.truth)
    plan = {"target": expert.target} if task.corrector_spec().plan else {}
    return {
        "seen": "cards",
        "checks": passed,
        "evaluation": "NO",
        "possible_solution": "YES",
        **plan,
        "correction": dict(expert.thought),
        "action": expert.action,
    }


def numbered(case, task, number):
    """The same turn with a thought of its own, so that no verdict answers it already."""
    fields = {key: case.parsed.fields[key] for key in task.thought_keys}
    text = write({**fields, "thoughts": f"thought {number}"}, "1")
    return replace(case, text=text, parsed=parse(text, True, task.thought_keys))


QUICK = {"retries": 0, "timeout": 2.0, "patience": 0.0, "when_down": "continue", "breaker": 10**6, "budget_usd": 1e6}


@pytest.mark.parametrize(
    ("game", "judge"),
    [
        ("points24", "off"),
        pytest.param("blackjack", "off", marks=pytest.mark.slow),
        pytest.param("points24", "score", marks=pytest.mark.slow),
        pytest.param("points24", "compare", marks=pytest.mark.slow),
    ],
)
def test_no_reply_escapes_and_every_request_is_accounted_for(game, judge, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    task = load(settings(None, game))
    case = case_of(task, misread, seed=3)
    verdicts, errors = {}, {}
    with Scripted(task, fault_share=1.0, faults=("scripted",)) as server:
        server.show(case.prompt.image, case.truth)
        config = settings(server.url, game, structured="json_schema", tools="call", tool_rounds=1, **QUICK)
        config = replace(config, guidance=replace(config.guidance, judge=judge))
        corrector = make_corrector(config, task, tmp_path)
        every = kinds(KEY, right_answer(judge, task, case))
        assert len(every) > 800
        for number, (name, raw) in enumerate(every.items()):
            server.raw = raw
            corrector._model._breaker.succeeded()  # Else the second 429 would be the last question.
            turns = [replace(numbered(case, task, number), env=env) for env in range(2 if judge == "compare" else 1)]
            try:
                verdicts[name] = corrector.judge(turns)[0].result(20)
            except CorrectorError as error:
                errors[name] = str(error)
            assert not corrector.ledger._open, name
        corrector._model._breaker.succeeded()
        server.fault_share = 0.0
        healthy = [future.result(20) for future in corrector.judge([numbered(case, task, env - 9) for env in range(2)])]
        values = corrector.metrics()
        corrector.close()
    good = Judgement.INCORRECT if judge == "off" else Judgement.SCORED
    assert healthy[0].judgement is good, "the next answer is taken"
    assert set(verdicts) | set(errors) == set(every)
    assert {verdict.judgement for verdict in verdicts.values()} >= {Judgement.ABSENT, good}
    assert all("refuses every request" in text for text in errors.values())
    for name, verdict in verdicts.items():
        if verdict.thought is not None:
            usable(write(verdict.thought, verdict.action or ""), name)
    lost = ("5000", "megabytes", "nested")
    assert [name for name in every if name.startswith("usage") and verdicts[name].judgement is not good] == [
        name for name in every if name.startswith("usage") and any(word in name for word in lost)
    ], "an answer counts, whatever it says that it cost"
    if judge == "off":
        taken = {name.split()[-1] for name, one in verdicts.items() if "but for" in name and one.thought is not None}
        assert taken == {"half", "nul", "controls", "empty"}
        redacted = [verdict.thought["thoughts"] for name, verdict in verdicts.items() if "in a correction" in name]
        assert [text[:6] for text in redacted] == ["(key) ", "Bearer", "(key) ", "(key) "]
    sent = [json.loads(line) for line in (tmp_path / "corrector" / "requests-0.jsonl").read_text().splitlines()]
    at_most = {line["request"]: line["at_most"] for line in sent if "at_most" in line}
    booked = {line["request"]: line.get("usd", 0) + line.get("unsure", 0) for line in sent if "outcome" in line}
    assert booked.keys() == at_most.keys()
    assert all(0 <= usd <= at_most[number] for number, usd in booked.items())
    assert values["corrector/requests"] == len(booked)
    files = [file.read_bytes().decode() for file in tmp_path.rglob("*") if file.is_file()]
    assert not [text for text in (*files, *errors.values(), caplog.text) if KEY in text]
    caplog.clear()
    again = make_corrector(config, task, tmp_path)
    again.close()
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING], "all that was kept is usable"


def usable(text, name):
    """Text that UTF-8 and tokenizers take, without characters that nobody sees."""
    text.encode()
    assert not [letter for letter in text if ord(letter) < 32 or 127 <= ord(letter) < 160], name
    assert len(text) < 5000, name
    assert "<image>" not in text, name


def test_what_fills_in_a_tools_arguments_may_be_anything(tmp_path):
    task = load(settings(None))
    case = case_of(task, misread, seed=3)
    with Scripted(task, fault_share=1.0, faults=("scripted",)) as server:
        server.show(case.prompt.image, case.truth)
        corrector = make_corrector(settings(server.url, structured="prompt", tools="prompt", **QUICK), task, tmp_path)
        every = arguments()
        for number, (name, server.raw) in enumerate(every.items()):
            (future,) = corrector.judge([numbered(case, task, number)])
            assert future.result(20).judgement is Judgement.ABSENT, name
        values = corrector.metrics()
        corrector.close()
    assert values["corrector/tool_calls"] >= 10
    assert values["corrector/requests"] == len(server.requests)


STUMBLES = {
    ZeroDivisionError: lambda: 1 // 0,
    KeyError: lambda: {}["x"],
    IndexError: lambda: [][0],
    AttributeError: lambda: None.x,
    TypeError: lambda: "x" + 1,
    ValueError: lambda: int("x"),
    OverflowError: lambda: 2.0**9999,
    RecursionError: lambda: nested(9999),
}


def nested(depth):
    return [nested(depth - 1)]


@pytest.mark.parametrize("error", STUMBLES)
def test_a_tool_that_stumbles_says_so_to_the_model(error):
    def tool(number: int) -> object:
        """Stumbles, or gives what is no JSON."""
        return STUMBLES[error]() if number else {1, 2}

    for number in ("0", "1", "1e999", '"x"', "[" * 9999):
        assert "error" in json.loads(tool_of(tool).run(f'{{"number": {number}}}'))


@pytest.mark.parametrize("error", STUMBLES)
def test_rules_that_stumble_over_a_correction_send_it_back(error, tmp_path, monkeypatch):
    task = load(settings(None))
    case = case_of(task, misread, seed=3)
    monkeypatch.setattr(type(task), "validate_correction", lambda *_: STUMBLES[error]())
    with Server(task) as server:
        server.show(case.prompt.image, case.truth)
        corrector = make_corrector(settings(server.url, structured="json_schema", tools="off"), task, tmp_path)
        assert corrector.judge([case])[0].result(20).judgement is Judgement.ABSENT
        corrector.close()
    assert f"the game cannot make sense of it: {error.__name__}" in server.requests[1]["messages"][-1]["content"]

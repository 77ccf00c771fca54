"""What a request can have cost: bounds by hand, and what is booked for every way in which it can fail."""

import socket
import time
from contextlib import suppress

import pytest

pytest.importorskip("openai")
from chat_cases import case_of, load, misread, settings
from chat_server import Scripted, Server
from hostile import completion, response

from gtr.errors import CorrectorError
from gtr.guidance import make_corrector
from gtr.guidance.chat.costs import Price, TokenBounds
from gtr.guidance.chat.model import Tokens
from gtr.guidance.chat.response import redactor, retry_after

KEY = "sk-very-secret-0123456789"


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def test_bounds_narrow_to_what_the_server_itself_has_counted():
    bounds = TokenBounds(image_tokens=2000, max_tokens=800)
    most = bounds.most(text=1800, images=1)
    assert most == Tokens(1800 + 200 + 2000, 800)
    for written in (50, 90, 70, 60):
        bounds.learn(most, Tokens(1000, written), seconds=1.0)
    assert bounds.narrowed(most, 0.5) == most, "four answers are too few to know the server by"
    bounds.learn(most, Tokens(1100, 80), seconds=1.0)
    assert bounds.narrowed(most, 0.5) == Tokens(1375, 180), "1.25 x 1100; 2 x 90, the longest"
    assert bounds.narrowed(most, 3.0) == Tokens(1375, 540), "2 x 90 x 3 s / 1 s, the slowest"
    assert bounds.narrowed(most, 60.0) == Tokens(1375, 800)
    assert bounds.narrowed(most, None) == Tokens(1375, 800), "it may have written on"
    half = bounds.most(text=1800, images=0)
    assert bounds.narrowed(half, None).sent == 688, "1.25 x 2000 x 1100 / 4000, upwards"
    assert Price(2.5, 10.0).usd(Tokens(1375, 180)) == pytest.approx(0.0052375)


def test_what_was_never_sent_costs_nothing(tmp_path):
    """Refused, not to be found, and never answering the call at all."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]  # Whoever comes after these is never let in.
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        addresses = (
            "http://127.0.0.1:9/v1",
            "http://no.such.host.invalid/v1",
            f"http://127.0.0.1:{full.getsockname()[1]}/v1",
        )
        for number, url in enumerate(addresses):
            values = ended(url, tmp_path / str(number), timeout=1.0)
            assert values["corrector/failed"] == values["corrector/requests"] == 1
            assert values["corrector/usd"] == values["corrector/usd_unsure"] == 0
        for one in waiting:
            one.close()


def ended(url, folder, **corrector):
    """Costs after one question that brought nothing."""
    config = settings(url, structured="prompt", tools="off", retries=0, **corrector)
    made = make_corrector(config, load(config), folder)
    with suppress(CorrectorError):  # The server may refuse every request.
        made.judge([case_of(load(config), misread)])[0].result(20)
    values = made.metrics()
    made.close()
    return values


TAKEN = '{"prompt_tokens": 1000, "completion_tokens": 20}'
"""At gpt-4o's prices: $0.0027."""
BOOKED = {
    "status 500": (response(500, b"{}"), 0.0, "nothing"),
    "status 400": (response(400, b"{}"), 0.0, "nothing"),
    "status 401": (response(401, b"{}"), 0.0, "nothing"),
    "status 429": (response(429, b"{}"), 0.0, "nothing"),
    "a charset that fails": (response(500, b"\xff", ("Content-Type", "x; charset=base64")), 0.0, "all or nothing"),
    "no completion, but its price": (response(200, completion(message="3", usage=TAKEN)), 0.0027, "nothing"),
    "no completion": (response(200, completion(message="3", usage="{}")), 0.0, "all"),
    "broken off": (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", 0.0, "all"),
    "nothing": (b"", 0.0, "all"),
    "megabytes": (response(200, b" " * 3_000_000), 0.0, "all"),
    "an impossible price": (
        response(200, completion(usage=TAKEN.replace("0,", "e15,").replace("20", "1e15"))),
        "all",
        "nothing",
    ),
    "an error of megabytes": (response(500, b" " * 3_000_000), 0.0, "nothing"),
    "no price": (response(200, completion(usage="null")), "all", "nothing"),
}


@pytest.mark.parametrize("name", BOOKED)
def test_what_is_booked_for_every_end_of_a_request(name, tmp_path):
    raw, usd, unsure = BOOKED[name]
    with Scripted(load(settings(None)), fault_share=1.0, faults=("scripted",)) as server:
        server.raw = raw
        values = ended(server.url, tmp_path)
    lines = (tmp_path / "corrector" / "requests-0.jsonl").read_text().splitlines()
    at_most = sum(float(line.split('"at_most": ')[1].rstrip("}")) for line in lines if "at_most" in line)
    assert 0.01 < at_most < 0.1
    if "megabytes" in name:
        assert values[f"corrector/failed/{'server' if 'error' in name else 'oversized'}"] == 1
    wanted = {"all": [at_most], "nothing": [0.0], "all or nothing": [0.0, at_most]}
    assert values["corrector/usd_unsure"] in [pytest.approx(one) for one in wanted[unsure]]
    assert values["corrector/usd"] == pytest.approx(at_most if usd == "all" else usd)


def test_failures_cost_little_more_than_answers_once_the_server_is_known(tmp_path):
    """Two requests of five fail; each is booked at about twice an answer, not at the eightfold that was reserved."""
    task = load(settings(None))
    cases = [case_of(task, misread, seed=seed, env=seed) for seed in range(100)]
    with Server(task, fault_share=0.0, faults=("drop", "truncated", "not_json", "500")) as server:
        for case in cases:
            server.show(case.prompt.image, case.truth)
        corrector = make_corrector(settings(server.url, structured="prompt", tools="off", retries=9), task, tmp_path)
        [future.result(30) for future in corrector.judge(cases[:10])]
        server.fault_share = 0.4
        [future.result(30) for future in corrector.judge(cases[10:])]
        values = corrector.metrics()
        corrector.close()
    billed = (server.billed_in * 2.5 + server.billed_out * 10) / 1e6
    assert server.failed.total() > 30
    assert billed <= values["corrector/usd"] + values["corrector/usd_unsure"]
    unsure = values["corrector/failed/connection"] + values["corrector/failed/unreadable"]
    answered = values["corrector/requests"] - values["corrector/failed"]
    assert values["corrector/usd_unsure"] / unsure < 2.5 * values["corrector/usd"] / answered


WAITS = {"3": 3.0, "0": 0.0, "-1": 0.0, "2.5": 2.5, "Thu, 01 Jan 1970 00:00:00 GMT": 0.0, "1e999": None, "nan": None}
WAITS |= dict.fromkeys(("", "soon", "Mon, 01 Jan 99999999999 00:00:00 GMT", "Mon, 01 Jan 2024 00:00:00 +999999999999"))


@pytest.mark.parametrize("said", WAITS)
def test_how_long_a_server_asks_to_wait(said):
    assert retry_after({"retry-after": said}) == WAITS[said]
    assert retry_after({"retry-after-ms": "250", "retry-after": said}) == 0.25
    assert retry_after({}) is None


def test_the_key_is_found_however_it_is_spelt_and_quickly():
    redact = redactor(KEY)
    for text in (KEY, KEY.replace("s", "\\u0073"), KEY.replace("k", "\\\\u006B"), KEY.replace("-", "\\\\\\\\u002d")):
        assert redact(f"<{text}>") == "<(key)>"
    assert redact(KEY[:-1]) == KEY[:-1]
    assert redactor("none")("none of it") == "none of it", "what is as short is no secret"
    started = time.monotonic()
    redact("\\" * 1_000_000 + "sk-very-secret-" * 10_000)
    assert time.monotonic() - started < 5

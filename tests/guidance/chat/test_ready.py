"""An API that cannot answer is found out by one question, before anything is trained, played or examined with it."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

pytest.importorskip("openai")

from gtr import cli, compare, preset, train
from gtr.errors import CorrectorError

QUICK = ["--corrector.timeout", "1", "--corrector.retries", "5"]
COMMANDS = {
    "corrector-eval": ["corrector-eval", "--task", "ezpoints", *QUICK],
    "eval": ["eval", "openai:gpt-4o", "--task", "ezpoints", "--episodes", "3", *QUICK],
    "eval with tools": ["eval", "openai+tool:gpt-4o", "--task", "ezpoints", "--episodes", "3", *QUICK],
    "train": ["train", "gtr", "--task", "ezpoints", "--guidance.corrector", "chat", "--runs", "runs", *QUICK],
    "judge": ["train", "judge_reward", "--task", "ezpoints", "--guidance.corrector", "chat", "--runs", "runs", *QUICK],
    "compare": ["compare", "gtr", "--task", "ezpoints", "--out", "runs", "--guidance.corrector", "chat", *QUICK],
}
TROUBLES = {
    "no such port": (None, "does not answer"),
    "no key": (401, "refuses every request"),
    "forbidden": (403, "refuses every request"),
    "no such model": (404, "refuses every request"),
    "broken": (500, "does not answer"),
    "no chat": (200, "does not answer"),
    "silent": (0, "does not answer (no answer within 1 s)"),
}


@contextmanager
def server(status: int | None) -> Iterator[tuple[str, list[bytes]]]:
    """An address where nobody listens (None), that never answers (0), or that answers this status without a chat."""
    asked: list[bytes] = []
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

        def do_POST(self) -> None:
            asked.append(self.rfile.read(int(self.headers["Content-Length"])))
            if status == 0:
                over.wait(30)
                return
            assert status is not None
            self.send_response(status)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

    if status is None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        yield f"http://127.0.0.1:{port}/v1", asked
        return
    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{http.server_port}/v1", asked
    finally:
        over.set()
        http.shutdown()
        http.server_close()


@pytest.fixture(autouse=True)
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GTR_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_begins_without_an_answer(
    command: str, trouble: str, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    status, words = TROUBLES[trouble]
    with server(status) as (url, asked):
        code = cli.run([*COMMANDS[command], "--corrector.base-url", url])
    out, said = capfd.readouterr()
    assert code == 2, said
    assert out == ""
    assert words in " ".join(said.split())
    assert url in said
    assert "$OPENAI_API_KEY" in said
    assert len(asked) <= 2
    assert all(len(body) < 300 for body in asked), "no picture, no thought"
    assert not list((tmp_path).rglob("config.json")), "neither agent nor run was made"


def test_from_python_too(tmp_path: Path) -> None:
    with server(401) as (url, _):
        settings = {"guidance.corrector": "chat", "corrector.base_url": url, "runs": str(tmp_path / "runs")}
        with pytest.raises(CorrectorError, match="refuses every request"):
            train(preset("gtr", "ezpoints", **settings))
        with pytest.raises(CorrectorError, match="refuses every request"):
            compare("gtr", task="ezpoints", out=tmp_path / "out", **settings)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("model", ["no/such/folder", "./models/qwen", "tiny-lava"])
def test_a_model_of_ones_own_that_is_not_there_is_said_first(
    model: str, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ["--guidance.corrector", "local", "--corrector.model", model]
    assert cli.run(["train", "gtr", "--task", "ezpoints", "--runs", "runs", *words]) == 2
    assert cli.run(["corrector-eval", "--task", "ezpoints", "--who", "local", "--corrector.model", model]) == 2
    assert f"corrector.model: '{model}' is no folder here and no hub id" in capfd.readouterr().err
    assert not list(tmp_path.rglob("config.json"))


MUTE = """
from concurrent.futures import Future

from gtr.guidance.corrector import Corrector
from gtr.types import Judgement, Verdict


class Mute(Corrector):
    def __init__(self, config, task):
        self.left = {left}

    def judge(self, cases):
        futures = [Future() for _ in cases]
        for future in futures:
            self.left -= 1
            future.set_result(Verdict(Judgement.CORRECT if self.left >= 0 else Judgement.ABSENT))
        return futures
"""


@pytest.mark.parametrize(("left", "code"), [(0, 2), (1, 0)])
def test_a_corrector_that_never_gives_a_verdict_has_no_catch_rate(
    left: int, code: int, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "mute.py").write_text(MUTE.format(left=left))
    words = ["corrector-eval", "--task", "ezpoints", "--who", "mute.py:Mute", "--thoughts", "3"]
    assert cli.run(words) == code
    out, said = capfd.readouterr()
    assert ("gave no verdict on any of 15 thoughts" in said) == (code == 2)
    assert ("catch / pass" in out) == (code == 0)

"""The chat corrector against `transformers serve` with a tiny image-text model: a real server, random weights.

Its answers are nonsense, so every verdict is ABSENT: what is tested is that two implementations of the protocol
understand one another, pictures included, and that nonsense is accounted for.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

pytest.importorskip("openai")
pytest.importorskip("fastapi", reason="pip install 'transformers[serving]'")
pytest.importorskip("uvicorn", reason="pip install 'transformers[serving]'")
from chat_cases import case_of, load, misread, settings

from gtr.guidance import make_corrector
from gtr.types import Judgement

TEMPLATE = (
    "{% for m in messages %}{% if m.content is string %}{{ m.content }}{% else %}{% for p in m.content %}"
    "{% if p.type == 'text' %}{{ p.text }}{% else %}<image>{% endif %}{% endfor %}{% endif %}{% endfor %}"
)


@pytest.fixture
def served(build_model, tmp_path):
    """The address of a running server and the name of its model."""
    model = tmp_path / "model"
    shutil.copytree(build_model("tiny-llava", "ezpoints"), model)
    (model / "chat_template.jinja").write_text(TEMPLATE)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = Path(sys.executable).with_name("transformers")
    start = [str(program)] if program.exists() else [sys.executable, "-m", "transformers.cli.transformers"]
    log = (tmp_path / "server.log").open("w")
    words = [*start, "serve", "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    server = subprocess.Popen(words, stdout=log, stderr=log)
    try:
        _wait(server, port, tmp_path / "server.log")
        yield f"http://127.0.0.1:{port}/v1", str(model)
    finally:
        server.terminate()
        server.wait(20)
        log.close()


def _wait(server, port, log):
    for _ in range(600):
        assert server.poll() is None, log.read_text()[-2000:]
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2)
            return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(f"the server did not start: {log.read_text()[-2000:]}")


@pytest.mark.skipif("GTR_VLLM_URL" not in os.environ, reason="GTR_VLLM_URL and GTR_VLLM_MODEL name no vLLM server")
def test_talks_to_vllm_which_keeps_answers_to_their_schema(tmp_path):
    """Whatever model it serves: structured output makes every answer readable, so nothing is given up for its form."""
    url, model = os.environ["GTR_VLLM_URL"], os.environ["GTR_VLLM_MODEL"]
    config = settings(url, "numberline", model=model, structured="json_schema", tools="off", timeout=300.0)
    task = load(config)
    corrector = make_corrector(config, task, tmp_path)
    cases = [case_of(task, misread, seed=seed, env=seed) for seed in range(4)]
    verdicts = [future.result(600) for future in corrector.judge(cases)]
    values = corrector.metrics()
    corrector.close()
    assert values["corrector/failed"] == 0
    assert values["corrector/requests"] >= len(verdicts)
    assert any(verdict.answers for verdict in verdicts)


@pytest.mark.slow
def test_talks_to_a_real_server_with_pictures(served, tmp_path):
    url, model = served
    task = load(settings(url, "ezpoints"))
    config = settings(url, "ezpoints", model=model, timeout=120.0, retries=0, max_tokens=8, in_flight=1)
    corrector = make_corrector(config, task, tmp_path / "run")
    verdict = corrector.judge([case_of(task, misread)])[0].result(400)
    values = corrector.metrics()
    corrector.close()
    print(values, (tmp_path / "server.log").read_text()[-1500:])
    assert verdict.judgement is Judgement.ABSENT
    assert values["corrector/failed"] == 0, "every request was answered"
    assert values["corrector/tokens_out"] > 0
    assert values["corrector/requests"] >= 4, "probes, the question and its repair"
    assert values["corrector/invalid"] == 1

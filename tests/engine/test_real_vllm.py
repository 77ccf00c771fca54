"""Against a real vLLM server on the CPU: `make test-engines` installs one; without it these are skipped."""

import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from small import changed, draw_pictures

from gtr.config import Config, EngineConfig
from gtr.engine import make_engine, served_teacher
from gtr.engine.launch import Launch, readable
from gtr.engine.server import Server
from gtr.errors import EngineError
from gtr.policy.policy import Policy
from gtr.train import train
from gtr.types import Prompt, Sample

PYTHON = os.environ.get("GTR_VLLM_PYTHON")
pytestmark = [
    pytest.mark.engines,
    pytest.mark.skipif(PYTHON is None, reason="no vLLM: `make test-engines` installs one and runs this"),
]
START = 900
"""Seconds that it may take to start."""
SMALL = ("--dtype", "float32", "--enforce-eager", "--max-model-len", "512", "--block-size", "32")
CPU = {"VLLM_HOST_IP": "127.0.0.1", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
PROMPTS = [Prompt(picture, "move: " + "now " * (i % 3)) for i, picture in enumerate(draw_pictures())]


@contextmanager
def serving(build_model: Callable[..., Path], folder: Path, **chosen: Any) -> Iterator[str]:
    """A server of the tiny LLaVA."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launch = Launch(readable(str(build_model()), folder / "model"), str(PYTHON), port=port, extra=SMALL, **chosen)
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(launch.command(), env={**clean, **CPU, **launch.environment}, stdout=log, stderr=log)
    try:
        found = f"http://127.0.0.1:{port}"
        until = time.monotonic() + START
        while True:
            assert process.poll() is None, (folder / "log").read_text()[-3000:]
            assert time.monotonic() < until, "vLLM does not start"
            try:
                httpx.get(found + "/health", timeout=5, trust_env=False).raise_for_status()
                break
            except httpx.HTTPError:
                time.sleep(1)
        yield found
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture(scope="module")
def address(build_model: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that takes whole weights and adapters."""
    with serving(build_model, tmp_path_factory.mktemp("served"), adapter_rank=8) as found:
        yield found


def engine(policy: Policy, address: str, folder: Path, **settings: Any) -> Any:
    return make_engine(EngineConfig(name="vllm", servers=(address,), patience=0.0, **settings), policy, folder)


def move(policy: Policy, by: float = 0.02) -> None:
    with torch.no_grad():
        for weight in policy.network.model.parameters():
            if weight.requires_grad:
                weight.add_(by * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)))


LORA = {"policy.finetune": "lora", "policy.lora_rank": 8}


@pytest.mark.parametrize(
    ("sync", "dotted"),
    [
        ("full", {"policy.freeze_vision": False}),
        ("full", LORA),
        ("adapter", {**LORA, "policy.lora_target": "language"}),
    ],
    ids=["full", "merged", "adapter"],
)
def test_what_vllm_samples_is_what_the_trainer_scores(
    sync: Any, dotted: dict[str, Any], make_policy: Callable[..., Policy], address: str, tmp_path: Path
) -> None:
    policy = make_policy(**dotted)
    if sync == "adapter":
        # Adapters go over the weights that the server was started with, which another test has replaced.
        Server(address, 60, 60, 4).load(Path(readable(policy.config.model, tmp_path / "base")))
    asked = engine(policy, address, tmp_path / "weights", sync=sync)
    for version in range(3):
        asked.sync(version)
        replies = asked.generate(PROMPTS)
        assert len({reply.tokens for reply in replies}) > 1
        for reply in replies:
            assert reply.sampled == pytest.approx(reply.logprobs, abs=1e-3)
        assert asked.metrics()["engine/probe"] < 1e-4
        move(policy)
    asked.close()


def test_a_served_teacher_scores_as_the_policy_does(
    make_policy: Callable[..., Policy], build_model: Callable[..., Path], tmp_path: Path
) -> None:
    policy = make_policy()
    # Of forbidden tokens that are not among the likeliest, a server does not know.
    policy.network._forbidden = torch.tensor([], dtype=torch.long)
    replies = [reply.tokens for reply in policy.generate(PROMPTS)]
    policy.network.eval()
    with torch.no_grad():
        scores = policy.score(PROMPTS, replies, temperatures=[1.0] * len(PROMPTS)).logprobs
    samples = [Sample(*row, {}) for row in zip(PROMPTS, replies, strict=True)]
    with serving(build_model, tmp_path, teaches=True) as address:
        teacher = served_teacher(address, policy, EngineConfig(patience=0.0))
        for _ in range(2):  # The second time from whatever it keeps.
            for row, wanted in zip(teacher.logprobs(policy, samples), scores.tolist(), strict=True):
                assert row == pytest.approx(wanted[: len(row)], abs=1e-4)
        assert len(teacher.replies(policy, PROMPTS)) == len(PROMPTS)


def test_end_tokens_are_part_of_a_reply(make_policy: Callable[..., Policy], address: str, tmp_path: Path) -> None:
    policy = make_policy()
    policy.end_ids = (policy.tokenizer.eos_token_id, *range(20, len(policy.tokenizer), 6))
    asked = engine(policy, address, tmp_path / "weights")
    asked.sync(0)
    replies = asked.generate(PROMPTS * 2)
    assert {reply.finished for reply in replies} == {True, False}
    assert all(reply.finished == (reply.tokens[-1] in policy.end_ids) for reply in replies)
    greedy = zip(asked.generate(PROMPTS, greedy=True), policy.generate(PROMPTS, greedy=True), strict=True)
    assert np.mean([a.tokens == b.tokens for a, b in greedy]) > 0.8, "ties aside"
    asked.close()


def test_a_vision_adapter_that_vllm_ignores_is_caught(
    make_policy: Callable[..., Policy], address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = make_policy(**LORA, **{"policy.freeze_vision": False})
    Server(address, 60, 60, 4).load(Path(readable(policy.config.model, tmp_path / "base")))
    monkeypatch.setattr("gtr.engine.weights.check_adapter", lambda model: None)
    move(policy, 0.1)
    asked = engine(policy, address, tmp_path / "weights", sync="adapter")
    asked.sync(0)
    with pytest.raises(EngineError):
        asked.generate(PROMPTS)
    asked.close()


def test_a_cache_that_is_not_reset_is_caught(
    make_policy: Callable[..., Policy], address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = make_policy(**{"policy.freeze_vision": False})
    asked = engine(policy, address, tmp_path / "weights")
    asked.sync(0)
    # A cache holds whole blocks of 32 tokens: shorter prompts would not be in it.
    long = [Prompt(one.image, "now " * 60) for one in PROMPTS]
    asked.generate(long)
    sent = Server._call

    def lazy(self: Server, method: str, path: str, *rest: Any) -> bytes:
        return b'{"success": true}' if path == "/reset_prefix_cache" else sent(self, method, path, *rest)

    monkeypatch.setattr(Server, "_call", lazy)
    move(policy)
    asked.sync(1)
    with pytest.raises(EngineError, match=r"weights are others|still has the old ones"):
        asked.generate(long)
    asked.close()


@pytest.mark.parametrize("ahead", [0, 1])
def test_a_whole_run(ahead: int, settings: Callable[..., Config], address: str) -> None:
    config = changed(
        settings(**{"train.updates": 3, "train.lr": 1e-3, "policy.freeze_vision": False}),
        **{"engine.name": "vllm", "engine.servers": (address,), "engine.max_staleness": ahead},
    )
    run = train(config)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["update"] for line in lines] == [1, 2, 3]
    assert [line.get("engine/staleness", 0) for line in lines] == [0, ahead, ahead]
    assert [line["engine/mismatch"] < 1e-3 for line in lines] == [True, ahead == 0, ahead == 0]
    assert all(line["engine/probe"] < 1e-4 for line in lines)
    assert all(line["engine/failed"] == 0 for line in lines)

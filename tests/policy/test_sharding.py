"""Shards in two processes (gloo on CPUs, the same code as on GPUs) against one process that holds everything."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModelForImageTextToText

from gtr.policy import sharding
from gtr.policy.policy import Policy

HERE = Path(__file__).parents[1]
ENVIRONMENT = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
RUN = (sys.executable, "-m", "torch.distributed.run")


def launch(count: int, case: str, out: Path, *words: str) -> list[dict[str, Any]]:
    """What each process saw."""
    out.mkdir()
    command = [*RUN, "--standalone", "--nproc-per-node", str(count), str(HERE / "sharded_processes.py"), case, str(out)]
    done = subprocess.run([*command, *words], env=ENVIRONMENT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads((out / f"{rank}.json").read_text()) for rank in range(count)]


def test_layers_are_the_members_of_the_outermost_lists() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            experts = nn.Module()
            experts.experts = nn.ModuleList([nn.Linear(1, 1)])
            self.text = nn.ModuleDict({"layers": nn.ModuleList([experts, nn.Linear(2, 2)])})
            self.tower = nn.Sequential(nn.ModuleList([nn.Linear(3, 3)]))

    model = Model()
    assert list(sharding.layers_of(model)) == [*model.text["layers"], model.tower[0][0]]


def test_where_nothing_is_sharded_nothing_changes(make_policy: Callable[..., Policy]) -> None:
    policy = make_policy()
    before = {name: id(p) for name, p in policy.network.named_parameters()}
    policy.gather()
    assert policy.whole is policy.network
    policy.scatter()
    assert {name: id(p) for name, p in policy.network.named_parameters()} == before
    assert not sharding.is_sharded(policy.network)


@pytest.mark.slow
@pytest.mark.parametrize("finetune", ["lora", "full"])
def test_two_processes_learn_what_one_does(finetune: str, build_model: Callable[..., Path], tmp_path: Path) -> None:
    """Policy, value, entropy and cloning, three steps of AdamW: to the last digit."""
    model = str(build_model())
    (one,) = launch(1, "steps", tmp_path / "one", model, finetune)
    two = launch(2, "steps", tmp_path / "two", model, finetune)
    assert [seen["world"] for seen in two] == [2, 2]
    assert one["shares"] == 0
    assert all(seen["shares"] > 10 for seen in two), "weights, adapters and value head are cut"
    files = ["value_head.safetensors", "adapter_model.safetensors" if finetune == "lora" else "model.safetensors"]
    for file in files:
        whole, again = load_file(tmp_path / "one/model" / file), load_file(tmp_path / "two/model" / file)
        assert sorted(whole) == sorted(again)
        assert [name for name in whole if not torch.equal(whole[name], again[name])] == []
        start = load_file(build_model() / file) if (build_model() / file).exists() else {}
        assert all(bool(value.any()) for name, value in whole.items() if "lora_B" in name)
        assert not start or sum(not torch.equal(start[name], whole[name]) for name in start) > 20, "it did learn"


@pytest.mark.slow
def test_a_clipped_gradient_differs_in_its_last_digits_alone(build_model: Callable[..., Path], tmp_path: Path) -> None:
    """Its norm is added up in another order."""
    model = str(build_model())
    launch(1, "steps", tmp_path / "one", model, "lora", "0.1")
    launch(2, "steps", tmp_path / "two", model, "lora", "0.1")
    for file in ("value_head.safetensors", "adapter_model.safetensors"):
        whole, again = load_file(tmp_path / "one/model" / file), load_file(tmp_path / "two/model" / file)
        for name, value in whole.items():
            torch.testing.assert_close(again[name], value, atol=1e-6, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tiny-llava", "tiny-qwen2.5-vl"])
def test_weights_are_gathered_for_sampling_and_scattered_for_learning(
    kind: str, build_model: Callable[..., Path], tmp_path: Path
) -> None:
    for seen in launch(2, "states", tmp_path / "out", str(build_model(kind))):
        assert seen["layers"] > 3, "decoder and vision tower, layer by layer"
        for call in ("generate", "values"):
            assert "policy.gather" in seen[f"{call} too early"]
        assert seen["same replies"]
        assert seen.get("same values", True)
        assert seen["same scores"]
        assert seen["late shares"]
        assert seen["moved"] > 20
        assert seen["swapped in"]
        assert seen["swapped out"]
        assert seen["gathered after saving"]
        assert seen.get("served", True), "what a server would be given"
        assert seen["saved"]
    AutoModelForImageTextToText.from_pretrained(tmp_path / "out" / "model")


@pytest.mark.slow
def test_hybrid_shards_within_a_node_and_copies_between_nodes(build_model: Callable[..., Path], tmp_path: Path) -> None:
    """Two launchers that meet at an address, as on two machines."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    meet = ["--nnodes", "2", "--nproc-per-node", "2", "--rdzv-backend", "c10d", "--rdzv-endpoint", f"localhost:{port}"]
    words = [str(HERE / "sharded_processes.py"), "hybrid", str(tmp_path), str(build_model())]
    nodes = [subprocess.Popen([*RUN, *meet, *words], env=ENVIRONMENT, stderr=subprocess.PIPE) for _ in range(2)]
    for node in nodes:
        assert node.wait(120) == 0, node.stderr.read()[-3000:] if node.stderr else ""
    for rank in range(4):
        seen = json.loads((tmp_path / f"{rank}.json").read_text())
        assert seen["rows"] * 2 == seen["of"], "half of each weight, though there are four processes"
        assert "Replicate" in seen["placements"]
        assert seen["same reply"]

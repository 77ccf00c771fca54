"""Two processes under torchrun (gloo): one agent, two shares of the work, and the gradient of the whole."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent


def launch(count: int, *words: str) -> None:
    """Runs two_processes.py in `count` processes; accelerate launch would silently run one on a CPU."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, str(HERE / "two_processes.py"), *words], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]


def seen(out: Path, rank: int) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / f"{rank}.json").read_text())
    return found


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where two processes have trained two updates."""
    out = tmp_path_factory.mktemp("trained")
    launch(2, "train", str(out))
    return out


def test_two_processes_train_one_agent(trained: Path) -> None:
    ours, theirs = seen(trained, 0), seen(trained, 1)
    assert (ours["processes"], theirs["processes"]) == (2, 2)
    assert (ours["rank"], theirs["rank"]) == (0, 1)
    assert ours["folder"] == theirs["folder"], "one run"
    assert (ours["main"], theirs["main"]) == (True, False)
    assert not set(ours["starts"]) & set(theirs["starts"]), "each plays episodes of its own"
    assert ours["lessons"]
    assert theirs["lessons"]
    assert ours["lessons"] != theirs["lessons"], "and keeps its own lessons"
    weights, others = (load_file(trained / f"{rank}.safetensors") for rank in (0, 1))
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    run = Path(ours["folder"])
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["update"] for line in lines] == [1, 2]
    assert lines[-1]["update/lessons"] == len(ours["lessons"]) + len(theirs["lessons"]), "metrics of both together"
    start = load_file(run / "checkpoints/update_00000/model/model.safetensors")
    end = load_file(run / "checkpoints/update_00002/model/model.safetensors")
    assert any(not torch.equal(start[name], end[name]) for name in start)


def test_two_processes_go_on_exactly(trained: Path, tmp_path: Path) -> None:
    """From a copy of the run whose last checkpoint is missing."""
    run = tmp_path / "run"
    shutil.copytree(seen(trained, 0)["folder"], run, ignore=shutil.ignore_patterns("update_00002"))
    (tmp_path / "runs").mkdir()
    launch(2, "train", str(tmp_path), str(run))
    for rank in (0, 1):
        assert seen(tmp_path, rank)["lessons"] == seen(trained, rank)["lessons"]
        weights, again = (load_file(out / f"{rank}.safetensors") for out in (trained, tmp_path))
        assert all(torch.equal(weights[name], again[name]) for name in weights)


@pytest.mark.parametrize("how", ["gtr", "distilled"])
def test_two_processes_descend_along_the_gradient_of_the_whole(
    how: str, build_model: Callable[..., Path], tmp_path: Path
) -> None:
    """6 turns and lessons each, of unequal lengths, in 3 passes, against one process with all 12."""
    for count in (1, 2):
        (tmp_path / str(count)).mkdir()
        launch(count, "gradient", str(tmp_path / str(count)), str(build_model()), how)
        assert seen(tmp_path / str(count), 0)["processes"] == count
    whole, *halves = (load_file(tmp_path / file) for file in ("1/0.safetensors", "2/0.safetensors", "2/1.safetensors"))
    moved = seen(tmp_path / "1", 0)["moved"]
    assert sum(size > 1e-3 for size in moved.values()) > 50
    for half in halves:
        for name, value in whole.items():
            torch.testing.assert_close(half[name], value, atol=2e-5, rtol=1e-4, msg=lambda text, n=name: f"{n}: {text}")

"""A run that is killed and resumed ends as one that was never stopped: same curve, same weights, bit for bit."""

import json
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

WORDS = shlex.split(
    "train gtr --task numberline --sft.enabled False --train.updates 3 --train.envs 4 --train.turns 3 "
    "--train.minibatch 6 --train.eval-episodes 4 --report.probe-turns 4"
)
WRITTEN = ("turns", "probes", "lessons")
WEIGHTS = Path("checkpoints/update_00003/model/model.safetensors")


def start(*words: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-m", "gtr", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def curve(run: Path) -> list[dict[str, float]]:
    """The metrics of every update without those that measure time."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if not key.startswith("seconds/")} for line in lines]


@pytest.mark.slow
def test_a_run_killed_at_any_moment_goes_on_exactly(tmp_path: Path) -> None:
    runs = ("--runs", str(tmp_path))
    assert start(*WORDS, *runs, "--name", "straight").wait(300) == 0
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    process = start(*WORDS, *runs, "--name", "broken")
    lines = 0
    for delay in (0.0, 0.4):
        deadline = time.monotonic() + 200
        while time.monotonic() < deadline and process.poll() is None:
            file = broken / "metrics.jsonl"
            if file.exists() and len(file.read_text().splitlines()) > lines:
                break
            time.sleep(0.02)
        time.sleep(delay)
        lines = len((broken / "metrics.jsonl").read_text().splitlines())
        process.send_signal(signal.SIGKILL)
        process.wait()
        process = start("train", "--resume", str(broken))
    assert process.wait(300) == 0
    assert len(curve(straight)) == 3
    assert curve(broken) == curve(straight)
    assert (broken / WEIGHTS).read_bytes() == (straight / WEIGHTS).read_bytes()
    for name in WRITTEN:
        written = {file.name: file.read_bytes() for file in (straight / name).iterdir()}
        assert len(written) > 1
        assert {file.name: file.read_bytes() for file in (broken / name).iterdir()} == written

"""A run that is killed and resumed ends as one that was never stopped: same curve, same weights, bit for bit."""

import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small import curve, wait_for_update

WORDS = shlex.split(
    "train gtr --task numberline --sft.enabled False --train.updates 3 --train.envs 4 --train.turns 3 "
    "--train.minibatch 6 --train.eval-episodes 4 --report.probe-turns 4"
)
WRITTEN = ("turns", "probes", "lessons")
WEIGHTS = Path("checkpoints/update_00003/model/model.safetensors")


def start(*words: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-m", "gtr", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.mark.slow
def test_a_run_killed_at_any_moment_goes_on_exactly(tmp_path: Path) -> None:
    runs = ("--runs", str(tmp_path))
    assert start(*WORDS, *runs, "--name", "straight").wait(300) == 0
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    process = start(*WORDS, *runs, "--name", "broken")
    lines = 0
    for delay in (0.0, 0.4):
        wait_for_update(broken, process, lines)
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

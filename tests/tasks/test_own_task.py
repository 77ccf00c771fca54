"""A user's own task, by its path: trained from the command line as the README says."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_a_users_own_task_trains_from_the_command_line(tmp_path: Path) -> None:
    small = "--train.updates 1 --train.envs 4 --train.turns 2 --train.minibatch 8 --train.eval-episodes 8"
    words = f"train gtr --task examples/dots.py:DotsTask --runs {tmp_path} --name dots --sft.check-episodes 16 {small}"
    done = subprocess.run([sys.executable, "-m", "gtr", *words.split()], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = (tmp_path / "dots" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["update"] for line in lines] == [1]
    assert json.loads(lines[0])["thought/perception"] > 0.5
    assert (tmp_path / "dots" / "checkpoints" / "update_00001" / "model" / "model.safetensors").exists()

"""A user's own task, by its path: trained from the command line as the README says."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gtr.check import findings
from gtr.config.presets import preset

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "needed", "steps", "seen"),
    [("dots.py:DotsTask", "gtr", 2000, 0.5), ("rendered.py:RoomTask", "minigrid", 25, 0)],
)
def test_a_users_own_task_trains_from_the_command_line(
    tmp_path: Path, task: str, needed: str, steps: int, seen: float
) -> None:
    """The second is another package's environment."""
    pytest.importorskip(needed)
    small = "--train.updates 1 --train.envs 4 --train.turns 2 --train.minibatch 8 --train.eval-episodes 8"
    sft = f"--sft.check-episodes 16 --sft.max-steps {steps}"
    words = f"train gtr --task examples/{task} --runs {tmp_path} --name own {sft} {small}"
    done = subprocess.run([sys.executable, "-m", "gtr", *words.split()], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = (tmp_path / "own" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["update"] for line in lines] == [1]
    assert json.loads(lines[0])["thought/perception"] >= seen
    assert (tmp_path / "own" / "checkpoints" / "update_00001" / "model" / "model.safetensors").exists()


def test_another_packages_environment_passes_the_check() -> None:
    pytest.importorskip("minigrid")
    found = list(findings(preset("gtr", f"{ROOT}/examples/rendered.py:RoomTask")))
    assert [one.text for one in found if not one.fine] == []
    assert len(found) > 10

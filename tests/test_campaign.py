"""A slice of the campaign with the seed of the day, and the page that tells of the campaign."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("openai")
ROOT = Path(__file__).parents[1]
SLICE = ("fuzz=12000", "flags=60", "power=6", "damage=6", "replies=100", "week=40")


@pytest.mark.slow
def test_a_slice_with_the_seed_of_the_day(tmp_path: Path) -> None:
    """``python -m campaign --seed SEED --only ...`` repeats it; ``GTR_TEST_SEED`` chooses another."""
    seed = os.environ.get("GTR_TEST_SEED") or str(int(time.time()) // 86400)
    command = [sys.executable, "-m", "campaign", "--seed", seed, "--place", str(tmp_path), "--only", *SLICE]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    print(done.stdout, done.stderr)
    assert done.returncode == 0, f"seed {seed}: {done.stdout}\n{done.stderr[-5000:]}"


def test_the_page_tells_of_every_attack() -> None:
    code = "from campaign.report import PAGE, attacks; print(attacks() in PAGE.read_text())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "True\n", "python -m campaign ... --write writes it"


@pytest.mark.parametrize("words", [["--only", "nothing"], ["--only", "fuzz=x"], ["--seed", "x"]])
def test_what_cannot_be_made_is_told(words: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", "campaign", *words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "error: argument" in done.stderr

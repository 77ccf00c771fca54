"""A corrector of the user's own, by its path: trained with from the command line as the README says, and examined."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gtr import tasks
from gtr.config.presets import preset
from gtr.errors import CorrectorError
from gtr.guidance import make_corrector
from gtr.guidance.corrector import Corrector

ROOT = Path(__file__).parents[2]
OWN = "examples/own_corrector.py:OwnCorrector"


@pytest.mark.slow
def test_a_users_own_corrector_trains_from_the_command_line(tmp_path: Path) -> None:
    small = "--train.updates 1 --train.envs 4 --train.turns 2 --train.minibatch 8 --train.eval-episodes 2"
    sft = "--sft.check-episodes 16"
    words = f"train gtr --task numberline --guidance.corrector {OWN} --runs {tmp_path} --name own {sft} {small}"
    done = subprocess.run([sys.executable, "-m", "gtr", *words.split()], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (line,) = [json.loads(line) for line in (tmp_path / "own" / "metrics.jsonl").read_text().splitlines()]
    assert line["update/lessons"] > 0
    more = [sys.executable, "-m", "gtr", "train", "--resume", str(tmp_path / "own"), "--train.updates", "2"]
    refused = subprocess.run(more, cwd=ROOT, capture_output=True, text=True)
    assert (refused.returncode, f"add --guidance.corrector {OWN}" in refused.stderr) == (2, True), refused.stderr
    resumed = subprocess.run([*more, "--guidance.corrector", OWN], cwd=ROOT, capture_output=True, text=True)
    assert resumed.returncode == 0, resumed.stderr


@pytest.mark.slow
def test_the_example_examines_itself(tmp_path: Path) -> None:
    command = [sys.executable, "examples/own_corrector.py"]
    table = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    words = f"corrector-eval --who {OWN} --task numberline --thoughts 20 --json {tmp_path / 'r.json'}"
    subprocess.run([sys.executable, "-m", "gtr", *words.split()], cwd=ROOT, check=True, capture_output=True)
    found = {one["kind"]: one["found"]["estimate"] for one in json.loads((tmp_path / "r.json").read_text())["scores"]}
    assert all(f"{kind:12} found {share:.2f}" in table for kind, share in found.items())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("class Mine: ...", "is no Corrector: derive the class from gtr.guidance.corrector.Corrector"),
        ("", "has no 'Mine': it defines no Corrector"),
        ("from gtr.guidance.corrector import Corrector\nclass Mine(Corrector): ...", "is no whole Corrector: def"),
        ("1 / 0", "fails when imported: ZeroDivisionError"),
    ],
)
def test_what_is_wrong_with_a_class_is_told(text: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / f"own{abs(hash(text))}.py"
    file.write_text(text + "\n")
    config = preset("gtr", "numberline", **{"guidance.corrector": f"{file}:Mine"})
    with pytest.raises(CorrectorError, match=words):
        make_corrector(config, tasks.load(config.task))


def test_it_is_built_with_the_settings_and_the_task(tmp_path: Path) -> None:
    file = tmp_path / "kept.py"
    file.write_text(
        "from gtr.guidance.corrector import Corrector\n"
        "class Mine(Corrector):\n"
        "    def __init__(self, config, task): self.given = config, task\n"
        "    def judge(self, cases): return []\n"
    )
    config = preset("gtr", "numberline", **{"guidance.corrector": f"{file}:Mine"})
    task = tasks.load(config.task)
    made = make_corrector(config, task)
    assert isinstance(made, Corrector)
    assert vars(made)["given"] == (config, task)

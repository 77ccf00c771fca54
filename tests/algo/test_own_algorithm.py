"""An algorithm of the user's own trains, resumes, and is code that only the user's word runs."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from gtr.cli.train import parse_train
from gtr.config.io import config_from_dict, settings_of
from gtr.config.section import Kept
from gtr.errors import ConfigError

ROOT = Path(__file__).parents[2]
EXAMPLE = "examples/own_algorithm.py:BestOfGroup"
SMALL = [
    *("--task", "numberline", "--sft.enabled", "False", "--train.updates", "2", "--train.envs", "8"),
    *("--train.turns", "2", "--train.minibatch", "8", "--train.eval_episodes", "2", "--report.probe_turns", "0"),
    *("--algo.margin", "0.5"),
]


def gtr(*words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "gtr", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


def test_the_example_is_short() -> None:
    assert len((ROOT / "examples" / "own_algorithm.py").read_text().splitlines()) < 40


@pytest.mark.slow
def test_the_example_trains_and_goes_on(tmp_path: Path) -> None:
    done = gtr("train", "--algo", EXAMPLE, *SMALL, "--runs", str(tmp_path))
    assert done.returncode == 0, done.stderr[-2000:]
    (run,) = [one.parent for one in tmp_path.glob("*/config.json")]
    assert run.name == "bestofgroup-numberline-1"
    config = json.loads((run / "config.json").read_text())
    assert (config["algo"]["name"], config["algo"]["margin"]) == (EXAMPLE, 0.5)
    last = run / "checkpoints/update_00002"
    straight = load_file(last / "model/model.safetensors")
    shutil.rmtree(last)
    refused = gtr("train", "--resume", str(run))
    assert refused.returncode == 2
    assert f"add --algo {EXAMPLE}" in refused.stderr
    assert gtr("train", "--resume", str(run), "--algo", EXAMPLE).returncode == 0
    again = load_file(last / "model/model.safetensors")
    assert all(bool((again[name] == value).all()) for name, value in straight.items())


def test_its_settings_are_flags_with_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    config = parse_train(["--algo", EXAMPLE, "--task", "ezpoints", "--algo.margin", "2"]).config
    assert (settings_of(config)["algo.margin"], config.preset) == (2.0, "bestofgroup")
    with pytest.raises(ConfigError, match=r"algo\.margin is -1\.0: give a number from 0"):
        parse_train(["--algo", EXAMPLE, "--task", "ezpoints", "--algo.margin", "-1"])


def test_a_folder_does_not_run_its_code(tmp_path: Path) -> None:
    file = tmp_path / "method.py"
    file.write_text("raise SystemExit('the code was run')\n")
    values = {"task": {"name": "numberline"}, "algo": {"name": f"{file}:Method", "beta": 3}}
    config = config_from_dict(values)
    assert isinstance(config.algo, Kept)
    assert settings_of(config)["algo.beta"] == 3
    with pytest.raises(SystemExit):
        config_from_dict(values, [f"{file}:Method"])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nowhere.py:Method", "file 'nowhere.py' does not exist"),
        ("examples/own_algorithm.py:Best", "did you mean 'BestOfGroup'"),
        ("examples/dots.py:DotsTask", "is no Algorithm: derive the class from gtr.algo.base.Algorithm"),
        ("grppo", "unknown algorithm 'grppo': did you mean 'grpo'"),
    ],
)
def test_what_is_no_algorithm_is_named(name: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(ConfigError) as error:
        parse_train(["--algo", name, "--task", "ezpoints"])
    assert words in str(error.value)

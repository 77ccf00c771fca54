"""Whole runs with shards from the command line: killed, resumed, and gone on with by another number of processes."""

import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small import curve, wait_for_update

from gtr import checkpoint

pytestmark = pytest.mark.slow
SMALL = (
    "--task numberline --sft.enabled False --train.updates 3 --train.envs 4 --train.turns 3 --train.minibatch 6 "
    "--train.accumulation 2 --train.eval-episodes 4 --report.probe-turns 4 --report.trackers "
    "--report.keep-checkpoints 9"
)
MODEL = Path("model/model.safetensors")


def start(processes: int, words: str) -> "subprocess.Popen[bytes]":
    launcher = f"-m torch.distributed.run --standalone --nproc-per-node {processes}" if processes > 1 else ""
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *shlex.split(launcher), "-m", "gtr", *shlex.split(words)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def gtr(processes: int, words: str) -> str:
    """Runs a command to its end; what it said where it failed."""
    process = start(processes, words)
    said = process.communicate(timeout=200)[1].decode()
    return said if process.returncode else ""


def children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(word) for word in found.read_text().split()] if found.exists() else []


def kill(process: "subprocess.Popen[bytes]") -> None:
    """The launcher and its workers at once, as when a machine goes."""
    for pid in [process.pid, *children(process.pid)]:
        os.kill(pid, signal.SIGKILL)
    process.communicate()


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three updates in two processes."""
    runs = tmp_path_factory.mktemp("sharded")
    assert gtr(2, f"train gtr {SMALL} --train.shard full --runs {runs} --name straight") == ""
    return runs / "straight"


def test_a_sharded_run_plays_and_learns_as_ddp_does(straight: Path, tmp_path: Path) -> None:
    assert gtr(2, f"train gtr {SMALL} --train.updates 1 --runs {tmp_path} --name ddp") == ""
    ours, theirs = curve(straight)[0], curve(tmp_path / "ddp")[0]
    for name in ("episode/return", "policy/entropy", "update/lessons", "count/turns"):
        assert ours[name] == theirs[name], "the rollout is the same to the last digit"
    assert ours["loss/cloning"] == pytest.approx(theirs["loss/cloning"], rel=1e-5)
    assert ours["update/grad_norm"] == pytest.approx(theirs["update/grad_norm"], rel=1e-4)


def test_two_processes_killed_at_any_moment_go_on_exactly(straight: Path, tmp_path: Path) -> None:
    process = start(2, f"train gtr {SMALL} --train.shard full --runs {tmp_path} --name broken")
    broken, rng = tmp_path / "broken", random.Random(3)
    for lines in (0, 1):
        wait_for_update(broken, process, lines)
        time.sleep(rng.random())
        kill(process)
        process = start(2, f"train --resume {broken}")
    assert process.wait(200) == 0
    assert curve(broken) == curve(straight)
    last = f"checkpoints/update_00003/{MODEL}"
    assert (broken / last).read_bytes() == (straight / last).read_bytes()


@pytest.mark.parametrize(("processes", "shard"), [(1, "none"), (2, "none"), (4, "full")])
def test_another_number_of_processes_goes_on(processes: int, shard: str, straight: Path, tmp_path: Path) -> None:
    """From the second update: the same weights, moments, thoughts and episodes, in other hands."""
    run = tmp_path / "run"
    shutil.copytree(straight, run, ignore=shutil.ignore_patterns("update_00003"))
    assert gtr(processes, f"train --resume {run} --train.shard {shard}") == ""
    before, after = curve(straight), curve(run)
    assert after[:2] == before[:2]
    assert after[2]["count/turns"] == before[2]["count/turns"]
    for update in (2, 3):
        ours, theirs = (load_file(one / f"checkpoints/update_{update:05d}" / MODEL) for one in (run, straight))
        if update == 2:
            assert all(torch.equal(ours[name], theirs[name]) for name in ours)
        elif processes != 2:
            assert any(not torch.equal(ours[name], theirs[name]) for name in ours), "other random numbers"
        else:
            # Same processes, same random numbers: only the order of sums differs.
            assert max(float((ours[name] - theirs[name]).abs().max()) for name in ours) < 1e-3
    state, old = (checkpoint.read_state(one / "checkpoints/update_00003") for one in (run, straight))
    assert len(state["ranks"]) == processes
    seats, others = ([seat for rank in one["ranks"] for seat in rank["seats"]] for one in (state, old))
    assert len(seats) == len(others) == 8
    assert state["sized_for"] == 2
    assert json.loads((run / "config.json").read_text())["train"]["envs"] == 4, "the settings stay for two"
    if processes != 1:
        return
    # And back: as many as before.
    assert gtr(2, f"train --resume {run} --train.shard full --train.updates 4") == ""
    assert [line["update"] for line in curve(run)] == [1, 2, 3, 4]
    assert curve(run)[3]["count/turns"] + curve(run)[3].get("episode/aborted", 0) == 24


def test_a_number_that_does_not_divide_is_refused(straight: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(straight, run)
    said = gtr(3, f"train --resume {run} --train.updates 5")
    assert "8 environments" in said
    assert "resume with 1, 2, 4, 8" in said
    assert "launch several with torchrun" in gtr(1, f"train --resume {run} --train.updates 5")


def test_whole_episodes_in_groups_learn_with_shards(tmp_path: Path) -> None:
    """Processes play unequally many turns, and step together all the same."""
    words = SMALL.replace("--train.updates 3", "--train.updates 2")
    settings = "--algo.group 4 --task.illegal random --policy.finetune lora --policy.lora-rank 4"
    assert gtr(2, f"train grpo {words} {settings} --train.shard full --runs {tmp_path} --name groups") == ""
    assert len(curve(tmp_path / "groups")) == 2
    assert gtr(1, f"eval {tmp_path / 'groups'} --episodes 2") == "", "one process reads what two wrote"

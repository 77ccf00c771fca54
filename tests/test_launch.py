"""How processes must have been launched, and what falls to each when there are more or fewer than before."""

import os
import subprocess
import sys
from typing import Any

import pytest
from small import changed

from gtr.config import Config, presets
from gtr.errors import RunError
from gtr.processes import COUNTS, PLUGINS, check_launch, dealt, resized


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*COUNTS, *PLUGINS, "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("name", COUNTS)
def test_processes_that_do_not_know_of_one_another_are_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "2")
    check_launch("none", "MULTI_CPU", 2)
    with pytest.raises(RunError, match=r"2 processes were started.*torchrun.*ACCELERATE_USE_CPU=true"):
        check_launch("none", "NO", 1)


def test_one_launcher_per_node_is_none_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """srun starts one torchrun on each of two nodes, and these four processes each."""
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "2")
    monkeypatch.setenv("WORLD_SIZE", "8")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    for shard in ("none", "full", "hybrid"):
        check_launch(shard, "MULTI_GPU", 8)


@pytest.mark.parametrize(("variable", "plugin"), PLUGINS.items())
def test_sharding_by_the_launcher_is_refused(variable: str, plugin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On CPUs accelerate would run DDP without a word, whatever its configuration says."""
    monkeypatch.setenv(variable, "true")
    with pytest.raises(RunError, match=rf"asks for {plugin}.*--train\.shard full"):
        check_launch("full", "MULTI_CPU", 1)
    monkeypatch.setenv(variable, "false")
    check_launch("none", "NO", 1)


@pytest.mark.parametrize("kind", ["FSDP", "DEEPSPEED", "MEGATRON_LM"])
def test_sharding_that_accelerate_has_begun_is_refused(kind: str) -> None:
    with pytest.raises(RunError, match=f"asks for {kind}"):
        check_launch("none", kind, 1)


@pytest.mark.parametrize("shard", ["full", "hybrid"])
def test_one_process_has_nothing_to_share(shard: str) -> None:
    with pytest.raises(RunError, match=rf"train\.shard is {shard}, but there is one process.*--train\.shard none"):
        check_launch(shard, "NO", 1)


@pytest.mark.parametrize(("here", "world"), [("4", 4), ("1", 4)])
def test_hybrid_wants_nodes_of_several_processes(here: str, world: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", str(world))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", here)
    with pytest.raises(RunError, match=rf"hybrid, but {world} processes run as {here} per node.*--train\.shard full"):
        check_launch("hybrid", "MULTI_GPU", world)


# -- another number of processes ----------------------------------------------------------------------------------
def sized(envs: int, minibatch: int, accumulation: int) -> Config:
    settings = {"train.envs": envs, "train.minibatch": minibatch, "train.accumulation": accumulation}
    return changed(presets.build("gtr", "numberline"), **settings)


@pytest.mark.parametrize(
    ("given", "before", "now", "wanted"),
    [
        ((32, 32, 1), 1, 2, (16, 16, 1)),
        ((16, 16, 1), 2, 1, (32, 16, 2)),
        ((16, 1, 128), 1, 8, (2, 1, 16)),
        ((6, 4, 3), 4, 3, (8, 4, 4)),
        ((5, 5, 1), 3, 3, (5, 5, 1)),
    ],
)
def test_what_processes_make_together_stays(
    given: tuple[int, int, int], before: int, now: int, wanted: tuple[int, int, int]
) -> None:
    train = resized(sized(*given), before, now).train
    assert (train.envs, train.minibatch, train.accumulation) == wanted
    assert train.envs * now == given[0] * before
    assert train.minibatch * train.accumulation * now == given[1] * given[2] * before


def test_numbers_that_do_not_divide_name_those_that_do() -> None:
    with pytest.raises(RunError, match=r"8 environments \(2 processes of train\.envs 4\).*resume with 1, 2, 4, 8$"):
        resized(sized(4, 4, 1), 2, 3)


def state(*episodes: int, plans: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"seats": [{"episode": one} for one in episodes], "corrector": plans or {}}


def test_environments_take_their_episodes_and_plans_along() -> None:
    two = [state(10, 11, plans={"1": ["a"]}), state(20, 21, plans={"0": ["b"], "1": ["c"]})]
    (one,) = dealt(two, 1)
    assert one == state(10, 11, 20, 21, plans={"1": ["a"], "2": ["b"], "3": ["c"]})
    assert dealt([one], 2) == two, "and back"
    assert dealt(two, 2) == two
    assert dealt(two, 4)[2] == state(20, plans={"0": ["b"]})


def test_a_corrector_whose_state_is_not_by_environment_stays_with_its_processes() -> None:
    odd = [state(1, 2, plans={"asked": 7}), state(3, 4)]
    assert dealt(odd, 2) == odd
    with pytest.raises(RunError, match=r"'asked'.*resume with 2 processes"):
        dealt(odd, 1)


@pytest.mark.parametrize(("count", "torn_down"), [(1, True), (2, False)])
def test_one_of_several_processes_leaves_without_tearing_the_interpreter_down(count: int, torn_down: bool) -> None:
    code = """
import atexit
from gtr.processes import leave
class Held:
    def __del__(self): print("torn down", flush=True)
held = Held()
atexit.register(lambda: print("handlers ran"))
print("written", end=" ")
leave(3)
"""
    left = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "WORLD_SIZE": str(count)}, capture_output=True, text=True
    )
    assert left.returncode == 3
    assert left.stdout == "written handlers ran\n" + "torn down\n" * torn_down

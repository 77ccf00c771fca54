"""The vllm engine against a real server process of its protocol (`engine_server.py`), which fails when it is told."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from served import ON_CPU, Served
from small import changed

from gtr import checkpoint
from gtr.config import Config, EngineConfig
from gtr.engine import LocalEngine, make_engine
from gtr.engine.vllm import VllmEngine
from gtr.engine.weights import check_adapter
from gtr.errors import EngineError, GtrError
from gtr.policy.policy import Policy
from gtr.train import train
from gtr.types import Exchange, Prompt

pytestmark = pytest.mark.slow

MakeModel = Callable[..., Path]
MakePolicy = Callable[..., Policy]

Make = Callable[..., VllmEngine]


@pytest.fixture
def engine(servers: list[Served], tmp_path: Path) -> Iterator[Make]:
    """``engine(policy, count, **settings)`` asks so many of the servers."""
    made: list[VllmEngine] = []

    def make(policy: Policy, count: int = 2, **settings: Any) -> VllmEngine:
        addresses = tuple(one.address for one in servers[:count])
        quick = {"timeout": 30.0, "patience": 0.0, **settings}
        found = make_engine(EngineConfig(name="vllm", servers=addresses, **quick), policy, tmp_path / "weights")
        assert isinstance(found, VllmEngine)
        made.append(found)
        return found

    yield make
    for one in made:
        one.close()


def moved(policy: Policy, by: float = 0.02) -> Policy:
    """The policy after a step that changes every weight that learns."""
    with torch.no_grad():
        for weight in policy.network.model.parameters():
            if weight.requires_grad:
                weight.add_(by * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)))
    return policy


# -- what is sampled ----------------------------------------------------------------------------------------------
def test_the_local_engine_is_the_policy(make_policy: MakePolicy, prompts: list[Prompt], tmp_path: Path) -> None:
    policy = make_policy()
    local = make_engine(EngineConfig(), policy, tmp_path)
    assert isinstance(local, LocalEngine)
    torch.manual_seed(3)
    wanted = policy.generate(prompts)
    torch.manual_seed(3)
    assert local.generate(prompts) == wanted
    assert not any(reply.sampled for reply in wanted)


def test_replies_carry_both_log_probabilities(make_policy: MakePolicy, engine: Make, prompts: list[Prompt]) -> None:
    policy = make_policy()
    asked = engine(policy)
    asked.sync(0)
    replies = asked.generate(prompts)
    with torch.no_grad():
        scores = policy.score(prompts, [reply.tokens for reply in replies])
    for i, reply in enumerate(replies):
        assert reply.logprobs == pytest.approx(scores.logprobs[i, : len(reply.tokens)].tolist(), abs=1e-6)
        assert reply.sampled == pytest.approx(reply.logprobs, abs=1e-4)
        assert reply.sampled != reply.logprobs, "measured by another, not copied"
        assert reply.value == pytest.approx(float(scores.values[i]), abs=1e-6)
        assert reply.text == policy.decode(reply.tokens)
        assert reply.finished == (reply.tokens[-1] in policy.end_ids)
    assert {reply.finished for reply in replies} <= {True, False}
    assert asked.metrics()["engine/servers"] == 2
    assert asked.metrics()["engine/probe"] < 1e-4


def test_seeds_repeat_and_greedy_is_greedy(make_policy: MakePolicy, engine: Make, prompts: list[Prompt]) -> None:
    policy = make_policy()
    asked = engine(policy)
    asked.sync(0)
    runs = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        runs.append([reply.tokens for reply in asked.generate(prompts)])
    assert runs[0] == runs[1] != runs[2]
    assert [reply.tokens for reply in asked.generate(prompts, greedy=True)] == [
        reply.tokens for reply in policy.generate(prompts, greedy=True)
    ]


def test_the_load_is_shared(
    make_policy: MakePolicy, engine: Make, servers: list[Served], prompts: list[Prompt]
) -> None:
    asked = engine(make_policy(), in_flight=8)
    asked.sync(0)
    before = [one.state()["asked"] for one in servers]
    for _ in range(4):
        asked.generate(prompts)
    assert all(one.state()["asked"] - then > 4 for one, then in zip(servers, before, strict=True))


def test_earlier_turns_travel_with_a_prompt(make_policy: MakePolicy, engine: Make, prompts: list[Prompt]) -> None:
    past = tuple(Exchange(one.image, one.text, f"{one.text} </s>") for one in prompts[:2])
    asked = engine(make_policy())
    asked.sync(0)
    for reply in asked.generate([replace(one, past=past) for one in prompts[2:4]]):
        assert reply.sampled == pytest.approx(reply.logprobs, abs=1e-4)


# -- weights ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("sync", "dotted"),
    [
        ("full", {"policy.freeze_vision": False}),
        ("full", {"policy.finetune": "lora", "policy.lora_rank": 4}),
        ("adapter", {"policy.finetune": "lora", "policy.lora_rank": 4, "policy.lora_target": "language"}),
    ],
    ids=["full", "merged", "adapter"],
)
def test_weights_arrive(
    sync: Any,
    dotted: dict[str, Any],
    make_policy: MakePolicy,
    engine: Make,
    servers: list[Served],
    prompts: list[Prompt],
) -> None:
    policy = make_policy(**dotted)
    asked = engine(policy, sync=sync)
    asked.sync(0)
    for version in (1, 2):
        before = {name: weight.clone() for name, weight in moved(policy).network.state_dict().items()}
        asked.sync(version)
        assert all(torch.equal(before[name], weight) for name, weight in policy.network.state_dict().items())
        for reply in asked.generate(prompts):
            assert reply.sampled == pytest.approx(reply.logprobs, abs=1e-3), "merging rounds"
    names = {name for one in servers for name in one.state()["served"]}
    assert len({name for name in names if name.startswith("gtr-")}) == (sync == "adapter"), "old ones are dropped"


def test_a_known_version_is_not_sent_again(
    make_policy: MakePolicy, engine: Make, prompts: list[Prompt], tmp_path: Path
) -> None:
    asked = engine(make_policy())
    asked.sync(4)
    (folder,) = (tmp_path / "weights").iterdir()
    written = folder.stat().st_mtime_ns
    asked.sync(4)
    assert folder.stat().st_mtime_ns == written
    asked.sync(5)
    assert [one.name for one in (tmp_path / "weights").iterdir()] == ["weights_00005"]


@pytest.mark.parametrize("fault", ["stale", "deaf"])
def test_a_server_without_the_new_weights_ends_the_run(
    fault: str, make_policy: MakePolicy, engine: Make, servers: list[Served], prompts: list[Prompt]
) -> None:
    policy = make_policy(**{"policy.freeze_vision": False})
    asked = engine(policy)
    if fault == "stale":
        asked.sync(0)
        asked.generate(prompts)
    servers[1].fault(fault)
    moved(policy, 0.002 if fault == "stale" else 0.3)
    asked.sync(1)
    said = "to the last digit as before" if fault == "stale" else "log-probabilities that are in the mean"
    with pytest.raises(EngineError, match=f"{servers[1].address}.*{said}"):
        asked.generate(prompts)


def test_small_steps_that_a_server_missed_are_seen(
    make_policy: MakePolicy, engine: Make, servers: list[Served], prompts: list[Prompt]
) -> None:
    policy = make_policy(**{"policy.freeze_vision": False})
    asked = engine(policy, tolerance=50.0)
    asked.sync(0)
    asked.generate(prompts)
    for one in servers:
        one.fault("deaf")
    asked.sync(1)
    asked.generate(prompts)
    moved(policy, 0.002)
    asked.sync(2)
    with pytest.raises(EngineError, match="still has the old ones"):
        asked.generate(prompts)


def test_a_server_of_another_model_is_refused(make_policy: MakePolicy, engine: Make, prompts: list[Prompt]) -> None:
    policy = make_policy()
    asked = engine(policy, retries=1)
    asked.sync(0)
    policy.processor.chat_template = policy.processor.chat_template.replace("'\\n'", "'say\\n'")
    with pytest.raises(EngineError, match="it serves another model, or another processor or chat template"):
        asked.generate(prompts)


def test_vision_adapters_are_refused(make_policy: MakePolicy) -> None:
    lora = {"policy.finetune": "lora", "policy.lora_rank": 4}
    with pytest.raises(EngineError, match="vLLM would ignore"):
        check_adapter(make_policy(**lora).network.model)
    with pytest.raises(EngineError, match="finetune is full"):
        check_adapter(make_policy().network.model)
    check_adapter(make_policy(**lora, **{"policy.lora_target": "language"}).network.model)


# -- faults -------------------------------------------------------------------------------------------------------
BAD = ("500", "drop", "not_json", "nested", "other_ids", "few_logprobs", "no_tokens", "prompt", "cut")


@pytest.mark.parametrize("fault", BAD)
def test_what_goes_wrong_once_is_asked_anew(
    fault: str, make_policy: MakePolicy, engine: Make, servers: list[Served], prompts: list[Prompt]
) -> None:
    asked = engine(make_policy(), 1)
    asked.sync(0)
    torch.manual_seed(3)
    wanted = asked.generate(prompts)
    asked.metrics()
    servers[0].fault(fault, 2)
    torch.manual_seed(3)
    assert asked.generate(prompts) == wanted, "nothing is lost, and nothing is drawn twice"
    assert asked.metrics()["engine/failed"] == 2


@pytest.mark.parametrize("fault", BAD)
def test_what_always_goes_wrong_ends_the_run(
    fault: str, make_policy: MakePolicy, engine: Make, servers: list[Served], prompts: list[Prompt]
) -> None:
    asked = engine(make_policy(), 1, retries=2)
    asked.sync(0)
    asked.generate(prompts)
    servers[0].fault(fault, 10_000)
    with pytest.raises(EngineError, match=servers[0].address):
        asked.generate(prompts)


@pytest.mark.parametrize("fault", ["die", "hang"])
def test_another_server_takes_over(
    fault: str, make_policy: MakePolicy, engine: Make, servers: list[Served], prompts: list[Prompt]
) -> None:
    asked = engine(make_policy(), timeout=5.0)
    asked.sync(0)
    asked.generate(prompts)
    servers[0].fault(fault, 10_000)
    for _ in range(3):
        replies = asked.generate(prompts)
    assert len(replies) == len(prompts)
    assert asked.metrics()["engine/servers"] == 1


def test_slow_answers_are_waited_for(
    make_policy: MakePolicy, engine: Make, servers: list[Served], prompts: list[Prompt]
) -> None:
    asked = engine(make_policy(), 1)
    asked.sync(0)
    asked.generate(prompts)
    servers[0].fault("slow", 10_000)
    asked.generate(prompts[:2])
    assert asked.metrics()["engine/failed"] == 0


def test_a_server_that_comes_back_gets_the_weights_of_now(
    make_policy: MakePolicy, engine: Make, servers: list[Served], prompts: list[Prompt]
) -> None:
    policy = make_policy(**{"policy.freeze_vision": False})
    asked = engine(policy, 1, patience=120.0, retries=20)
    moved(policy, 0.3)
    asked.sync(7)
    asked.generate(prompts)
    servers[0].process.kill()
    servers[0].process.wait()
    servers[0].start()
    for reply in asked.generate(prompts):
        assert reply.sampled == pytest.approx(reply.logprobs, abs=1e-4), "it was started with other weights"
    assert asked.metrics()["engine/failed"] > 0


def test_no_server_at_all(make_policy: MakePolicy, tmp_path: Path) -> None:
    nobody = EngineConfig(name="vllm", servers=("http://127.0.0.1:9",))
    with pytest.raises(EngineError, match="gtr serve-engine"):
        make_engine(nobody, make_policy(), tmp_path)


def test_a_penalty_is_refused(make_policy: MakePolicy, tmp_path: Path) -> None:
    with pytest.raises(GtrError, match="repetition_penalty 1"):
        make_engine(EngineConfig(name="vllm"), make_policy(**{"policy.repetition_penalty": 1.2}), tmp_path)


# -- whole runs ---------------------------------------------------------------------------------------------------
def lines(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_a_run_goes_on_after_its_servers_died(
    settings: Callable[..., Config], servers: list[Served], build_model: MakeModel
) -> None:
    config = settings(
        **{
            "engine.name": "vllm",
            "engine.servers": tuple(one.address for one in servers),
            "engine.patience": 0.0,
            "engine.retries": 1,
            "train.updates": 3,
            "train.lr": 1e-3,
            "policy.freeze_vision": False,
        }
    )
    whole = lines(train(changed(config, name="whole")))
    assert [line["engine/servers"] for line in whole] == [2, 2, 2]
    assert all(line["engine/mismatch"] < 1e-4 and line["engine/probe"] < 1e-4 for line in whole)
    # Both die in the second update; a second start of the servers and of the run finds everything as it was.
    stopping = changed(config, name="stopped")
    folder = train(changed(stopping, **{"train.updates": 1}))
    for one in servers:
        one.fault("die", 10_000)
    with pytest.raises(EngineError) as stopped:
        train(stopping, resume=folder)
    assert any("go on with: gtr train --resume" in note for note in stopped.value.__notes__)
    assert checkpoint.latest(folder / "checkpoints") == folder / "checkpoints" / "update_00001"
    for one in servers:
        one.ready()
    train(stopping, resume=folder)
    same = [line["loss/policy"] for line in lines(folder)], [line["loss/policy"] for line in whole]
    assert same[0][1:] == pytest.approx(same[1][1:], rel=1e-3)
    assert [line["update"] for line in lines(folder)] == [1, 2, 3]


@pytest.mark.parametrize("shard", ["none", "full"])
def test_two_processes_share_the_servers(
    shard: str, servers: list[Served], build_model: MakeModel, tmp_path: Path
) -> None:
    words = {
        **{"policy.model": str(build_model()), "policy.value_hidden": "16", "policy.max_new_tokens": "10"},
        **{"policy.freeze_vision": "False", "policy.temperature": "0.7", "sft.enabled": "False", "runs": str(tmp_path)},
        **{"train.updates": "2", "train.envs": "2", "train.turns": "3", "train.minibatch": "6", "train.lr": "1e-3"},
        **{"train.eval_episodes": "2", "train.shard": shard, "report.probe_turns": "0", "engine.name": "vllm"},
    }
    flags = [word for key, value in words.items() for word in (f"--{key}", value)]
    addresses = [one.address for one in servers]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "gtr"]
    command += ["train", "gtr", "--task", "numberline", *flags, "--engine.servers", *addresses, "--name", "two"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, env={**os.environ, **ON_CPU})
    assert done.returncode == 0, done.stderr[-3000:]
    for line in lines(tmp_path / "two"):
        assert line["engine/servers"] == 2
        assert line["engine/mismatch"] < 1e-3, "both processes sample by the weights of both"
        assert line["engine/failed"] == 0
    assert (tmp_path / "two" / "engine" / "weights_00002").is_dir()

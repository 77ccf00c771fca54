"""Rollouts sampled ahead by a real server process: while the trainer learns, never by weights older than allowed."""

import gzip
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from served import Served
from small import changed, curve, wait_for_update

import gtr.train
from gtr.config import Config
from gtr.config.io import settings_of
from gtr.engine.vllm import VllmEngine
from gtr.policy.policy import Policy
from gtr.policy.reference import ReferencePolicy
from gtr.train import train
from gtr.types import Sample

pytestmark = pytest.mark.slow

Settings = Callable[..., Config]
Learn = Callable[..., Any]


@pytest.fixture(scope="module")
def one(build_model: Callable[..., Path]) -> Iterator[Served]:
    served = Served(build_model())
    yield served
    served.process.kill()
    served.process.wait()


@pytest.fixture
def server(one: Served) -> Served:
    one.ready()
    return one


@pytest.fixture
def config(settings: Settings, server: Served) -> Config:
    asked = {"engine.name": "vllm", "engine.servers": (server.address,), "engine.max_staleness": 1}
    small = {"train.envs": 2, "train.minibatch": 4, "policy.max_new_tokens": 6, "report.probe_turns": 0}
    some = {"train.updates": 5, "train.lr": 1e-3, "train.eval_every": 2, "algo.thought_weight": 0.5}
    return settings(**asked, **small, **some, **{"engine.retries": 1})


def watching(monkeypatch: pytest.MonkeyPatch, watch: Callable[[Learn], Learn]) -> None:
    """`watch` wraps what the trainer calls to learn."""
    monkeypatch.setattr(gtr.train, "learn", watch(gtr.train.learn))


def asked_meanwhile(server: Served, before: int, seconds: float) -> bool:
    """Whether somebody asks the server within some seconds."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if server.state()["asked"] > before:
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize(("bound", "stale"), [(0, None), (1, [0, 1, 1, 1, 1]), (2, [0, 1, 2, 1, 2])])
def test_the_next_rollout_is_sampled_while_the_trainer_learns(
    bound: int, stale: list[int] | None, config: Config, server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []
    sampling = [0]

    def watch(learn: Learn) -> Learn:
        def watched(*given: Any) -> Any:
            last = given[1].update == config.train.updates - 1
            seen.append(asked_meanwhile(server, server.state()["asked"], 1.0 if last or bound == 0 else 60.0))
            return learn(*given)

        return watched

    sample, sync = VllmEngine.sample, VllmEngine.sync

    def counted(self: VllmEngine, *given: Any) -> Any:
        sampling[0] += 1
        try:
            return sample(self, *given)
        finally:
            sampling[0] -= 1

    def alone(self: VllmEngine, version: int) -> None:
        assert sampling == [0], "weights change hands between rollouts only"
        sync(self, version)

    watching(monkeypatch, watch)
    monkeypatch.setattr(VllmEngine, "sample", counted)
    monkeypatch.setattr(VllmEngine, "sync", alone)
    lines = curve(train(changed(config, **{"engine.max_staleness": bound})))
    assert [line.get("engine/staleness") for line in lines] == (stale or [None] * 5)
    assert seen[-1] is False
    assert (seen[0], any(seen)) == ((True, True) if bound else (False, False))
    assert all(line["update/logprob_mismatch"] < 1e-3 for line in lines), "old log-probabilities are the trainer's own"
    assert all((line["engine/mismatch"] > 0.01) == bool(line.get("engine/staleness")) for line in lines)


def test_what_was_sampled_is_corrected_from_the_weights_that_sampled_it(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[ReferencePolicy] = []
    """The agent before each update."""
    gaps: list[tuple[float, float]] = []

    def watch(learn: Learn) -> Learn:
        def watched(samples: list[Sample], algorithm: Any, policy: Policy, *rest: Any) -> Any:
            kept.append(ReferencePolicy(policy))
            rows = [sample for sample in samples if sample.sampled]
            versions = kept[-1], kept[max(0, len(kept) - 2)]
            now, then = (version.logprobs(policy, rows) for version in versions)
            gaps.append(
                (
                    max(float(np.abs(np.subtract(a, row.old)).max()) for a, row in zip(now, rows, strict=True)),
                    max(float(np.abs(np.subtract(a, row.sampled)).max()) for a, row in zip(then, rows, strict=True)),
                )
            )
            return learn(samples, algorithm, policy, *rest)

        return watched

    watching(monkeypatch, watch)
    lines = curve(train(config))
    assert len(gaps) == 5
    assert np.max(gaps) < 1e-4
    assert any(abs(line["engine/weight"] - 1) > 1e-3 for line in lines), "importance weights see the difference"


def places(run: Path, update: int) -> dict[int, list[tuple[int, int]]]:
    """By environment, episode and number of each turn that an update learnt from."""
    found: dict[int, list[tuple[int, int]]] = {}
    for line in gzip.decompress((run / "turns" / f"update_{update:05d}.jsonl.gz").read_bytes()).splitlines():
        turn = json.loads(line)
        found.setdefault(turn["env"], []).append((turn["episode"], turn["turn"]))
    return found


def assert_nothing_is_lost(run: Path, updates: int) -> None:
    """Every environment's turns follow one another through all updates."""
    rows: dict[int, list[tuple[int, int]]] = {}
    for update in range(1, updates + 1):
        for env, turns in places(run, update).items():
            rows.setdefault(env, []).extend(turns)
    for turns in rows.values():
        for (episode, turn), after in pairwise(turns):
            assert after in ((episode, turn + 1), (episode + 1, 0))


@contextmanager
def running(config: Config) -> Iterator["subprocess.Popen[bytes]"]:
    words = []
    for key, value in settings_of(config).items():
        if key not in ("preset", "task.name", "algo.name") and value is not None:
            listed = value if isinstance(value, tuple) else (value,)
            words += [f"--{key}", *map(str, listed)]
    process = subprocess.Popen([sys.executable, "-m", "gtr", "train", "gtr", "--task", config.task.name, *words])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_run_that_is_killed_loses_the_rollout_under_way_alone(config: Config) -> None:
    stopped = changed(config, name="killed", **{"train.updates": 40, "train.eval_every": 0})
    folder = Path(stopped.runs) / "killed"
    with running(stopped) as process:
        wait_for_update(folder, process, 2)
    done = len(curve(folder))
    assert 2 < done < 40
    train(changed(stopped, **{"train.updates": done + 3}), resume=folder)
    lines = curve(folder)
    assert [line["update"] for line in lines] == list(range(1, done + 4))
    stale = [line["engine/staleness"] for line in lines]
    # It may have been killed after an update was written down and before its checkpoint was.
    assert (stale[0], stale.count(0), 0 in stale[done - 1 : done + 1]) == (0, 2, True)
    assert max(stale) == 1
    assert_nothing_is_lost(folder, done + 3)


def test_servers_that_die_while_the_trainer_learns_are_asked_anew(
    config: Config, server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def watch(learn: Learn) -> Learn:
        def watched(*given: Any) -> Any:
            if given[1].update == 2:
                server.process.kill()
                server.process.wait()
                torch.manual_seed(0)
            if given[1].update == 3:
                assert not asked_meanwhile(server, 10**9, 0.1)
            return learn(*given)

        return watched

    def late(self: Any, update: int, take: Callable[..., Any] = gtr.train.Rollouts.take) -> Any:
        if update == 3:
            self.settle()
            server.ready()
        return take(self, update)

    watching(monkeypatch, watch)
    monkeypatch.setattr(gtr.train.Rollouts, "take", late)
    run = train(changed(config, **{"engine.patience": 0.0, "train.turns": 12}))
    assert [line["engine/staleness"] for line in curve(run)] == [0, 1, 1, 0, 1]
    assert_nothing_is_lost(run, 5)

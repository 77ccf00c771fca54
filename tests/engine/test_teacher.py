"""A teacher behind a real server process of vLLM's protocol: what it says, and how it may fail."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import Any

import numpy as np
import pytest
import torch
from served import Served
from small import changed
from toys import CountTask

from gtr import checkpoint
from gtr.algo.opd import OPD
from gtr.config import Config, EngineConfig
from gtr.engine import served_teacher
from gtr.engine.teacher import ServedTeacher, tempered
from gtr.errors import ConfigError, EngineError, GtrError, PolicyError, RunError
from gtr.policy.policy import Policy
from gtr.policy.reference import OtherPolicy
from gtr.train import train
from gtr.types import Prompt, Sample

MakePolicy = Callable[..., Policy]
Settings = Callable[..., Config]
ASKED = ("500", "drop", "not_json", "nested", "other_ids", "few_logprobs", "no_tokens", "prompt", "cut")


# -- temperatures -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("temperature", [1.0, 0.6, 0.2, 1e-4])
def test_a_few_likely_tokens_tell_of_every_temperature(temperature: float) -> None:
    """Against the softmax of all logits; what is not told of errs by no more than is promised."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        logits = rng.normal(0, 4, 500)
        barred = frozenset(np.argsort(logits)[[-2, 3]].tolist())
        likely = logits - np.logaddexp.reduce(logits)
        token = int(rng.choice([one for one in np.argsort(logits)[-40:] if one not in barred]))
        row = {int(one): float(likely[one]) for one in {*np.argsort(logits)[-20:].tolist(), token}}
        free = [one for one in range(500) if one not in barred]
        wanted = logits[token] / temperature - np.logaddexp.reduce(logits[free] / temperature)
        found = tempered(row, temperature, barred)[token]
        rest = 1 - sum(np.exp(value) for value in row.values())
        known = np.logaddexp.reduce([value / temperature for one, value in row.items() if one not in barred])
        slack = np.logaddexp(known, np.log(rest) + (1 / temperature - 1) * sorted(row.values())[-20]) - known
        assert wanted - slack - 1e-6 <= found <= wanted + 1e-6 * (1 + abs(wanted)) + (temperature == 1) * 1e-6


# -- what it says -------------------------------------------------------------------------------------------------
@contextmanager
def teaching(server: Served, agent: Policy, **settings: Any) -> Iterator[ServedTeacher]:
    yield served_teacher(server.address, agent, EngineConfig(**{"timeout": 30.0, "patience": 0.0, **settings}))


def rows(policy: Policy, prompts: list[Prompt], temperature: float = 1.0) -> list[Sample]:
    replies = policy.generate(prompts)
    return [Sample(p, one.tokens, {}, temperature=temperature) for p, one in zip(prompts, replies, strict=True)]


@pytest.mark.slow
def test_it_scores_the_agents_own_tokens_under_the_picture(
    servers: list[Served], make_policy: MakePolicy, prompts: list[Prompt]
) -> None:
    """The server started with the agent's weights: its word is the agent's own, to rounding."""
    policy = make_policy()
    # Of forbidden tokens that are not among the likeliest, a server does not know.
    policy.network._forbidden = torch.tensor([], dtype=torch.long)
    samples = rows(policy, prompts)
    policy.network.eval()
    with teaching(servers[0], policy) as teacher:
        found = teacher.logprobs(policy, samples)
        assert teacher.logprobs(policy, []) == teacher.replies(policy, []) == []
        with torch.no_grad():
            scores = policy.score(prompts, [one.tokens for one in samples], temperatures=[1.0] * len(samples)).logprobs
        for row, wanted in zip(found, scores.tolist(), strict=True):
            assert row == pytest.approx(wanted[: len(row)], abs=1e-4)
        turned = [Sample(prompts[i - 1], one.tokens, {}) for i, one in enumerate(samples)]
        assert not np.allclose(found[1], teacher.logprobs(policy, turned)[1], atol=1e-5), "pictures count"


@pytest.mark.slow
@pytest.mark.parametrize(("temperature", "count", "tolerance"), [(1.0, 20, 1e-4), (0.02, 5, 5e-2)])
def test_it_tells_of_the_likeliest_tokens_as_a_teacher_here_does(
    temperature: float,
    count: int,
    tolerance: float,
    servers: list[Served],
    make_policy: MakePolicy,
    prompts: list[Prompt],
) -> None:
    """The same weights there and here; below temperature 1 as far as the 20 that it tells of go."""
    policy = make_policy()
    policy.network._forbidden = torch.tensor([], dtype=torch.long)
    samples = rows(policy, prompts, temperature)
    here = OtherPolicy(policy).likeliest(policy, samples, count)
    with teaching(servers[0], policy) as teacher:
        there = teacher.likeliest(policy, samples, count)
    for (_, (ids, wanted)), (_, (told, found)) in zip(here, there, strict=True):
        np.testing.assert_allclose(found, wanted, atol=tolerance)
        alike = np.diff(wanted, axis=1, prepend=0.0) < -1e-3
        assert (ids == told)[alike & np.roll(alike, -1, axis=1)].all(), "but for those that are as likely"


@pytest.mark.slow
def test_barred_tokens_are_not_told_of(servers: list[Served], make_policy: MakePolicy, prompts: list[Prompt]) -> None:
    policy = make_policy()
    samples = rows(policy, prompts)
    with teaching(servers[0], policy) as teacher:
        for _, (ids, logprobs) in teacher.likeliest(policy, samples, 20):
            named = ids[np.isfinite(logprobs)]
            assert len(named)
            assert not set(named.tolist()) & set(policy.network.forbidden)
            assert (np.exp(logprobs).sum(axis=1) <= 1 + 1e-5).all()


@pytest.mark.slow
def test_it_writes(servers: list[Served], make_policy: MakePolicy, prompts: list[Prompt]) -> None:
    policy = make_policy()
    with teaching(servers[0], policy) as teacher:
        drawn = []
        for seed in (1, 1, 2):
            torch.manual_seed(seed)
            drawn.append(teacher.replies(policy, prompts))
        assert drawn[0] == drawn[1] != drawn[2]
        greedy = policy.generate(prompts, greedy=True)
        assert [one.text for one in teacher.replies(policy, prompts, greedy=True)] == [one.text for one in greedy]


# -- faults -------------------------------------------------------------------------------------------------------
@pytest.mark.slow
@pytest.mark.parametrize("fault", ASKED)
def test_what_goes_wrong_once_is_asked_anew(
    fault: str, servers: list[Served], make_policy: MakePolicy, prompts: list[Prompt]
) -> None:
    policy = make_policy()
    samples = rows(policy, prompts)
    with teaching(servers[0], policy) as teacher:
        wanted = teacher.logprobs(policy, samples)
        servers[0].fault(fault, 3)
        assert teacher.logprobs(policy, samples) == wanted
        servers[0].fault(fault, 10_000)
        with pytest.raises(EngineError, match=servers[0].address):
            teacher.logprobs(policy, samples)


@pytest.mark.slow
def test_a_server_that_comes_back_goes_on(
    servers: list[Served], make_policy: MakePolicy, prompts: list[Prompt]
) -> None:
    policy = make_policy()
    samples = rows(policy, prompts)
    with teaching(servers[0], policy, patience=120.0, retries=50) as teacher:
        wanted = teacher.logprobs(policy, samples)
        servers[0].process.kill()
        servers[0].process.wait()
        Timer(2.0, servers[0].start).start()
        assert teacher.logprobs(policy, samples) == wanted


@pytest.mark.slow
def test_who_cannot_teach_is_told(
    servers: list[Served],
    make_policy: MakePolicy,
    build_model: Callable[..., Path],
    settings: Settings,
    prompts: list[Prompt],
) -> None:
    policy = make_policy()
    with pytest.raises(EngineError, match=r"algo\.teacher http://127\.0\.0\.1:9 cannot be reached.*gtr serve-engine"):
        served_teacher("http://127.0.0.1:9", policy, EngineConfig())
    other = make_policy(**{"policy.model": str(build_model("tiny-llava", "points24"))})
    with pytest.raises(EngineError, match=r"algo\.teacher.*reads a prompt as .*serves another model"):
        served_teacher(servers[0].address, other, EngineConfig())
    for key, value in (("policy.repetition_penalty", 1.2), ("policy.temperature", 1.5)):
        with pytest.raises(EngineError, match=key.replace(".", r"\.")):
            served_teacher(servers[0].address, make_policy(**{key: value}), EngineConfig())
    config = settings("opd", **{"algo.teacher": servers[0].address, "algo.top_k": 21})
    with pytest.raises(ConfigError, match=rf"algo\.top_k is 21, and the server at algo\.teacher {servers[0].address}"):
        OPD(config, CountTask(), policy)


@pytest.mark.parametrize("address", ["http://", "ftp://x", "http://u:p@host", "http://x y", "http://x/?a=1", "://"])
def test_addresses_are_checked_before_anything_is_loaded(address: str, settings: Settings) -> None:
    from gtr.config.checks import validate

    with pytest.raises(ConfigError, match=r"algo\.teacher holds"):
        validate(settings("opd", **{"algo.teacher": address}))


# -- whole runs ---------------------------------------------------------------------------------------------------
def curve(run: Path) -> list[dict[str, str]]:
    """As text: what is no number is equal to itself too."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: str(value) for key, value in line.items() if not key.startswith("seconds/")} for line in lines]


def weights(run: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in (run / "checkpoints/update_00002").rglob("*.safetensors")}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "more"), [("opd", {}), ("opd", {"algo.top_k": 4}), ("turbo_sft", {})])
def test_a_run_whose_teacher_falls_out_ends_and_goes_on_alike(
    name: str, more: dict[str, Any], settings: Settings, servers: list[Served]
) -> None:
    chosen = {"train.updates": 2, "engine.patience": 0.0, "engine.retries": 1, "policy.temperature": 1.0}
    config = settings(name, **chosen, **more, **{"algo.teacher": servers[0].address, "train.lr": 1e-3})
    before = servers[0].state()["requests"]
    whole = train(changed(config, name="whole"))
    assert [line["update"] for line in curve(whole)] == ["1", "2"]
    assert all(float(line["count/teacher_tokens"]) > 0 for line in curve(whole))
    servers[0].fault("drop", 10_000, after=int(0.7 * (servers[0].state()["requests"] - before)))
    stopping = changed(config, name="stopped")
    with pytest.raises(EngineError, match=r"algo\.teacher|no usable answer") as stopped:
        train(stopping)
    (note,) = [note for note in stopped.value.__notes__ if "gtr train --resume" in note]
    folder = Path(note.split("--resume ")[1].split()[0].strip("'\""))
    assert checkpoint.latest(folder / "checkpoints") == folder / "checkpoints" / "update_00001"
    # It comes back elsewhere.
    servers[1].ready()
    moved = changed(stopping, **{"algo.teacher": servers[1].address})
    train(moved, resume=folder)
    assert curve(folder) == curve(whole)
    assert weights(folder) == weights(whole)


@pytest.mark.slow
def test_a_teacher_of_a_folder_may_move_but_not_change(
    settings: Settings, make_policy: MakePolicy, tmp_path: Path
) -> None:
    make_policy(**{"policy.freeze_vision": False}).save(tmp_path / "teacher")
    config = settings("opd", **{"algo.teacher": str(tmp_path / "teacher"), "train.updates": 2})
    whole = train(changed(config, name="whole"))
    folder = whole.with_name("stopped")
    shutil.copytree(whole, folder, ignore=shutil.ignore_patterns("update_00002"))
    shutil.move(tmp_path / "teacher", tmp_path / "moved")
    stopping = changed(config, name="whole")
    with pytest.raises(PolicyError, match=rf"algo\.teacher {tmp_path / 'teacher'}: .*there is no folder"):
        train(stopping, resume=folder)
    weights_of = tmp_path / "moved" / "model.safetensors"
    sound = weights_of.read_bytes()
    weights_of.write_bytes(sound[: len(sound) // 2])
    here = changed(stopping, **{"algo.teacher": str(tmp_path / "moved")})
    with pytest.raises(GtrError, match=rf"algo\.teacher {tmp_path / 'moved'}: "):
        train(here, resume=folder)
    weights_of.unlink()
    with pytest.raises(GtrError, match=rf"algo\.teacher {tmp_path / 'moved'}: "):
        train(here, resume=folder)
    trained = changed(stopping, **{"algo.teacher": str(whole)})
    for other in (trained, changed(stopping, **{"algo.teacher": "base"})):
        with pytest.raises(RunError, match="is another than the run has learnt from"):
            train(other, resume=folder)
    weights_of.write_bytes(sound)
    train(here, resume=folder)
    assert curve(folder) == curve(whole)
    assert weights(folder) == weights(whole)

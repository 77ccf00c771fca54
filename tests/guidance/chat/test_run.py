"""Whole rollouts and runs under a chat corrector: nothing lost, nothing doubled, nothing paid twice, replayed alike."""

import gzip
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("openai")
from chat_cases import ScriptedPolicy, collector_of, load, replace, settings
from chat_server import Server

from gtr.config.presets import build
from gtr.errors import CorrectorError
from gtr.guidance import make_corrector
from gtr.tasks.reply import parse, write
from gtr.types import Judgement


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret-0123456789")


def journal(folder):
    return [json.loads(line) for line in (folder / "corrector" / "verdicts-0.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_two_thousand_turns_with_every_third_request_failing(tmp_path, monkeypatch):
    envs, turns, budget = 32, 63, 25.0
    task = load(settings(None))
    with Server(task, fault_share=0.3) as server:
        config = settings(
            server.url,
            envs=envs,
            turns=turns,
            **{"tools": "off", "structured": "json_schema", "timeout": 3.0, "retries": 6, "probe_seconds": 0.5},
            **{"in_flight": 64, "budget_usd": budget, "patience": 60.0},
        )
        corrector = make_corrector(config, task, tmp_path)
        collector = collector_of(config, server, corrector, ScriptedPolicy(task), monkeypatch)
        rollout = collector.collect()
        values = corrector.metrics()
        corrector.close()
    played = rollout.flat()
    lines = journal(tmp_path)
    places = [(line["env"], line["episode"], line["turn"]) for line in lines]
    counts = Counter(turn.verdict.judgement for turn in played)
    print(dict(counts), dict(server.failed), {name: round(value, 3) for name, value in values.items()})
    assert len(played) == len(lines) == envs * turns
    assert sorted(places) == sorted((turn.env, turn.episode, turn.index) for turn in played), "one line per turn"
    assert counts.total() == envs * turns
    assert server.failed.total() > 0.2 * len(server.requests)
    assert len(server.failed) == 11, "every kind of failure occurred"
    recorded = {place: line["verdict"] for place, line in zip(places, lines, strict=True)}
    for turn in played:
        noted = recorded[turn.env, turn.episode, turn.index]
        assert (noted["judgement"], noted["thought"]) == (turn.verdict.judgement, turn.verdict.thought)
        checks = task.check(turn.truth, turn.parsed, None)
        if turn.verdict.judgement is Judgement.INCORRECT:
            lesson = parse(write(turn.verdict.thought, "1"), True, task.thought_keys)
            assert all(task.check(turn.truth, lesson, None).values()), "a lesson of another turn"
            assert not all(checks.values())
        elif turn.verdict.judgement is Judgement.CORRECT:
            assert all(checks.values())
    assert counts[Judgement.ABSENT] < 0.1 * envs * turns
    billed = (server.billed_in * 2.5 + server.billed_out * 10) / 1e6
    spent = values["corrector/usd"] + values["corrector/usd_unsure"]
    assert 0 < billed <= spent <= budget
    assert values["corrector/requests"] >= len(server.requests)


def test_a_rollout_replays_without_a_network(tmp_path, monkeypatch):
    task = load(settings(None))
    with Server(task, fault_share=0.3, faults=("500", "schema", "huge")) as server:
        config = settings(server.url, envs=4, turns=6, structured="json_schema", tools="off", retries=1)
        corrector = make_corrector(config, task, tmp_path)
        collector = collector_of(config, server, corrector, ScriptedPolicy(task), monkeypatch)
        first = [turn.verdict for turn in collector.collect().flat()]
        corrector.close()
    asked = len(server.requests)
    replaying = replace(config, corrector=replace(config.corrector, replay=str(tmp_path)))
    corrector = make_corrector(replaying, task, tmp_path / "again")
    again = collector_of(replaying, server, corrector, ScriptedPolicy(task), monkeypatch)
    assert [turn.verdict for turn in again.collect().flat()] == first
    assert len({verdict.judgement for verdict in first}) > 2, "failures are replayed too"
    assert corrector.metrics()["corrector/requests"] == 0
    assert len(server.requests) == asked
    other = collector_of(replaying, server, corrector, ScriptedPolicy(task, seed=9), monkeypatch)
    with pytest.raises(CorrectorError, match="has no verdict for"):
        other.collect()
    corrector.close()
    with pytest.raises(CorrectorError, match="does not exist"):
        make_corrector(replace(config, corrector=replace(config.corrector, replay="nowhere")), task)


def test_verdicts_are_overlapped_with_playing(tmp_path, monkeypatch):
    """32 environments, 2 s a request: waiting for verdicts costs about one answer, not one per turn."""
    task = load(settings(None))
    with Server(task, delay=2.0) as server:
        config = settings(server.url, envs=32, turns=6, structured="json_schema", tools="off", in_flight=256)
        config = replace(config, corrector=replace(config.corrector, timeout=30.0))
        corrector = make_corrector(config, task, tmp_path)
        collector = collector_of(config, server, corrector, ScriptedPolicy(task), monkeypatch)
        started = time.monotonic()
        rollout = collector.collect()
        spent = time.monotonic() - started
        corrector.close()
    assert {turn.verdict.judgement for turn in rollout.flat()} >= {Judgement.CORRECT, Judgement.INCORRECT}
    assert server.most_at_once > 32, "more than one step's turns are asked about at a time"
    one_after_another = len(server.requests) * 2.0
    assert spent < one_after_another / 5


def small(url, tmp_path, model, **corrector):
    config = build("gtr", task="ezpoints", scale="tiny")
    chosen = {"base_url": url, "structured": "json_schema", "tools": "off", "retries": 1, "timeout": 20.0, **corrector}
    return replace(
        config,
        runs=str(tmp_path),
        sft=replace(config.sft, enabled=False),
        policy=replace(config.policy, model=str(model), max_new_tokens=12),
        guidance=replace(config.guidance, corrector="chat", stop_early=False),
        corrector=replace(config.corrector, **chosen),
        train=replace(config.train, updates=2, envs=3, turns=3, epochs=1, minibatch=9, eval_episodes=2),
        report=replace(config.report, probe_turns=0, trackers=()),
    )


MEASURED = ("guidance/", "episode/", "reply/", "loss/", "action/", "update/grad_norm")


def curve(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name.startswith(MEASURED)} for line in lines]


@pytest.mark.slow
def test_a_run_whose_server_dies_goes_on_pays_once_and_replays_to_the_same_curve(tmp_path, monkeypatch, build_model):
    import gtr.envs
    from gtr.train import train

    see = gtr.envs.VecEnv._see
    with Server(load(settings(None, "ezpoints")), delay=0.2) as server:

        def seen(self, state, image, info):
            see(self, state, image, info)
            server.show(state.prompt.image, state.truth)

        monkeypatch.setattr(gtr.envs.VecEnv, "_see", seen)
        dying = {"patience": 0.5, "probe_seconds": 0.2, "breaker": 2}
        config = small(server.url, tmp_path, build_model("tiny-llava", "ezpoints"), **dying)
        server.dies_after = 13  # Nine turns an update: in the middle of the second.
        with pytest.raises(CorrectorError, match="has been down for") as stopped:
            train(config)
        (run,) = tmp_path.glob("*/checkpoints")
        run = run.parent
        assert f"{run} stands after update 1 of 2; go on with: gtr train --resume {run}" in stopped.value.__notes__
        answered = len(journal(run))
        assert answered >= 10
        server.dies_after = None
        assert train(config, resume=run) == run
        asked = [line["key"] for line in journal(run) if line["source"] == "asked"]
        assert len(asked) == len(set(asked)), "nothing was paid for twice"
        assert curve(run)[1]["guidance/lesson"] > 0
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        assert lines[1]["corrector/usd"] >= lines[0]["corrector/usd"] > 0
        assert lines[1]["corrector/failed/server"] > 0
        requests = len(server.requests)
        again = train(replace(config, corrector=replace(config.corrector, replay=str(run))))
        assert len(server.requests) == requests
        assert curve(again) == curve(run)
    secret = b"sk-very-secret-0123456789"
    files = [file for file in Path(tmp_path).rglob("*") if file.is_file()]
    assert len(files) > 10
    assert not [file for file in files if secret in file.read_bytes()]


class Echoing(Server):
    """Repeats what it was called with in every answer, in letters and in JSON's spelling, and in its errors."""

    def answer(self, body, truth):
        answer = super().answer(body, truth)
        (bearer,) = self.keys
        if answer["correction"]:
            answer["correction"]["thoughts"] = f"{bearer} {answer['correction']['thoughts']}"
        return {**answer, "seen": bearer}

    def message(self, body):
        said = super().message(body)
        (bearer,) = self.keys
        spelt = "".join(f"\\u{ord(letter):04x}" for letter in bearer[7:])
        return {"content": said["content"].replace(bearer[7:], spelt)} if len(self.requests) % 2 else said


@pytest.mark.slow
def test_a_key_that_the_server_repeats_is_in_no_file_of_the_run(tmp_path, monkeypatch, build_model, caplog):
    import gtr.envs
    from gtr.train import train

    caplog.set_level("DEBUG")
    see = gtr.envs.VecEnv._see
    with Echoing(load(settings(None, "ezpoints")), fault_share=0.3, faults=("500",)) as server:

        def seen(self, env, image, info):
            see(self, env, image, info)
            server.show(env.prompt.image, env.truth)

        monkeypatch.setattr(gtr.envs.VecEnv, "_see", seen)
        run = train(small(server.url, tmp_path, build_model("tiny-llava", "ezpoints"), retries=9))
    assert server.failed["500"] > 0
    secret = b"sk-very-secret-0123456789"
    every = [file for file in Path(tmp_path).rglob("*") if file.is_file()]
    files = {file: (gzip.decompress if file.suffix == ".gz" else bytes)(file.read_bytes()) for file in every}
    assert not [file for file, data in files.items() if secret in data]
    told = [file for file, data in files.items() if b"Bearer (key)" in data]
    assert {file.parent.name for file in told} >= {"corrector", "turns"}, "the answers were kept"
    assert secret.decode() not in caplog.text
    assert curve(run)[0]["guidance/lesson"] > 0


@pytest.mark.slow
def test_interrupt_with_requests_in_flight_ends_in_seconds_with_a_checkpoint(tmp_path, build_model):
    task = load(settings(None, "ezpoints"))
    with Server(task) as server:
        words = "train gtr --task ezpoints --sft.enabled False --guidance.corrector chat --guidance.stop_early False"
        words += f" --corrector.base_url {server.url} --corrector.timeout 100 --train.envs 2 --train.turns 2"
        words += f" --policy.model {build_model('tiny-llava', 'ezpoints')}"
        words += " --train.minibatch 4 --train.eval_episodes 1 --policy.max_new_tokens 4 --report.probe_turns 0"
        command = [sys.executable, "-m", "gtr", *words.split(), "--runs", str(tmp_path / "runs")]
        running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        while not list((tmp_path / "runs").glob("*/checkpoints/update_00000")):
            time.sleep(0.05)
            assert running.poll() is None, running.stderr.read()
        # It was asked whether it is there; from here on it is slow.
        server.delay, answered = 120.0, len(server.requests)
        while len(server.requests) == answered:
            time.sleep(0.2)
            assert running.poll() is None, running.stderr.read()
        started = time.monotonic()
        running.send_signal(signal.SIGINT)
        said = running.communicate(timeout=60)[1]
        spent = time.monotonic() - started
    assert running.returncode == 130, said
    assert spent < 15, "seconds; the requests would have taken 100"
    assert "go on with: gtr train --resume" in said
    assert list((tmp_path / "runs").glob("*/checkpoints/update_00000"))

"""What is on file: whole lines or none on a full disk, and what cannot be used is set aside while the run goes on."""

import asyncio
import errno
import json
import os

import pytest

pytest.importorskip("openai")
from chat_cases import case_of, load, misread, replace, settings
from chat_server import Server

from gtr.config import CorrectorConfig
from gtr.errors import RunError
from gtr.guidance import make_corrector
from gtr.guidance.chat import local
from gtr.guidance.chat.costs import Ledger
from gtr.guidance.chat.dispatch import VerdictCache
from gtr.guidance.chat.model import Completion, FailureKind, Tokens
from gtr.report.files import JsonlFile
from gtr.types import Judgement, Verdict


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret-0123456789")


class FullDisk:
    """Takes so many bytes, in pieces of at most `piece`; then there is no room, or it says that it wrote nothing."""

    def __init__(self, monkeypatch, room, piece=3, silent=False, stuck=False):
        self.room, self.piece, self.silent, self.stuck = room, piece, silent, stuck
        self.write, self.cut = os.write, os.ftruncate
        monkeypatch.setattr(os, "write", self.written)
        monkeypatch.setattr(os, "ftruncate", self.truncated)

    def written(self, handle, data):
        size = min(self.room, self.piece, len(data))
        if size == 0 and not self.silent:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.room -= size
        return self.write(handle, bytes(data[:size])) if size else 0

    def truncated(self, handle, size):
        if self.stuck:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self.cut(handle, size)


LINES = [{"number": number, "text": "ß☕" * number} for number in range(4)]


def whole(path):
    data = path.read_bytes()
    assert data == b"" or data.endswith(b"\n")
    return [json.loads(line) for line in data.splitlines()]


def test_a_line_that_does_not_reach_the_disk_is_refused_and_cut_off(tmp_path, monkeypatch):
    path = tmp_path / "folder" / "lines.jsonl"
    synced = []
    real = os.fsync

    def noted(handle):
        synced.append(os.readlink(f"/proc/self/fd/{handle}"))
        real(handle)

    monkeypatch.setattr(os, "fsync", noted)
    file = JsonlFile(path)
    file.append(LINES[1])
    assert {str(path), str(path.parent), str(tmp_path)} <= set(synced)
    synced.clear()
    file.append(LINES[2])
    assert synced == [str(path)]

    def broken(handle):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(RunError, match=r"lines\.jsonl cannot be written \(Input/output error\)"):
        file.append(LINES[3])
    assert whole(path) == LINES[1:3]


@pytest.mark.parametrize("silent", [False, True])
@pytest.mark.parametrize("stuck", [False, True])
def test_a_line_is_whole_or_not_there_wherever_the_disk_is_full(silent, stuck, tmp_path, monkeypatch):
    size = sum(len(json.dumps(line)) + 1 for line in LINES)
    reasons = set()
    for room in range(size + 1):
        path = tmp_path / f"{room}.jsonl"
        file = JsonlFile(path)
        with monkeypatch.context() as patch:
            disk = FullDisk(patch, room, silent=silent, stuck=stuck)
            kept = []
            for line in LINES:
                try:
                    file.append(line)
                    kept.append(line)
                except RunError as error:
                    reasons.add(str(error).partition("(")[2].partition(")")[0])
            assert len(kept) == len(LINES) or disk.room < 80
            if not stuck:
                assert whole(path) == kept
        for again in (file, JsonlFile(path)):  # The same process once there is room, and another one.
            again.append({"room": "again"})
            assert whole(path) == [*kept, {"room": "again"}]
            kept.append({"room": "again"})
            again.close()
    assert reasons == {"No space left on device"} | ({"Input/output error"} if stuck else set())


def spend(ledger, cache, case):
    for _ in range(9):
        ledger.answered(ledger.reserve(1.0), 0.5, Tokens(9, 9), 1.0)
        cache.write(case, "key", Verdict(Judgement.CORRECT), "asked")


def test_a_full_disk_leaves_ledger_and_verdicts_whole_and_every_dollar_counted(tmp_path, monkeypatch):
    case = case_of(load(settings(None)), misread)
    for room in range(0, 400, 7):
        folder = tmp_path / str(room)
        ledger, cache = Ledger(folder / "requests.jsonl", 10.0), VerdictCache(folder / "verdicts.jsonl")
        ledger.reserve(1.0)
        with monkeypatch.context() as patch:
            FullDisk(patch, room)
            with pytest.raises(RunError):
                spend(ledger, cache, case)
        ledger.close()
        lines = whole(folder / "requests.jsonl")
        after = Ledger(folder / "requests.jsonl", 10.0)
        answered = [line["usd"] for line in lines if "usd" in line]
        reserved = [line["at_most"] for line in lines if "at_most" in line]
        assert after.usd == sum(answered)
        assert after.usd_unsure == len(reserved) - len(answered), "what was under way counts at its most"
        after.close()
        again = VerdictCache(folder / "verdicts.jsonl")
        again.write(case, "other", Verdict(Judgement.CORRECT), "asked")
        assert whole(folder / "verdicts.jsonl")[-1]["key"] == "other"


def test_a_full_disk_ends_the_run_with_a_clear_error_and_nothing_hangs(tmp_path, monkeypatch):
    task = load(settings(None))
    cases = [case_of(task, misread, seed=seed, env=seed) for seed in range(8)]
    with Server(task) as server:
        for case in cases:
            server.show(case.prompt.image, case.truth)
        config = settings(server.url, structured="json_schema", tools="off")
        corrector = make_corrector(config, task, tmp_path)
        with monkeypatch.context() as patch:
            FullDisk(patch, 1500)
            ends = [future.exception(20) for future in corrector.judge(cases)]
        corrector.close()
        assert {type(end) for end in ends if end is not None} == {RunError}
        again = make_corrector(config, task, tmp_path)
        assert all(future.result(20).judgement is not Judgement.ABSENT for future in again.judge(cases))
        again.close()


THOUGHT = {"cards": [2, 4, 4, 10], "formula": "(2+4)*4=", "thoughts": "next symbol is ("}
GOOD = {
    "judgement": "incorrect",
    "thought": THOUGHT,
    "action": "(",
    "answers": {"perception": True},
    "target": "(2+4)*4=",
    "stop": False,
    "score": None,
}
BAD = {
    "judgement": ["fine", 1, None, [], {}],
    "thought": ["text", 3, [], {"thoughts": "<image>"}, {"thoughts": "x" * 3000}, {"cards": [1] * 9000}],
    "action": [3, [], {}, "</s>", True],
    "answers": [None, "yes", {"perception": "yes"}, {"perception": 1}, [True]],
    "target": [3, [], "<|im_end|>", "y" * 3000],
    "stop": [None, "no", 1, []],
    "score": ["good", -0.1, 1.1, [], {"a": 1}],
}


def line(**changes):
    return {"env": 0, "episode": 0, "turn": 0, "key": "k", "source": "asked", "verdict": {**GOOD, **changes}}


def test_verdicts_that_cannot_be_used_are_set_aside_with_a_message(tmp_path, caplog):
    bad = [{**line(**{name: value}), "key": f"{name} {value}"} for name, values in BAD.items() for value in values]
    bad += [{**line(), name: value} for name in ("env", "episode", "turn", "key") for value in (None, [], {}, 1.5)]
    bad += [{}, {"verdict": None}, {**line(), "verdict": []}]
    texts = [json.dumps(one) for one in bad]
    texts += ["", "null", "[]", "3", "{", '{"env": 0}{"env": 1}', "[" * 50_000, json.dumps(line())[:90], "\xff", '"x"']
    texts += [
        json.dumps(line()).replace('"score": null', f'"score": {value}') for value in ("NaN", "1e999", "9" * 5000)
    ]
    for number, text in enumerate(texts):
        path = tmp_path / f"{number}.jsonl"
        first, last = {**line(), "key": "first"}, {**line(), "key": "last", "turn": 7}
        path.write_bytes(f"{json.dumps(first)}\n{text}\n{json.dumps(last)}\n".encode("latin-1"))
        caplog.clear()
        cache = VerdictCache(path)
        assert cache._answers.keys() == {"first", "last"}, text[:200]
        (record,) = caplog.records
        assert f"{path}: 1 lines cannot be used and are set aside (line 2: " in record.getMessage()
        assert len(record.getMessage()) < 500
        cache.close()


def test_a_kept_verdict_is_as_fit_to_be_learnt_from_as_a_fresh_one(tmp_path, caplog):
    """An older version kept half an emoji, and died of it at every resume."""
    thought = {**THOUGHT, "thoughts": "a\ud83d b\x00c\x1b[31m \ude00 next symbol is ("}
    path = tmp_path / "verdicts.jsonl"
    path.write_text(json.dumps(line(judgement="wrong", thought=thought, target="\ud83d")) + "\n")
    kept = VerdictCache(path).find("k")
    assert kept.judgement is Judgement.INCORRECT
    assert kept.thought["thoughts"] == "a\ufffd b c [31m \ufffd next symbol is ("
    assert kept.target == "\ufffd"
    assert not caplog.records


def test_a_damaged_run_is_resumed_and_replayed_but_for_what_is_lost(tmp_path):
    task = load(settings(None))
    cases = [case_of(task, misread, seed=seed, env=seed) for seed in range(3)]
    with Server(task) as server:
        for case in cases:
            server.show(case.prompt.image, case.truth)
        config = settings(server.url, structured="json_schema", tools="off")
        corrector = make_corrector(config, task, tmp_path)
        first = [future.result(20) for future in corrector.judge(cases)]
        corrector.close()
        for name in ("verdicts", "requests"):
            path = tmp_path / "corrector" / f"{name}-0.jsonl"
            lines = path.read_text().splitlines(keepends=True)
            path.write_text(
                "".join([lines[0], lines[1][:40] + lines[2], *lines[3:], lines[0][:20]])
            )  # Glued, and torn.
        again = make_corrector(config, task, tmp_path)
        assert [future.result(20) for future in again.judge(cases)] == first
        again.close()
        assert len(server.requests) == 5, "the two glued ones were asked about again"
        replaying = replace(config, corrector=replace(config.corrector, replay=str(tmp_path)))
        replayed = make_corrector(replaying, task, tmp_path / "again")
        assert [future.result(20) for future in replayed.judge(cases)] == first
        replayed.close()


NUMBERS = ("null", '"1"', "[]", "{}", "true", "-1", "NaN", "1e999", "-Infinity", "9" * 400)


def test_a_damaged_ledger_never_counts_less_than_can_have_been_spent(tmp_path, caplog):
    for number, (name, value) in enumerate(
        (name, value) for name in ("usd", "in", "seconds", "request") for value in NUMBERS
    ):
        path = tmp_path / f"{number}.jsonl"
        ledger = Ledger(path, 10.0)
        for _ in range(2):
            ledger.answered(ledger.reserve(1.0), 0.25, Tokens(5, 5), 1.0)
        ledger.close()
        lines = path.read_text().splitlines()
        record = json.loads(lines[1])
        lines[1] = json.dumps({**record, name: "@"}).replace('"@"', value)
        path.write_text("\n".join(lines) + "\n")
        caplog.clear()
        after = Ledger(path, 10.0)
        assert after.usd == 0.25
        assert after.usd_unsure == 1.0, "its request is open, and counts at its most"
        assert "1 lines cannot be used" in caplog.text
        after.failed(after.reserve(1.0), FailureKind.SERVER, 0.0, 1.0)
        after.close()


def test_a_local_model_whose_ledger_cannot_be_written_leaves_nobody_waiting(tmp_path, monkeypatch):
    class Quick:
        def __init__(self, config):
            pass

        def answer(self, chats):
            return [local.Generated("{}", Tokens(1, 1), False) for _ in chats]

        def stop(self):
            pass

    async def asked(ledger):
        model = local.HFChat(CorrectorConfig(), ledger)
        ends = [await asyncio.gather(*(model.ask([]) for _ in range(3)), return_exceptions=True)]
        with monkeypatch.context() as patch:
            FullDisk(patch, 3 * 80)  # Room for what is reserved, and for one answer at most.
            ends.append(await asyncio.gather(*(model.ask([]) for _ in range(3)), return_exceptions=True))
        ends.append(await asyncio.gather(model.ask([]), return_exceptions=True))
        await model.close()
        return [{type(end) for end in some} for some in ends]

    monkeypatch.setattr(local, "Generator", Quick)
    first, full, after = asyncio.run(asyncio.wait_for(asked(Ledger(tmp_path / "requests.jsonl", None)), 20))
    assert first == after == {Completion}
    assert RunError in full
    whole(tmp_path / "requests.jsonl")

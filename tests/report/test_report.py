"""Run folders: nothing is overwritten, nothing torn, nothing lost, and what was written is read back."""

import gzip
import io
import json
import logging
import math
import multiprocessing
import os
import signal
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pictures
from rich.console import Console

from gtr.config import Config, ReportConfig
from gtr.config.io import config_from_dict
from gtr.config.presets import build
from gtr.errors import RunError
from gtr.report import Progress, Run, RunFolder, progress
from gtr.report.files import append_line, drop_torn_line, encode, plain, read_lines, write_whole
from gtr.report.fingerprint import code_version, differences, fingerprint
from gtr.report.transcript import Trace
from gtr.types import Ending, Judgement, Parsed, Prompt, Reply, ReplyStatus, Truth, Turn, Verdict


def config_in(folder: Path, **changes: Any) -> Config:
    config = build("gtr")
    config = replace(config, train=replace(config.train, updates=30), report=ReportConfig(trackers=()))
    return replace(config, runs=str(folder), **changes)


def turn(shade: int = 0, index: int = 0, text: str = '{"action": "2"}', **changes: Any) -> Turn:
    image = np.full((8, 6, 3), shade, np.uint8)
    image[0, 0] = (1, 2, 3)
    return replace(
        Turn(
            env=1,
            episode=2,
            index=index,
            prompt=Prompt(image, "Make 24."),
            truth=Truth({"Numbers": np.array([2, 4]), "value": Fraction(7, 2)}),
            reply=Reply(text, (5, 6), (-0.5, -0.25), True, value=0.125),
            parsed=Parsed(ReplyStatus.COMPLETE, {"cards": [2, 4]}, "2", (12, 13)),
            legal=True,
            reward=-1.0,
            ending=Ending.STOPPED,
            verdict=Verdict(Judgement.INCORRECT, {"cards": [2, 4]}, "4", {"perception": False}, "2*4", stop=True),
        ),
        **changes,
    )


# -- files --------------------------------------------------------------------------------------------------------


def test_json_is_strict_and_finite_metrics_come_back(tmp_path: Path) -> None:
    values = {"a": math.nan, "b": math.inf, "c": -math.inf, "d": np.float32(0.5), "e": 3, "f": 0.1 + 0.2}
    text = encode(values).decode()
    read = {"a": None, "b": "Infinity", "c": "-Infinity", "d": 0.5, "e": 3, "f": 0.1 + 0.2}
    assert json.loads(text, parse_constant=pytest.fail) == read
    with RunFolder.create(config_in(tmp_path)) as folder:
        folder.write_metrics(1, values)
    assert Run(folder.path).metrics() == [{"update": 1, "d": 0.5, "e": 3.0, "f": 0.1 + 0.2}]


def test_anything_a_task_reports_can_be_written() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    odd = {"deep": deep, 3: {2, 1}, "kind": Ending.RUNNING, "half": Fraction(1, 2), "object": object, "text": "\ud800"}
    read = json.loads(encode(odd))
    assert read["3"] == [1, 2]
    assert (read["kind"], read["half"], read["text"]) == ("running", "1/2", "\ud800")
    assert plain(np.arange(4).reshape(2, 2)) == [[0, 1], [2, 3]]


def test_torn_last_line_is_dropped_with_a_note(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "metrics.jsonl"
    append_line(file, {"update": 1})
    append_line(file, {"update": 2})
    whole = file.read_bytes()
    for cut in range(1, len('{"update": 2}\n')):
        file.write_bytes(whole[:-cut])
        with caplog.at_level(logging.WARNING, "gtr"):
            assert read_lines(file) == [{"update": 1}]
        drop_torn_line(file)
        append_line(file, {"update": 2})
        assert file.read_bytes() == whole
    assert "cut off in mid-write" in caplog.text


def test_damage_in_the_middle_is_named(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    file.write_bytes(b'{"update": 1}\n{"upd\n{"update": 3}\n')
    with pytest.raises(RunError, match=r"metrics\.jsonl, line 2"):
        read_lines(file)


def test_failed_writes_leave_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines, whole = tmp_path / "metrics.jsonl", tmp_path / "config.json"
    append_line(lines, {"update": 1})
    write_whole(whole, b"old")
    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(OSError, match="No space"):
        append_line(lines, {"update": 2})
    with pytest.raises(OSError, match="No space"):
        write_whole(whole, b"new")
    assert read_lines(lines) == [{"update": 1}]
    assert whole.read_bytes() == b"old"
    assert sorted(os.listdir(tmp_path)) == ["config.json", "metrics.jsonl"]


def no_space(_: int) -> None:
    raise OSError(28, "No space left on device")


# -- the folder ---------------------------------------------------------------------------------------------------


def test_a_run_never_overwrites_another(tmp_path: Path) -> None:
    paths = []
    for _ in range(3):
        with RunFolder.create(config_in(tmp_path)) as folder:
            paths.append(folder.path.name)
    assert paths == ["gtr-points24-1", "gtr-points24-1-2", "gtr-points24-1-3"]
    assert not list(tmp_path.glob(".new*"))


def test_runs_made_at_the_same_moment_get_their_own_folders(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        names = pool.map(create_one, [tmp_path] * 12)
    assert len(set(names)) == 12
    assert all((tmp_path / name / "config.json").exists() for name in names)


def create_one(path: Path) -> str:
    with RunFolder.create(config_in(path)) as folder:
        return folder.path.name


EXAMPLE = Path(__file__).parents[2] / "examples" / "dots.py"


def test_names(tmp_path: Path) -> None:
    with RunFolder.create(config_in(tmp_path, name="mine", seed=7)) as folder:
        assert folder.path == tmp_path / "mine"
    with RunFolder.create(replace(build("rl4vlm", f"{EXAMPLE}:DotsTask"), runs=str(tmp_path), seed=7)) as folder:
        assert folder.path == tmp_path / "rl4vlm-dots-7"


def test_config_comes_back_equal(tmp_path: Path) -> None:
    with RunFolder.create(config_in(tmp_path, seed=5)) as folder:
        assert config_from_dict(json.loads((folder.path / "config.json").read_text())) == folder.config
    with RunFolder.open(folder.path) as again:
        assert again.config == folder.config


def test_metrics_come_back_and_are_truncated(tmp_path: Path) -> None:
    with RunFolder.create(config_in(tmp_path)) as folder:
        for update in range(5):
            folder.write_metrics(update, {"success": update / 3, "gap": math.nan})
            folder.write_turns(update, [turn(update)])
            folder.write_evaluation(update, {"success": update / 3, "health": {"a": math.nan}}, [turn(update)])
            folder.write_probe(update, {"scores": [[0.0]]})
        folder.truncate_to(2)
        run = Run(folder.path)
        assert run.evaluated_updates() == [0, 1, 2]
        found = run.evaluation(2)
        assert (found["success"], found["health"], found["episodes"]) == (2 / 3, {}, None)
        assert [record["turn"] for record in run.panel(2)] == [0]
        assert run.panel(4) == []
        assert run.metrics() == [{"update": i, "success": i / 3} for i in range(3)]
        assert run.updates_with_turns() == [0, 1, 2]
        assert sorted(os.listdir(folder.path / "probes")) == [f"update_0000{i}.json" for i in range(3)]
        assert (run.turns(4), run.problems) == ([], [])


def test_lines_that_are_gone_are_told_when_a_run_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with RunFolder.create(config_in(tmp_path)) as folder:
        for update in (1, 2, 3):
            folder.write_metrics(update, {"loss": 1.0})
        folder.truncate_to(3)
        assert not caplog.records
        folder.truncate_to(5)
    assert "has no line for 2 of 5 updates" in caplog.text


def test_truncating_and_writing_anew_gives_the_same_bytes(tmp_path: Path) -> None:
    with RunFolder.create(config_in(tmp_path)) as folder:
        for update in (1, 2, 3):
            folder.write_metrics(update, {"loss": 1 / update, "none": math.nan, "all": math.inf})
        before = (folder.path / "metrics.jsonl").read_bytes()
        folder.truncate_to(1)
        for update in (2, 3):
            folder.write_metrics(update, {"loss": 1 / update, "none": math.nan, "all": math.inf})
        assert (folder.path / "metrics.jsonl").read_bytes() == before


def test_transcript_holds_every_field_and_each_picture_once(tmp_path: Path) -> None:
    turns = [turn(0), turn(0, index=1, verdict=None), turn(9)]
    with RunFolder.create(config_in(tmp_path)) as folder:
        folder.write_turns(12, turns, advantages=[0.5, math.nan, -1])
        file = folder.path / "turns" / "update_00012.jsonl.gz"
        first = file.read_bytes()
        folder.write_turns(12, turns, advantages=[0.5, math.nan, -1])
        assert file.read_bytes() == first
        run = Run(folder.path)
        records = run.turns(12)
        assert len(list((folder.path / "images").iterdir())) == 2
        shown = np.asarray(Pictures.open(io.BytesIO(run.picture(records[2]["image"]) or b"")))
    assert np.array_equal(shown, turns[2].prompt.image)
    assert records[0] == {
        "env": 1,
        "episode": 2,
        "turn": 0,
        "prompt": "Make 24.",
        "image": records[1]["image"],
        "reply": '{"action": "2"}',
        "tokens": 2,
        "logprob": -0.75,
        "finished": True,
        "status": "complete",
        "fields": {"cards": [2, 4]},
        "action": "2",
        "implied": None,
        "legal": True,
        "reward": -1.0,
        "judge_reward": 0.0,
        "value": 0.125,
        "bootstrap": 0.0,
        "advantage": 0.5,
        "ending": "stopped",
        "success": False,
        "verdict": {
            "judgement": "incorrect",
            "thought": {"cards": [2, 4]},
            "action": "4",
            "answers": {"perception": False},
            "target": "2*4",
            "stop": True,
            "score": None,
        },
        "truth": {"Numbers": [2, 4], "value": "7/2"},
        "checks": None,
        "expert": None,
        "ratio": None,
        "per_token": None,
        "lesson": None,
    }
    assert (records[1]["verdict"], records[1]["advantage"]) == (None, None)


def test_traces_are_kept_token_by_token(tmp_path: Path) -> None:
    taught = {"text": "24", "ends": [1, 2, 2], "weights": [1.0, 0.0, 0.0]}
    traces = [Trace([7, 15], [0.5, 1.0], [-0.5, 0.0], math.exp(0.25), taught), Trace([7, 15])]
    with RunFolder.create(config_in(tmp_path)) as folder:
        folder.write_turns(1, [turn(), turn()], traces=traces)
        folder.write_evaluation(0, {"success": 0.0}, [turn()], traces[1:])
        first, second = Run(folder.path).turns(1)
        panel = Run(folder.path).panel(0)
    assert first["ratio"] == 1.284
    assert first["per_token"] == {
        "ends": [7, 15],
        "logprobs": [-0.5, -0.25],
        "weights": [[1, 0.5], [1, 1.0]],
        "ratios": [1.0, 1.284],
    }
    assert first["lesson"] == {"text": "24", "ends": [1, 2, 2], "weights": [[1, 1.0], [2, 0.0]]}
    assert second["per_token"] == {"ends": [7, 15], "logprobs": [-0.5, -0.25], "weights": [], "ratios": []}
    assert (second["ratio"], second["lesson"]) == (None, None)
    assert panel[0]["per_token"] == second["per_token"]


def test_advantages_must_match_turns(tmp_path: Path) -> None:
    with RunFolder.create(config_in(tmp_path)) as folder, pytest.raises(ValueError, match="shorter"):
        folder.write_turns(1, [turn(), turn()], advantages=[0.5])


def test_two_writers_exclude_each_other_and_readers_do_not(tmp_path: Path) -> None:
    with RunFolder.create(config_in(tmp_path)) as folder:
        folder.write_metrics(1, {"success": 1.0})
        with pytest.raises(RunError, match=f"being written by process {os.getpid()} on"):
            RunFolder.open(folder.path)
        reader = RunFolder.open(folder.path, main=False)
        reader.write_metrics(2, {"success": 0.0})
        reader.write_turns(2, [turn()])
        reader.truncate_to(0)
        run = Run(folder.path)
        assert [line["update"] for line in run.metrics()] == [1]
        assert run.updates_with_turns() == []
    RunFolder.open(folder.path).close()


WRITER = """
import sys, os
from gtr.report import Run, RunFolder
folder = RunFolder.open(sys.argv[1])
update = len(Run(folder.path).metrics())
while True:
    update += 1
    folder.write_metrics(update, {"success": 1 / update, "text": 0.0})
    print(update, flush=True)
"""


def test_sigkill_loses_no_line_that_was_written_and_frees_the_lock(tmp_path: Path) -> None:
    RunFolder.create(config_in(tmp_path, name="run")).close()
    path = tmp_path / "run"
    for _ in range(3):
        before = len(Run(path).metrics())
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        promised = [int(writer.stdout.readline()) for _ in range(20)][-1]
        writer.send_signal(signal.SIGKILL)
        promised = [promised, *(int(line) for line in writer.stdout.read().split())][-1]
        writer.wait()
        with RunFolder.open(path) as folder:
            updates = [line["update"] for line in Run(folder.path).metrics()]
        assert updates == list(range(1, len(updates) + 1))
        assert len(updates) >= promised >= before + 20


def test_whatever_ends_a_run_says_how_to_go_on(tmp_path: Path) -> None:
    path = tmp_path / "run"
    folder = RunFolder.create(config_in(tmp_path, name="run"))
    folder.write_metrics(3, {"success": 0.5})
    with pytest.raises(KeyboardInterrupt) as stop, folder:
        raise KeyboardInterrupt
    assert stop.value.__notes__ == [f"{path} stands after update 3 of 30; go on with: gtr train --resume {path}"]
    (path / "checkpoints" / "update_00002").mkdir()
    assert "stands after update 2 of 30" in RunFolder.open(path, main=False).standing(), "where it would go on"


def test_folders_that_are_no_runs(tmp_path: Path) -> None:
    RunFolder.create(config_in(tmp_path, name="first")).close()
    with pytest.raises(RunError, match="did you mean 'first'"):
        RunFolder.open(tmp_path / "frist")
    with pytest.raises(RunError, match="no runs in"):
        RunFolder.open(tmp_path / "first" / "checkpoints")
    config = tmp_path / "first" / "config.json"
    config.write_text(config.read_text().replace('"seed": 1', '"sead": 1', 1))
    with pytest.raises(RunError, match=r"another version of gtr.*'seed'"):
        RunFolder.open(tmp_path / "first")
    config.write_text("{")
    with pytest.raises(RunError, match="damaged"):
        RunFolder.open(tmp_path / "first")


def test_a_place_that_cannot_hold_runs(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="choose another folder with --runs"):
        RunFolder.create(config_in(tmp_path / "file"))


# -- fingerprint --------------------------------------------------------------------------------------------------


def test_fingerprint_names_versions_code_and_seeds(tmp_path: Path) -> None:
    entry = fingerprint(config_in(tmp_path, seed=9), device="cpu")
    assert entry["packages"]["numpy"] == np.__version__
    assert entry["seeds"] == {"run": 9, "sft": 0}
    root = Path(__file__).parents[2]
    if (root / ".git").exists():
        head = subprocess.run(["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True).stdout
        assert code_version() is not None
        assert entry["code"]["commit"] == head.strip()


def test_resuming_elsewhere_names_what_differs(tmp_path: Path) -> None:
    with RunFolder.create(config_in(tmp_path)) as folder:
        assert folder.write_fingerprint(device="cpu") == []
        assert folder.write_fingerprint(device="cpu") == []
        assert folder.write_fingerprint(device="gpu") == ["device: cpu -> gpu"]
        assert len(json.loads((folder.path / "fingerprint.json").read_text())) == 3
    assert differences({"python": "3.11"}, {"python": "3.12", "command": ["x"]}) == ["python: 3.11 -> 3.12"]


# -- TensorBoard and progress -------------------------------------------------------------------------------------


def test_tensorboard_shows_curves_and_forgets_what_was_truncated(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = replace(config_in(tmp_path, name="run"), report=ReportConfig())
    with RunFolder.create(config) as folder:
        for update in (1, 2, 3):
            folder.write_metrics(update, {"success": float(update), "gap": math.nan})
        folder.write_turns(3, [turn(index=4), turn(text="first thought")])
    with RunFolder.open(folder.path) as folder:
        folder.truncate_to(1)
        folder.write_metrics(2, {"success": 20.0})
    events = EventAccumulator(str(folder.path / "tensorboard"))
    events.Reload()
    assert [(point.step, point.value) for point in events.Scalars("success")] == [(1, 1.0), (2, 20.0)]
    assert events.Tags()["scalars"] == ["success"]


def test_tensorboard_example_is_the_first_turn_of_an_episode(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with RunFolder.create(replace(config_in(tmp_path), report=ReportConfig())) as folder:
        folder.write_turns(3, [turn(index=4, text="later"), turn(7, text="first thought")])
    events = EventAccumulator(str(folder.path / "tensorboard"))
    events.Reload()
    assert b"first thought" in events.Tensors("example/thought/text_summary")[0].tensor_proto.string_val[0]
    picture = Pictures.open(io.BytesIO(events.Images("example/image")[0].encoded_image_string))
    assert np.array_equal(np.asarray(picture), turn(7).prompt.image)


def test_progress_is_plain_lines_outside_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    out = io.StringIO()
    with Progress(10, already=4, console=Console(file=out, width=200)) as shown:
        now[0] += 20
        values = {"episode/success": 0.25, "thought/perception": math.nan, "guidance/correction": 0.5}
        shown.update(5, values, turns=100)
        now[0] += 20
        shown.update(6, {"episode/success": 0.75}, turns=100)
    assert out.getvalue().splitlines() == [
        "update 5/10  success 0.25  corrected 0.50  5.0 turns/s  1:40 left",
        "update 6/10  success 0.75  5.0 turns/s  1:20 left",
    ]


def test_progress_is_a_bar_in_a_terminal() -> None:
    out = io.StringIO()
    with Progress(2, console=Console(file=out, width=100, force_terminal=True)) as shown:
        shown.stage("collect")
        shown.update(1, {"episode/success": 0.25}, turns=10)
    assert "update 1/2" in out.getvalue()
    assert "success 0.25" in out.getvalue()


def test_clock() -> None:
    assert [progress.clock(seconds) for seconds in (0, 59.6, 3800)] == ["0:00", "1:00", "1:03:20"]


def test_turn_files_are_ordinary_gzip(tmp_path: Path) -> None:
    with RunFolder.create(config_in(tmp_path)) as folder:
        folder.write_turns(1, [turn()])
        data = gzip.decompress((folder.path / "turns" / "update_00001.jsonl.gz").read_bytes())
    assert json.loads(data)["reply"] == '{"action": "2"}'

"""Trackers: only the chosen one is imported, a missing one is told at once, and no point is told twice."""

import json
import os
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gtr.cli import run
from gtr.cli.train import parse_train
from gtr.config import ReportConfig
from gtr.config.presets import build
from gtr.errors import ConfigError, RunError
from gtr.report import RunFolder, trackers
from gtr.report.trackers import Sent, public_settings
from gtr.types import Ending, Judgement, Parsed, Prompt, Reply, ReplyStatus, Truth, Turn, Verdict

SECRET = "sk-0123456789abcdef0123456789abcdef01234567"


def turn(text: str = "a thought") -> Turn:
    image = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(8, 8, 3)
    read = Parsed(ReplyStatus.COMPLETE, {"thoughts": text}, "2", None)
    verdict = Verdict(Judgement.INCORRECT, {"thoughts": "better"}, "4", {"plan": False})
    reply = Reply(text, (1,), (-0.5,), True)
    return Turn(0, 0, 0, Prompt(image, "Make 24."), Truth({}), reply, read, True, 1.0, Ending.RUNNING, verdict=verdict)


def play(folder: RunFolder, updates: range) -> None:
    """What training writes, for some updates."""
    with folder:
        folder.connect()
        for update in updates:
            folder.write_turns(update, [turn(f"thought {update} \x1b[31m")])
            folder.write_metrics(update, {"success": update / 10, "gap": float("nan")})


def interrupted(folder: Path, name: str) -> Path:
    """A run of updates 1 to 3 that was thrown back to 2 and went on to 4."""
    config = replace(build("gtr"), runs=str(folder), name="run", report=ReportConfig(trackers=(name,)))  # type: ignore[arg-type]
    play(made := RunFolder.create(config), range(1, 4))
    again = RunFolder.open(made.path)
    again.connect()
    again.truncate_to(2)
    play(again, range(3, 5))
    return made.path


# -- only what is chosen -----------------------------------------------------------------------------------------------

WATCH = """
import sys
from dataclasses import replace
import numpy as np
from gtr.config import ReportConfig
from gtr.config.presets import build
from gtr.report import RunFolder
sys.path.insert(0, sys.argv[1])
from test_trackers import play
if sys.argv[3] == "train":
    import gtr.train, gtr.compare
chosen = tuple(sys.argv[4:])
with RunFolder.create(replace(build("gtr"), runs=sys.argv[2], report=ReportConfig(trackers=chosen))) as folder:
    play(folder, range(1, 2))
print([name for name in ("wandb", "trackio", "tensorboard") if name in sys.modules])
"""


@pytest.mark.parametrize("chosen", [(), ("tensorboard",)], ids=["none", "tensorboard"])
def test_only_the_chosen_tracker_is_imported(tmp_path: Path, chosen: tuple[str, ...]) -> None:
    command = [sys.executable, "-c", WATCH, str(Path(__file__).parent), str(tmp_path), "train", *chosen]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == repr(list(chosen))


def test_a_missing_tracker_is_told_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(trackers, "find_spec", lambda name: None)
    for words in ("train gtr", "compare gtr --out", "sft gtr"):
        rest = [str(tmp_path / "out")] if words.endswith("--out") else ["--runs", str(tmp_path / "out")]
        assert run([*words.split(), *rest, "--report.trackers", "wandb"]) == 2
        said = capsys.readouterr().err
        assert "report.trackers wandb needs the package wandb, which is not installed" in said
        assert "pip install 'guided-thought[wandb]'" in said
    assert not (tmp_path / "out").exists()


def test_resuming_may_leave_a_missing_tracker_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(build("gtr"), runs=str(tmp_path), name="run", report=ReportConfig(trackers=("wandb",)))
    path = str(RunFolder.create(config).path)
    monkeypatch.setattr(trackers, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"guided-thought\[wandb\]"):
        parse_train(["--resume", path])
    assert parse_train(["--resume", path, "--report.trackers"]).config.report.trackers == ()
    assert RunFolder.open(path, main=False).connect() == [], "whoever reads needs no tracker"


def test_a_folder_is_no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """W&B leaves a folder ``wandb`` behind, which Python would import."""
    (tmp_path / "a_tracker").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ConfigError, match="a_tracker, which is not installed"):
        trackers.require(["a_tracker"])


def test_a_wrong_name_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(["train", "gtr", "--report.trackers", "wandbb"])
    assert "tensorboard" in capsys.readouterr().err


def test_nothing_is_told_twice_whatever_process_tells_it(tmp_path: Path) -> None:
    file = tmp_path / "trackers" / "some.json"
    first = Sent(file)
    assert [first.once("scalars", update) for update in (1, 2, 2, 1)] == [True, True, False, False]
    second = Sent(file)
    assert second.id == first.id
    assert [second.once("scalars", 2), second.once("examples", 2), second.once("scalars", 3)] == [False, True, True]


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"3", b"\xff", b"[" * 100_000, b'{"id": "../x"}', b'{"id": 3}'])
def test_a_damaged_memory_of_what_was_told_is_named(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "wandb.json").write_bytes(data)
    with pytest.raises(RunError, match=r"wandb\.json is damaged .* remove it"):
        Sent(tmp_path / "wandb.json")


def test_no_password_leaves_this_machine() -> None:
    config = build("gtr")
    for address, told in ((f"https://me:{SECRET}@host:1/v1", "https://host:1/v1"), ("http://a/v1", "http://a/v1")):
        chosen = replace(config, corrector=replace(config.corrector, base_url=address))
        assert public_settings(chosen)["corrector"]["base_url"] == told
    assert public_settings(config)["corrector"]["base_url"] is None


# -- Weights & Biases ---------------------------------------------------------------------------------------------


def records(file: Path) -> Iterator[Any]:
    """The records of a W&B log: protocol buffers in LevelDB's log format, after a header of seven bytes."""
    from wandb.proto import wandb_internal_pb2

    data, at, part = file.read_bytes(), 7, b""
    assert data[:4] == b":W&B"
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        length, kind = struct.unpack_from("<HB", data, at + 4)
        if at + 7 + length > len(data):
            return
        part += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(part)
            part = b""
            yield record


def wait_for_the_end(file: Path) -> None:
    """W&B's own process writes the last records a moment after the run has been finished."""
    for _ in range(600):
        if [record.WhichOneof("record_type") for record in records(file)][-1:] == ["exit"]:
            return
        time.sleep(0.1)
    pytest.fail(f"{file} has no end")


def history(file: Path) -> dict[int, dict[str, Any]]:
    """What was logged at each step."""
    steps: dict[int, dict[str, Any]] = {}
    for record in records(file):
        if record.WhichOneof("record_type") == "history":
            step = record.history.step.num
            assert step not in steps
            items = steps[step] = {}
            for one in record.history.item:
                name, *inner = one.nested_key or [one.key]
                value = json.loads(one.value_json)
                if inner:
                    items.setdefault(name, {})[inner[0]] = value
                else:
                    items[name] = value
    return steps


def test_wandb_offline_gets_curves_pictures_and_thoughts_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="pip install 'guided-thought[wandb]'")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "staged"))
    monkeypatch.setenv("WANDB_API_KEY", SECRET[-40:])
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    path = interrupted(tmp_path, "wandb")
    files = sorted(path.glob("wandb/offline-run-*/run-*.wandb"))
    assert len(files) == 2, "one per process"
    assert {file.name for file in files} == {f"run-{Sent(path / 'trackers' / 'wandb.json').id}.wandb"}
    for file in files:
        wait_for_the_end(file)
    told = [history(file) for file in files]
    assert [{step: items["success"] for step, items in one.items()} for one in told] == [
        {1: 0.1, 2: 0.2, 3: 0.3},
        {4: 0.4},
    ]
    last = told[1][4]
    assert "gap" not in last
    assert last["example/image"]["_type"] == "images/separated"
    assert last["example/thoughts"]["_type"] == "table-file"
    folder = files[1].parent / "files"
    table = json.loads((folder / last["example/thoughts"]["path"]).read_text())
    assert table["columns"][:3] == ["turn", "prompt", "reply"]
    assert table["data"][0][2] == r"thought 4 \x1b[31m"
    (picture,) = last["example/image"]["filenames"]
    assert (folder / picture).exists()
    leaked = [file for file in path.rglob("*") if file.is_file() and SECRET[-40:].encode() in file.read_bytes()]
    assert leaked == []


def test_wandb_without_a_key_says_what_to_do(tmp_path: Path) -> None:
    pytest.importorskip("wandb", reason="pip install 'guided-thought[wandb]'")
    code = (
        "import os, sys; from dataclasses import replace; from gtr.config import ReportConfig\n"
        "from gtr.config.presets import build; from gtr.report import RunFolder; from gtr.errors import RunError\n"
        "config = replace(build('gtr'), runs=sys.argv[1], report=ReportConfig(trackers=('wandb',)))\n"
        "try: RunFolder.create(config).connect()\n"
        "except RunError as error: print(error)"
    )
    nobody = {"PATH": "/usr/bin", "HOME": str(tmp_path), "WANDB_BASE_URL": "http://127.0.0.1:9"}
    kept = {key: value for key, value in os.environ.items() if key in ("PYTHONPATH", "OMP_NUM_THREADS")}
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(
        command, capture_output=True, text=True, env=nobody | kept, stdin=subprocess.DEVNULL, timeout=100
    )
    assert "set WANDB_MODE=offline, or leave wandb out of --report.trackers" in done.stdout, done.stderr


# -- trackio ------------------------------------------------------------------------------------------------------

ASK = """
import json, sys
from trackio.sqlite_storage import SQLiteStorage
(name,) = SQLiteStorage.get_runs("gtr")
print(json.dumps([name, SQLiteStorage.get_logs("gtr", name)], default=str))
"""


def test_trackio_gets_curves_pictures_and_traces_once(tmp_path: Path) -> None:
    pytest.importorskip("trackio", reason="pip install 'guided-thought[trackio]' (it wants an older pillow)")
    here = str(Path(__file__).parent)
    program = "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path\n"
    program += "from test_trackers import interrupted; print(interrupted(Path(sys.argv[2]), 'trackio'))"
    places = {"TRACKIO_DIR": str(tmp_path / "kept"), "OPENAI_API_KEY": SECRET}
    env = {**os.environ, **places}
    done = subprocess.run(
        [sys.executable, "-c", program, here, str(tmp_path)], env=env, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{tmp_path / 'run'}\n", "standard output is the command's own"
    asked = subprocess.run([sys.executable, "-c", ASK], env=env, capture_output=True, text=True, check=True)
    name, logs = json.loads(asked.stdout.splitlines()[-1])
    assert name == f"run-{Sent(tmp_path / 'run' / 'trackers' / 'trackio.json').id}"
    assert [(one["step"], one["success"]) for one in logs if "success" in one] == [(i, i / 10) for i in range(1, 5)]
    assert [one["step"] for one in logs if "example/image" in one] == [1, 2, 3, 4]
    text = json.dumps(logs)
    assert r"thought 4 \\x1b[31m" in text
    assert "trackio.image" in text
    kept = [file for file in (tmp_path / "kept").rglob("*") if file.is_file()]
    assert [file for file in kept if file.suffix == ".png"]
    assert [file for file in kept if SECRET.encode() in file.read_bytes()] == []

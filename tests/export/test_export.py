"""A run for others: forms against what its transcript says, and the hub against a stand-in that speaks its API."""

import base64
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hub import TOKEN, Hub, serve
from PIL import Image as Pictures

from gtr.cli import run as command
from gtr.config import Config
from gtr.errors import RunError
from gtr.export import FORMS, export
from gtr.report import Run
from gtr.train import train

Settings = Callable[..., Config]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short guided run from random weights."""
    from gtr import preset

    small = {"train.updates": 2, "train.envs": 4, "train.turns": 4, "train.minibatch": 8, "train.eval_episodes": 4}
    off = {
        "sft.enabled": False,
        "report.probe_turns": 0,
        "report.trackers": (),
        "task.image_size": 48,
        "guidance.stop_early": False,
    }
    runs = str(tmp_path_factory.mktemp("runs"))
    return train(preset("gtr", "numberline", runs=runs, **small, **off))


def table(path: Path) -> list[dict[str, Any]]:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pip install pyarrow")
    return parquet.read_table(path).to_pylist()  # type: ignore[no-any-return]


# -- forms --------------------------------------------------------------------------------------------------------
def test_every_turn_with_its_picture(trained: Path, tmp_path: Path) -> None:
    rows = table(export(trained, "parquet", tmp_path / "turns.parquet"))
    turns = [(update, turn) for update in (1, 2) for turn in Run(trained).turns(update)]
    assert len(rows) == len(turns) == 32
    for row, (update, turn) in zip(rows, turns, strict=True):
        same = ("env", "episode", "turn", "prompt", "reply", "reward", "legal", "success", "ending", "action")
        assert {key: row[key] for key in same} == {key: turn[key] for key in same}
        assert (row["update"], json.loads(row["truth"])) == (update, turn["truth"])
        shown = np.asarray(Pictures.open(io.BytesIO(row["image"]["bytes"])))
        assert np.array_equal(shown, np.asarray(Pictures.open(trained / "images" / turn["image"])))


def test_a_name_may_be_any_bytes(trained: Path, tmp_path: Path) -> None:
    """As systems allow them; pyarrow and others take Unicode alone."""
    pytest.importorskip("pyarrow", reason="pip install pyarrow")
    for form in FORMS:
        target = tmp_path / os.fsdecode(b"\xff\xfe a\nb " + form.encode())
        assert export(trained, form, target)
        assert target.stat().st_size > 0
    assert not list(tmp_path.rglob("*.part"))


def test_datasets_knows_which_column_is_a_picture(trained: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pip install pyarrow")
    for form, column in (("parquet", "image"), ("trl_dpo", "images")):
        schema = parquet.read_schema(export(trained, form, tmp_path / f"{form}.parquet"))
        features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
        assert list(features) == schema.names
        assert features[column] in ({"_type": "Image"}, [{"_type": "Image"}])


def test_corrected_replies_for_trl(trained: Path, tmp_path: Path) -> None:
    corrected = [turn for update in (1, 2) for turn in Run(trained).turns(update) if (turn["verdict"] or {})["thought"]]
    rows = table(export(trained, "trl_dpo", tmp_path / "dpo.parquet"))
    assert len(rows) == len(corrected) > 0
    for row, turn in zip(rows, corrected, strict=True):
        assert row["prompt"] == [{"role": "user", "content": turn["prompt"]}]
        assert row["rejected"] == [{"role": "assistant", "content": turn["reply"]}]
        chosen = json.loads(row["chosen"][0]["content"])
        assert {key: chosen[key] for key in ("target", "current", "thoughts")} == turn["verdict"]["thought"]
        assert len(row["images"]) == 1
    taught = table(export(trained, "trl_sft", tmp_path / "sft.parquet"))
    assert [json.loads(row["completion"][0]["content"])["thoughts"] for row in taught] == [
        turn["verdict"]["thought"]["thoughts"] for turn in corrected
    ]


def test_episodes_for_verifiers(trained: Path, tmp_path: Path) -> None:
    lines = export(trained, "verifiers", tmp_path / "episodes.jsonl").read_text().splitlines()
    episodes = [json.loads(line) for line in lines]
    turns = [turn for update in (1, 2) for turn in Run(trained).turns(update)]
    assert sum((1 + len(one["completion"])) // 2 for one in episodes) == len(turns)
    assert sum(one["reward"] for one in episodes) == pytest.approx(sum(turn["reward"] for turn in turns))
    first = episodes[0]
    longest = max((one["completion"] for one in episodes), key=len)
    assert [message["role"] for message in longest][:3] == ["assistant", "user", "assistant"]
    picture, text = first["prompt"][0]["content"]
    assert text == {"type": "text", "text": turns[0]["prompt"]}
    data = base64.b64decode(picture["image_url"]["url"].removeprefix("data:image/png;base64,"))
    assert data == (trained / "images" / turns[0]["image"]).read_bytes()


def test_what_cannot_be_exported(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RunError, match="is not a run folder"):
        export(tmp_path)
    with pytest.raises(RunError, match=r"unknown form 'csv'.*parquet"):
        export(trained, "csv")
    assert command(["export"]) == 2
    assert command(["export", str(trained), "--to", "verifiers", "--out", str(tmp_path / "a.jsonl")]) == 0
    assert str(tmp_path / "a.jsonl") in capsys.readouterr().out
    assert set(FORMS) == {"parquet", "trl_sft", "trl_dpo", "verifiers"}


# -- the hub ------------------------------------------------------------------------------------------------------
def gtr(hub: Hub, home: Path, *words: str, token: str = TOKEN) -> subprocess.CompletedProcess[str]:
    """A command of the real program that knows no other hub."""
    env = {**os.environ, "HF_ENDPOINT": hub.address, "HF_TOKEN": token, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0"}
    arguments = [sys.executable, "-m", "gtr", *words]
    return subprocess.run(arguments, capture_output=True, text=True, env=env, cwd=home, timeout=300)


@pytest.mark.slow
def test_a_run_goes_to_the_hub_and_comes_back(trained: Path, tmp_path: Path) -> None:
    hub = serve()
    turns = [] if _has_pyarrow() else ["--turns", "False"]
    done = gtr(hub, tmp_path, "push", str(trained), "me/walker", *turns)
    assert done.returncode == 0, done.stderr
    assert f"{hub.address}/me/walker" in done.stdout
    files = hub.repos["models/me/walker"]
    weights = trained / "checkpoints" / "update_00002" / "model" / "model.safetensors"
    assert files["model.safetensors"] == weights.read_bytes()
    text = files["README.md"].decode()
    front = yaml.safe_load(text.split("---")[1])
    assert (front["license"], front["library_name"]) == ("mit", "transformers")
    end = Run(trained).evaluation(2)
    low, high = end["interval"]
    assert f"| 2 | {end['success']:.2f} | {low:.2f}-{high:.2f} | {end['successes']} of 4 | `{end['panel']}` |" in text
    assert "The collapse alarm did not ring in 2 updates." in text
    assert "| `train.updates` | `2` |" in text
    if not turns:
        assert front["datasets"] == ["me/walker-turns"]
        assert set(hub.repos["datasets/me/walker-turns"]) == {"README.md", "turns.parquet"}
        (tmp_path / "turns.parquet").write_bytes(hub.repos["datasets/me/walker-turns"]["turns.parquet"])
        assert len(table(tmp_path / "turns.parquet")) == 32
    same = ("--task", "numberline", "--episodes", "6", "--task.image_size", "48", "--json")
    there = gtr(hub, tmp_path, "eval", "me/walker", *same, "there.json")
    here = gtr(hub, tmp_path, "eval", str(weights.parent), *same, "here.json")
    assert there.returncode == here.returncode == 0, there.stderr + here.stderr
    found, wanted = (json.loads((tmp_path / name).read_text())[0] for name in ("there.json", "here.json"))
    assert found.pop("agent") == "me/walker"
    wanted.pop("agent")
    assert found == wanted
    again = ("--policy.model", "me/walker", "--sft.enabled", "False", "--train.updates", "1", "--train.envs", "2")
    few = ("--train.turns", "2", "--train.minibatch", "4", "--train.eval-episodes", "2", "--task.image-size", "48")
    done = gtr(hub, tmp_path, "train", "gtr", "--task", "numberline", *again, *few)
    assert done.returncode == 0, done.stderr
    hub.shutdown()


def test_what_the_hub_refuses_is_told(trained: Path, tmp_path: Path) -> None:
    hub = serve()
    done = gtr(hub, tmp_path, "push", str(trained), "me/walker", "--turns", "False", token="hf_wrong")
    assert done.returncode == 2
    assert "me/walker cannot be written to" in done.stderr
    assert "HF_TOKEN" in done.stderr
    assert command(["push", str(trained), "walker"]) == command(["push", str(trained)]) == 2
    assert command(["push", str(tmp_path), "me/walker"]) == 2
    hub.shutdown()


def test_nothing_from_elsewhere_is_uploaded(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = shutil.copytree(trained, tmp_path / "run")
    (run / "checkpoints" / "update_00002" / "model" / "notes.txt").symlink_to("/etc/passwd")
    assert command(["push", str(run), "me/walker", "--turns", "False"]) == 2
    assert "notes.txt, which is a link" in capsys.readouterr().err


def _has_pyarrow() -> bool:
    try:
        import pyarrow  # noqa: F401
    except ModuleNotFoundError:
        return False
    return True

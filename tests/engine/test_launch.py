"""The command that starts a server, and the folder that it reads."""

import json
import os
import pickle
import shlex
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from gtr.cli import run
from gtr.cli.serve_engine import launch_of, parse_serve
from gtr.engine.launch import Launch, readable
from gtr.errors import ConfigError, EngineError, GtrError
from gtr.policy.policy import Policy


def test_the_command_says_what_sampling_needs() -> None:
    launch = Launch("some/model", "env/bin/python", port=8001, adapter_rank=16, extra=("--seed", "3"))
    words = " ".join(launch.command())
    assert words.startswith("env/bin/python -m vllm.entrypoints.openai.api_server --model some/model --host 127.0.0.1")
    assert "--port 8001" in words
    assert "--logprobs-mode processed_logprobs" in words
    assert "--generation-config vllm" in words
    assert "--enable-lora --max-lora-rank 16" in words
    assert words.endswith("--seed 3")
    assert "lora" not in " ".join(Launch("some/model").command())
    assert launch.environment
    assert "--enable-scale-out" not in launch.command()


def test_nobody_replaces_a_teachers_weights(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve-engine", "owner/model", "--sync", "none"]) == 0
    said = capsys.readouterr().out.split()
    assert said[0] == "python"
    assert said[-1] == "--enable-scale-out"


def test_a_folder_is_copied_with_the_names_that_vllm_knows(build_model: Callable[..., Path], tmp_path: Path) -> None:
    model = build_model()
    copy = Path(readable(str(model), tmp_path / "copy"))
    ours, theirs = load_file(model / "model.safetensors"), load_file(copy / "model.safetensors")
    assert len(ours) == len(theirs)
    old = {name for name in ours if name.startswith("vision_tower.")}
    assert {name for name in theirs if name.startswith("vision_tower.vision_model.")} == {
        name.replace("vision_tower.", "vision_tower.vision_model.") for name in old
    }
    assert {one.name for one in model.iterdir()} == {one.name for one in copy.iterdir()}
    assert readable(str(copy), tmp_path / "again") == str(copy), "nothing is left to rename"
    assert not (tmp_path / "again").exists()


def test_a_model_in_several_files_is_copied_whole(build_model: Callable[..., Path], tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(build_model(), model)
    weights = load_file(model / "model.safetensors")
    (model / "model.safetensors").unlink()
    parts = {name: f"model-0000{1 + i % 2}-of-00002.safetensors" for i, name in enumerate(weights)}
    for part in set(parts.values()):
        save_file({name: weights[name] for name, where in parts.items() if where == part}, model / part)
    (model / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": parts}))
    copy = Path(readable(str(model), tmp_path / "copy"))
    index = json.loads((copy / "model.safetensors.index.json").read_text())["weight_map"]
    found = {name: where.name for where in copy.glob("*.safetensors") for name in load_file(where)}
    assert found == index
    assert any(name.startswith("vision_tower.vision_model.") for name in index)


def test_models_that_need_no_copy(build_model: Callable[..., Path]) -> None:
    assert readable("someone/some-model", None) == "someone/some-model"
    qwen = str(build_model("tiny-qwen2.5-vl"))
    assert readable(qwen, None) == qwen


def test_an_adapter_stands_for_its_base(make_policy: Callable[..., Policy], tmp_path: Path) -> None:
    policy = make_policy("tiny-qwen2.5-vl", **{"policy.finetune": "lora", "policy.lora_rank": 4})
    policy.save(tmp_path / "adapter")
    assert readable(str(tmp_path / "adapter"), None) == policy.config.model


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="holds no model"):
        readable(str(tmp_path), None)


def endless(file: Path) -> None:
    file.write_text(json.dumps({"base_model_name_or_path": str(file.parent)}))


SPOILT: dict[str, Callable[[Path], object]] = {
    **{f"holds {text[:9]!r}": partial(Path.write_text, data=text) for text in ("", "null", "[1]", "[" * 99_999, "{")},
    "a pickle": lambda file: file.write_bytes(pickle.dumps({"a": 1})),
    "no Unicode": lambda file: file.write_bytes(b"\xff\xfe{"),
    **{"its own base": endless, "a pipe": os.mkfifo, "a folder": Path.mkdir},
    "a link to nowhere": lambda file: file.symlink_to(file.name),
}


@pytest.mark.parametrize("damage", SPOILT)
@pytest.mark.parametrize("name", ["config.json", "adapter_config.json", "model.safetensors"])
def test_what_is_served_is_checked(name: str, damage: str, build_model: Callable[..., Path], tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(build_model(), model)
    (model / name).unlink(missing_ok=True)
    SPOILT[damage](model / name)
    if (name, damage) == ("adapter_config.json", "a link to nowhere"):
        assert readable(str(model), tmp_path / "copy"), "as good as no file"
        return
    with pytest.raises(GtrError):
        readable(str(model), tmp_path / "copy")


def test_a_folder_whose_name_is_no_unicode(build_model: Callable[..., Path], tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(b"model \xff")
    shutil.copytree(build_model(), odd)
    with pytest.raises(EngineError, match="not valid UTF-8"):
        readable(str(odd), tmp_path / "copy")


def test_the_command_line(build_model: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    model = str(build_model("tiny-qwen2.5-vl"))
    assert run(["serve-engine", model, "--sync", "adapter", "--lora-rank", "8", "--vllm=--seed '1'"]) == 0
    words = shlex.split(capsys.readouterr().out)
    assert words[:2] == ["VLLM_SERVER_DEV_MODE=1", "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True"]
    assert words[2:] == Launch(model, adapter_rank=8, extra=("--seed", "1")).command()


@pytest.mark.parametrize("words", [[], ["m", "--vllm='"], ["m", "--port", "0"], ["m", "--lora-rank", "0"]])
def test_what_the_command_line_refuses(words: list[str]) -> None:
    with pytest.raises(ConfigError):
        launch_of(parse_serve(words))


def test_a_program_that_is_not_there(build_model: Callable[..., Path]) -> None:
    assert run(["serve-engine", str(build_model("tiny-qwen2.5-vl")), "--run", "--python", "no/such/python"]) == 2
    assert run(["serve-engine", str(Path(__file__).parent)]) == 2

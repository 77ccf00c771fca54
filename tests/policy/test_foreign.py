"""Model folders from anybody: whatever lies in one runs nothing of its own, and is refused in words."""

import contextlib
import json
import pickle
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from foreign import DAMAGES
from safetensors.torch import load_file, save_file
from small import changed
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from gtr import checkpoint
from gtr.checkpoint.shards import Reader
from gtr.config import PolicyConfig, presets
from gtr.errors import GtrError, PolicyError, RunError
from gtr.policy import templates
from gtr.policy.loading import load_policy
from gtr.policy.shapes import shape_of
from gtr.types import Prompt

BuildModel = Callable[..., Path]
DEEP = "[" * 100_000


class Ran:
    """Unpickling it leaves a file behind."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return (open, (str(self.mark), "w"))


def pickled(mark: Path) -> bytes:
    return pickle.dumps(Ran(mark))


@pytest.fixture
def model(build_model: BuildModel, tmp_path: Path) -> Path:
    """A model's folder that a test may spoil."""
    config = presets.build("gtr", "numberline")
    saved = tmp_path / "saved"
    load_policy(build_model(), settings()).save(saved)
    assert config.policy.value_hidden
    return Path(shutil.copytree(saved, tmp_path / "model"))


def settings() -> PolicyConfig:
    return changed(presets.build("gtr", "numberline"), **{"policy.value_hidden": (16,)}).policy


def use(folder: Path) -> None:
    """Loads a policy and says one word with it."""
    policy = load_policy(folder, settings())
    policy.generate([Prompt(np.zeros((96, 96, 3), np.uint8), "say")], greedy=True)


def test_a_whole_folder_is_used(model: Path) -> None:
    use(model)


@pytest.mark.parametrize("name", ["model.safetensors", "value_head.safetensors", "pytorch_model.bin"])
def test_a_pickle_runs_nothing(model: Path, tmp_path: Path, name: str) -> None:
    (model / "model.safetensors").unlink(missing_ok=name == "pytorch_model.bin")
    if name != "pytorch_model.bin":
        (model / "model.safetensors").write_bytes((tmp_path / "saved" / "model.safetensors").read_bytes())
    (model / name).write_bytes(pickled(tmp_path / "ran"))
    with pytest.raises(PolicyError):
        use(model)
    torch.save({"x": Ran(tmp_path / "ran")}, model / name)
    with pytest.raises(PolicyError):
        use(model)
    assert not (tmp_path / "ran").exists()


SPOILT = {
    "empty": b"",
    "cut": b'{"model_type": "lla',
    "garbage": bytes(range(256)) * 10,
    "a list": b"[]",
    "null": b"null",
    "deep": DEEP.encode(),
    "other types": b'{"model_type": 3, "architectures": {}, "vocab_size": "x"}',
    "digits": b'{"model_type": ' + b"9" * 5000 + b"}",
}


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json", "processor_config.json"])
@pytest.mark.parametrize("damage", SPOILT)
def test_damaged_files_of_a_model_are_refused_in_words(model: Path, name: str, damage: str) -> None:
    assert (model / name).exists()
    (model / name).write_bytes(SPOILT[damage])
    # Anything but a GtrError fails here; some of this a library does not mind.
    with contextlib.suppress(GtrError):
        use(model)


@pytest.mark.parametrize(
    ("name", "key", "place"),
    [
        ("config.json", "model_type", "AutoConfig"),
        ("config.json", "model_type", "AutoModelForImageTextToText"),
        ("processor_config.json", "processor_class", "AutoProcessor"),
        ("tokenizer_config.json", "tokenizer_class", "AutoTokenizer"),
    ],
)
def test_code_of_a_models_own_is_neither_run_nor_asked_about(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, key: str, place: str
) -> None:
    asked: list[object] = []
    monkeypatch.setattr("builtins.input", lambda *words: asked.append(words) or "y")
    values = json.loads((model / name).read_text())
    (model / name).write_text(json.dumps({**values, key: "Own", "auto_map": {place: "own.Own"}}))
    (model / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    for look in (use, lambda folder: shape_of(replace(settings(), model=str(folder)), 96)):
        with contextlib.suppress(PolicyError):
            look(model)
    assert not asked
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("place", ["../weights.safetensors", "/etc/passwd", "a/../../weights.safetensors"])
def test_weights_that_lie_elsewhere_are_not_read(model: Path, place: str) -> None:
    (model / "model.safetensors").rename(model.parent / "weights.safetensors")
    names = load_file(model.parent / "weights.safetensors")
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": dict.fromkeys(names, place)}))
    with pytest.raises(PolicyError, match="must lie in the folder itself"):
        use(model)


SHAPES: dict[str, object] = {
    **{"text_config": [1], "vision_config": "x", "model_type": "bert", "image_token_index": "x"},
    **{f"text_config.{key}": value for key in ("vocab_size", "num_attention_heads") for value in (-1, 0, "x", 10**15)},
    **{f"vision_config.{key}": 0 for key in ("patch_size", "num_attention_heads")},
    **{"text_config.num_hidden_layers": 10**6, "vision_config.num_hidden_layers": 10**6, "text_config.hidden_act": "x"},
}


@pytest.mark.parametrize("key", SHAPES)
def test_shapes_that_no_model_has_are_refused_at_once(model: Path, key: str) -> None:
    values = json.loads((model / "config.json").read_text())
    section, _, name = key.rpartition(".")
    (values[section] if section else values)[name] = SHAPES[key]
    (model / "config.json").write_text(json.dumps(values))
    for look in (use, lambda folder: shape_of(replace(settings(), model=str(folder)), 96)):
        with contextlib.suppress(PolicyError):
            look(model)


def test_damaged_configurations_have_no_shape(model: Path) -> None:
    file, whole = model / "config.json", (model / "config.json").read_bytes()
    for damage in DAMAGES.values():
        file.unlink(missing_ok=True)
        file.write_bytes(whole)
        damage(file)
        with contextlib.suppress(PolicyError):
            shape_of(replace(settings(), model=str(model)), 96)
        if file.is_dir():
            shutil.rmtree(file)


@pytest.mark.parametrize("damage", ["patches", "numbers", "weights"])
def test_files_that_do_not_belong_together_are_told(model: Path, damage: str) -> None:
    if damage == "weights":
        weights = load_file(model / "model.safetensors")
        spoilt = {name: torch.full_like(one, float("nan")) for name, one in weights.items()}
        save_file(spoilt, model / "model.safetensors", metadata={"format": "pt"})
    else:
        file = model / "processor_config.json"
        changed = {"patches": {"patch_size": 16}, "numbers": {"num_additional_image_tokens": 7}}[damage]
        file.write_text(json.dumps({**json.loads(file.read_text()), **changed}))
    policy = load_policy(model, settings())
    with pytest.raises(GtrError, match="logits are not finite" if damage == "weights" else "do not belong together"):
        policy.generate([Prompt(np.zeros((96, 96, 3), np.uint8), "say")])


@pytest.mark.parametrize("value", [[None], "x", -1, 10**30, 1.5, True, {}, [[1]], ["a"]])
@pytest.mark.parametrize("name", ["bos", "eos", "pad"])
def test_special_tokens_are_numbers(model: Path, name: str, value: object) -> None:
    file = model / "generation_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), f"{name}_token_id": value}))
    with pytest.raises(PolicyError):
        use(model)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "processor_config.json", "value_head.safetensors"])
@pytest.mark.parametrize("damage", ["a pipe", "a device", "three sparse gigabytes"])
def test_what_would_be_read_without_end_is_refused(model: Path, name: str, damage: str) -> None:
    DAMAGES[damage](model / name)
    with pytest.raises(PolicyError, match=name):
        use(model)


@pytest.mark.parametrize("damage", SPOILT)
@pytest.mark.parametrize("name", ["model.safetensors", "value_head.safetensors", "adapter_config.json"])
def test_damaged_weights_are_refused_in_words(model: Path, name: str, damage: str) -> None:
    (model / name).write_bytes(SPOILT[damage])
    with pytest.raises(PolicyError):
        use(model)


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append.__globals__ }}",
        "{% include '/etc/passwd' %}",
        "{% for i in range(10 ** 10) %}x{% endfor %}",
        f"{'{% for i in range(99999) %}' * 4}x{'{% endfor %}' * 4}",
        f"{'{% for i in range(99999) %}' * 4}{'{% endfor %}' * 4}",
        "{% macro f(n) %}{% for i in range(9) %}{{ f(n - 1) }}{% endfor %}{% endmacro %}{{ f(200) }}",
        "{{ 9 ** 9 ** 9 }}",
        "{% set n = 9 %}{{ n**n**n }}",
        "{{ 'x' * 20000000 }}",
        "{% for",
        "{{ 1 / 0 }}",
        "{{ nothing.there.at.all }}",
        "{{ raise_exception('no') }}",
        "{{ messages[7] }}",
        "{{ 'x' + 3 }}",
        "",
        "\ufffd" * 10,
    ],
)
def test_a_hostile_chat_template_is_refused_in_words(
    model: Path, template: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(templates, "MOST_SECONDS", 0.5)
    for file in (*model.glob("*template*"), model / "tokenizer_config.json", model / "processor_config.json"):
        if file.suffix == ".json" and file.exists():
            file.write_text(json.dumps({**json.loads(file.read_text()), "chat_template": template}))
        else:
            file.write_text(template)
    with pytest.raises(PolicyError):
        use(model)


def test_a_limit_holds_on_any_thread_and_only_inside() -> None:
    ends: list[str] = []

    def busy() -> None:
        try:
            with templates.limited(0.1):
                while True:
                    ends.append("")
        except templates.TooLongError as error:
            ends[:] = [str(error)]

    thread = threading.Thread(target=busy)
    thread.start()
    for number in range(300):  # The block may be over before its time is: nothing comes later.
        with contextlib.suppress(templates.TooLongError), templates.limited(1e-5 * (number % 30)):
            pass
        sum(range(1000))
    thread.join(20)
    assert ends == ["it takes longer than 0.1 s"]


def read_back(folder: Path, name: str, optimizer: torch.optim.Optimizer) -> None:
    if name == "state.json":
        checkpoint.read_state(folder)
    else:
        checkpoint.restore_optimizer(folder, optimizer)


MOMENTS = {"0.step": torch.tensor(1.0), "0.exp_avg": torch.zeros(3), "0.exp_avg_sq": torch.zeros(3)}


@pytest.mark.parametrize(
    "stored",
    [
        {name: one for name, one in MOMENTS.items() if name != "0.exp_avg"},
        {**MOMENTS, "0.other": torch.zeros(3)},
        {**MOMENTS, "0.exp_avg": torch.zeros(3, dtype=torch.int64)},
        {**MOMENTS, "0.exp_avg": torch.zeros(4)},
    ],
)
def test_moments_that_do_not_fit_are_refused_in_words(tmp_path: Path, stored: dict[str, torch.Tensor]) -> None:
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.ones(3))])
    save_file(MOMENTS, tmp_path / "optimizer.safetensors")
    checkpoint.restore_optimizer(tmp_path, optimizer)
    save_file(stored, tmp_path / "optimizer.safetensors")
    with pytest.raises(RunError, match=r"optimizer\.safetensors (lacks moments|belongs to another model)"):
        checkpoint.restore_optimizer(tmp_path, optimizer)


@pytest.mark.parametrize("damage", [*SPOILT, "pickle"])
@pytest.mark.parametrize("name", ["optimizer.safetensors", "state.json"])
def test_damaged_checkpoints_are_refused_in_words(tmp_path: Path, name: str, damage: str) -> None:
    data = SPOILT.get(damage) or (b"" if damage == "empty" else pickled(tmp_path / "ran"))
    (tmp_path / name).write_bytes(data)
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.ones(3))])
    with pytest.raises(RunError, match=r"remove .* and resume again"):
        read_back(tmp_path, name, optimizer)
    assert not (tmp_path / "ran").exists()


# -- what else lies in a checkpoint -------------------------------------------------------------------------------
@pytest.fixture
def shares(tmp_path: Path) -> Path:
    """A folder as sharded training writes it."""
    state = {
        "0.exp_avg": torch.ones(4, 3),
        "0.step": torch.tensor(3.0),
        "1.exp_avg": torch.ones(2, dtype=torch.bfloat16),
    }
    save(state, checkpoint_id=tmp_path / "optimizer", no_dist=True)
    return tmp_path / "optimizer"


def test_notes_on_shares_are_read_as_torch_reads_them(shares: Path) -> None:
    ours, theirs = Reader(shares).read_metadata(), FileSystemReader(shares).read_metadata()
    assert ours.state_dict_metadata == theirs.state_dict_metadata
    found = {"0.exp_avg": torch.zeros(4, 3), "1.exp_avg": torch.zeros(2, dtype=torch.bfloat16)}
    load(found, storage_reader=Reader(shares), no_dist=True)
    assert all((one == 1).all() for one in found.values())


def test_notes_on_shares_run_nothing(shares: Path, tmp_path: Path) -> None:
    outside = FileSystemReader(shares).read_metadata()
    for one in outside.storage_data.values():
        one.relative_path = "../model.safetensors"
    calls = (
        f"cos\nsystem\n(S'touch {tmp_path / 'ran'}'\ntR.",
        "cbuiltins\ngetattr\n(ctorch\nSize\nS'mro'\ntR.",
        "I1\n.",
    )
    beyond = b"\x80\x04\x8c\x26torch.distributed.checkpoint.metadata\x8c\x10Metadata.__dict__\x93."
    whole = (shares / ".metadata").read_bytes()
    for notes in (pickled(tmp_path / "ran"), pickle.dumps(outside), beyond, b"", whole[:-9], *map(str.encode, calls)):
        (shares / ".metadata").write_bytes(notes)
        with pytest.raises(RunError, match="optimizer cannot be read"):
            checkpoint.restore_optimizer(tmp_path, torch.optim.Adam([torch.nn.Parameter(torch.zeros(4, 3))]))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "name", ["model", "model/config.json", "model/model.safetensors", "optimizer.safetensors", "new"]
)
def test_links_in_a_checkpoint_are_not_followed(model: Path, tmp_path: Path, name: str) -> None:
    saved = tmp_path / "update_00001"
    shutil.copytree(model, saved / "model")
    (saved / "optimizer.safetensors").touch()
    (saved / "state.json").write_text('{"ranks": [], "alarm": {}, "update": 1}')
    checkpoint.read_state(saved)
    use(saved / "model")
    if (saved / name).exists():
        (saved / name).rename(tmp_path / "elsewhere")
    (saved / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError, match="links are not followed"):
        checkpoint.read_state(saved)
    with pytest.raises(PolicyError, match="links are not followed"):
        use(saved / "model")

"""How a vLLM server is started so that an engine can use it: its command, and the folder that it reads."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gtr.errors import EngineError
from gtr.report.inside import Missing, Unreadable, parsed, read_named

if TYPE_CHECKING:
    from gtr.policy.families import Family

ENVIRONMENT: Mapping[str, str] = {"VLLM_SERVER_DEV_MODE": "1", "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True"}
"""What lets a server take new weights and reset its caches: for whoever can reach it, so keep it to yourself."""


@dataclass(frozen=True)
class Launch:
    """What a server is to be like."""

    model: str
    """Folder or hub id."""
    python: str = "python"
    """The interpreter of the environment that vLLM is installed in."""
    host: str = "127.0.0.1"
    port: int = 8000
    adapter_rank: int | None = None
    """Rank of the LoRA adapters that it shall take; None takes whole weights."""
    teaches: bool = False
    """Whether it serves a teacher, whose weights stay as they are and who scores token ids that it is given."""
    extra: Sequence[str] = ()

    def command(self) -> list[str]:
        """The words of the command; `environment` belongs before them."""
        words = [self.python, "-m", "vllm.entrypoints.openai.api_server", "--model", self.model]
        words += ["--host", self.host, "--port", str(self.port)]
        # Log-probabilities of the distribution that is drawn from, and no sampling settings that a model brings along.
        words += ["--logprobs-mode", "processed_logprobs", "--generation-config", "vllm"]
        if self.adapter_rank is not None:
            words += ["--enable-lora", "--max-lora-rank", str(self.adapter_rank), "--max-loras", "2"]
        if self.teaches:
            words += ["--enable-scale-out"]
        return [*words, *self.extra]

    @property
    def environment(self) -> Mapping[str, str]:
        """Variables that belong before the command."""
        return {} if self.teaches else ENVIRONMENT


def readable(model: str, out: Path | None) -> str:
    """The model as vLLM can read it: itself, or a copy whose weights have the names that vLLM knows.

    Args:
        model: folder or hub id; a folder with a LoRA adapter stands for its base model.
        out: where a copy is written; by default beside the folder.

    Raises `EngineError` for a folder that holds no model.
    """
    if not Path(model).is_dir():
        return model
    from safetensors import SafetensorError

    from gtr.policy.folder import check_files

    check_files(Path(model))
    try:
        return _readable(Path(model), out)
    except (SafetensorError, OSError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise EngineError(f"{model} holds no model that can be served: {error}") from None


def _readable(folder: Path, out: Path | None) -> str:
    if (folder / "adapter_config.json").exists():
        return readable(_json(folder / "adapter_config.json")["base_model_name_or_path"], out)
    from gtr.policy.families import FAMILIES, Family

    family = FAMILIES.get(str(_json(folder / "config.json")["model_type"]), Family())
    if family.served_as is None or not _has_old_names(folder, family):
        return str(folder)
    target = out or folder.with_name(folder.name + "-vllm")
    _copy(folder, target, family)
    return str(target)


def _json(file: Path) -> Mapping[str, Any]:
    try:
        return dict(parsed(read_named(file)))
    except (Missing, Unreadable, TypeError, ValueError) as error:
        raise EngineError(f"{file.parent} holds no model that can be served: {file.name}: {error}") from None


def _has_old_names(folder: Path, family: "Family") -> bool:
    from safetensors import safe_open

    for file in folder.glob("*.safetensors"):
        with safe_open(file, "pt") as weights:
            if any(family.served(name) != name for name in weights.keys()):  # noqa: SIM118
                return True
    return False


def _copy(folder: Path, target: Path, family: "Family") -> None:
    from safetensors.torch import load_file, save_file

    target.mkdir(parents=True, exist_ok=True)
    for file in folder.iterdir():
        if file.name.endswith(".safetensors.index.json"):
            index = dict(_json(file))
            index["weight_map"] = {family.served(name): where for name, where in index["weight_map"].items()}
            (target / file.name).write_text(json.dumps(index))
        elif file.suffix == ".safetensors" and file.name.startswith("model"):
            weights = {family.served(name): weight for name, weight in load_file(file).items()}
            save_file(weights, target / file.name, {"format": "pt"})
        elif file.is_file():
            shutil.copy(file, target)

"""A policy from disk or hub: its model with adapters and value head, and its processor."""

import json
import logging
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import parse_flag_from_env
from huggingface_hub import snapshot_download
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModelForImageTextToText,
    AutoProcessor,
    AutoTokenizer,
    BitsAndBytesConfig,
    GenerationConfig,
)
from transformers.utils import cached_file
from transformers.utils import logging as transformers_logging

from gtr.config import PolicyConfig
from gtr.errors import PolicyError
from gtr.policy.families import (
    GridProcessor,
    check_usable,
    family_of,
    forbidden_ids,
    one_tile,
    one_tile_processor,
    vision_modules,
)
from gtr.policy.folder import check_files
from gtr.policy.models import BUILT_IN_MODELS, check_model
from gtr.policy.network import Network
from gtr.policy.policy import VALUE_HEAD, Policy, pad_id
from gtr.policy.seeded import seeded
from gtr.policy.value import ValueHead

transformers_logging.disable_progress_bar()
BESIDE_LANGUAGE = r"(?!.*\b(?:language_model|text_model)\.).*"
"""Names of all modules but the language model's, which Idefics and SmolVLM call their text model."""
SAFE = {"trust_remote_code": False}
"""A folder's own code is neither run nor asked about at the terminal."""
log = logging.getLogger(__name__)
QUIET = {
    "_raise_exceptions_for_gated_repo": False,
    "_raise_exceptions_for_missing_entries": False,
    "_raise_exceptions_for_connection_errors": False,
}
"""How a file that is not on the hub, or cannot be had, is None: the model's own loading says what is wrong."""


def load_policy(
    path: str | Path, config: PolicyConfig, seed: int = 0, device: torch.device | None = None, critic: bool = True
) -> Policy:
    """Loads a policy from a model folder or hub id; a folder that `Policy.save` wrote also brings its value head.

    Args:
        path: folder or hub id; a LoRA folder names its base model itself.
        config: fine-tuning and sampling settings.
        seed: of a new value head and new adapters.
        device: where it computes; by default this process's accelerator, else the CPU.
        critic: read the folder's value head, which must be of the settings' shape.

    Raises:
        PolicyError: nothing is there, it is no image-text model, or its processor cannot be loaded.
    """
    folder = _brought(str(path))
    # As an Accelerator would start it, which takes over what it finds: without the flag, one process of several.
    device = device or PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU")).device
    check_files(folder)
    base, adapter = _base_of(folder, str(path))
    weights, mixed = _precision(config, device)
    model = _load_model(base, weights, config.tiles == "one", **_quantised(config, weights, device))
    processor = load_processor(folder if (folder / "tokenizer_config.json").exists() else base, model.config)
    processor = one_tile_processor(processor) if config.tiles == "one" else processor
    with seeded(seed):
        model = prepare(model, config, adapter)
        width = model.get_output_embeddings().in_features
        head = ValueHead(width, config.value_hidden)
    saved = folder / VALUE_HEAD if (folder / VALUE_HEAD).exists() else _from_hub(str(path), VALUE_HEAD)
    if critic and saved is not None:
        _load_head(head, saved)
    tokenizer = processor.tokenizer
    end_ids = _end_ids(model, tokenizer)
    vocabulary = model.get_output_embeddings().out_features
    network = Network(
        model,
        head,
        forbidden_ids(model.config, tokenizer, end_ids, vocabulary),
        family_of(model),
        pad_id(tokenizer, end_ids),
        mixed,
    )
    return Policy(network.to(device), processor, config, end_ids)


def _brought(path: str) -> Path:
    """A folder as it is; of a hub id that is an adapter's, which is small, the folder it is brought to."""
    if _from_hub(path, "adapter_config.json") is None:
        return Path(path)
    return Path(snapshot_download(path, ignore_patterns=["*.bin", "*.pt", "*.pth"]))


def _from_hub(path: str, name: str) -> Path | None:
    """A file of the repository that a hub id names; None where it has none, or cannot be asked."""
    if Path(path).is_dir() or path in BUILT_IN_MODELS:
        return None
    check_model(path)
    found = cached_file(path, name, **QUIET)
    return None if found is None else Path(found)


def _base_of(folder: Path, path: str) -> tuple[str, Path | None]:
    marker = folder / "adapter_config.json"
    if not marker.exists():
        return path, None
    try:
        base = json.loads(marker.read_text()).get("base_model_name_or_path")
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise PolicyError(f"{marker} is damaged: {error}") from error
    if not base:
        raise PolicyError(f"{marker} names no base model; set base_model_name_or_path in it")
    return str(base), folder


def _quantised(config: PolicyConfig, compute: torch.dtype, device: torch.device) -> dict[str, Any]:
    """What has transformers pack the language model's linear layers, as QLoRA does; nothing where they stay whole."""
    if not config.load_in_4bit:
        return {}
    if find_spec("bitsandbytes") is None:
        raise PolicyError(
            "policy.load_in_4bit needs bitsandbytes, which is not installed: pip install bitsandbytes, or set False"
        )
    how = {"bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True, "bnb_4bit_compute_dtype": compute}
    packing = BitsAndBytesConfig(load_in_4bit=True, llm_int8_skip_modules=[BESIDE_LANGUAGE], **how)
    return {"quantization_config": packing, "device_map": {"": device}}


def _load_model(path: str, dtype: torch.dtype, whole: bool = False, **how: Any) -> Any:
    check_model(path)
    if path in BUILT_IN_MODELS:
        raise PolicyError(f"{path} is made for each game: `gtr sft PRESET --policy.model {path}` prints its folder")
    try:
        chosen = {"config": one_tile(AutoConfig.from_pretrained(path, **SAFE))} if whole else {}
        load = AutoModelForImageTextToText.from_pretrained
        model, loading = load(path, dtype=dtype, output_loading_info=True, **SAFE, **chosen, **how)
    except Exception as error:
        # A folder may hold anything: a pickle that transformers will not open, a config nested a thousand deep.
        raise PolicyError(
            f"policy.model: cannot load '{path}' as an image-text-to-text model ({first_line(error)}). Give a folder "
            "with config.json and *.safetensors, a hub id, or a built-in tiny model such as tiny-llava"
        ) from error
    if loading["missing_keys"]:
        raise PolicyError(
            f"policy.model: the weights in '{path}' lack {len(loading['missing_keys'])} that its config.json asks for, "
            f"{min(loading['missing_keys'])} among them: they belong to another model, or were not saved whole"
        )
    check_usable(model, path)
    for layer in model.modules():
        if hasattr(layer, "support_avx512bf16_for_cpu"):
            # bitsandbytes would sample by bfloat16 kernels of the CPU, which passes with a gradient do not have.
            layer.support_avx512bf16_for_cpu = False
    # Penalties and cut-offs that a checkpoint brings (Qwen2.5-VL: repetition_penalty 1.05, top_k 1) would shape
    # sampling where scoring cannot see them; only its token ids are kept.
    own = model.generation_config
    model.generation_config = GenerationConfig(
        **{f"{name}_token_id": _token_id(own, name, path) for name in ("bos", "eos", "pad")}
    )
    return model


def _token_id(own: GenerationConfig, name: str, path: str) -> int | list[int] | None:
    """A special token's number, or several; PolicyError where a file says something else."""
    value = vars(own).get(f"{name}_token_id")
    several = value if isinstance(value, list) else [] if value is None else [value]
    if not all(isinstance(one, int) and not isinstance(one, bool) and 0 <= one < 2**31 for one in several):
        raise PolicyError(f"generation_config.json of '{path}': {name}_token_id is {value!r:.80}, not a token's number")
    return value  # type: ignore[no-any-return]


def _precision(config: PolicyConfig, device: torch.device) -> tuple[torch.dtype, bool]:
    """The type of the weights, and whether to compute in bfloat16 all the same."""
    chosen, able = config.dtype, device.type == "cuda" and torch.cuda.is_bf16_supported()
    if chosen == "auto":
        # A step of 1e-5 on a weight that has 8 bits is lost in rounding; adapters are kept in float32 by PEFT.
        chosen = "float32" if not able else "bfloat16" if config.finetune == "lora" else "mixed"
    elif chosen != "float32" and device.type == "cpu":
        log.warning("policy.dtype is %s on a CPU, where it is about 80 times slower: float32 is used", chosen)
        chosen = "float32"
    return (torch.bfloat16 if chosen == "bfloat16" else torch.float32), chosen == "mixed"


def prepare(model: Any, config: PolicyConfig, adapter: Path | None) -> Any:
    """Freezes, wraps in LoRA and switches checkpointing on, as the settings say."""
    if config.finetune == "lora":
        model = _with_lora(model, config, adapter)
    elif adapter is not None:
        model = _adapted(model, adapter, trainable=False).merge_and_unload()
    if config.freeze_vision:
        for module in vision_modules(model):
            module.requires_grad_(False)
    if config.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    return model


def _with_lora(model: Any, config: PolicyConfig, adapter: Path | None) -> Any:
    from peft import LoraConfig, get_peft_model

    if adapter is not None:
        return _adapted(model, adapter, trainable=True)
    settings = LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules="all-linear",
        exclude_modules=BESIDE_LANGUAGE if config.lora_target == "language" else None,
    )
    return get_peft_model(model, settings)


def _adapted(model: Any, adapter: Path, trainable: bool) -> Any:
    from peft import PeftModel

    try:
        with warnings.catch_warnings():
            # PEFT would go on with random weights in their place.
            warnings.filterwarnings("error", message="Found missing adapter keys")
            return PeftModel.from_pretrained(model, adapter, is_trainable=trainable)
    except Exception as error:
        raise PolicyError(f"cannot load the LoRA adapter in {adapter} ({first_line(error)})") from error


def _load_head(head: ValueHead, path: Path) -> None:
    try:
        head.load_state_dict(load_file(path))
    except (SafetensorError, OSError) as error:
        raise PolicyError(f"{path} is damaged: {error}") from error
    except RuntimeError as error:
        raise PolicyError(
            f"{path} holds a value head of another shape; policy.value_hidden must be what it was saved with"
        ) from error


def load_processor(path: str | Path, model_config: Any) -> Any:
    """The model's own processor; for Qwen-VL without torchvision, its image processor and tokeniser side by side."""
    try:
        processor = AutoProcessor.from_pretrained(path, **SAFE)
    except Exception as error:
        if "qwen" not in AutoConfig.for_model(model_config.model_type).model_type:
            remedy = "; pip install torchvision" if "orchvision" in str(error) else ""
            raise PolicyError(f"cannot load the processor of '{path}': {first_line(error)}{remedy}") from error
    else:
        # In an adapter's folder, which holds no config.json, it may find the tokeniser alone.
        if hasattr(processor, "image_processor"):
            return processor
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, **SAFE)
        image_token = tokenizer.convert_ids_to_tokens(model_config.image_token_id)
        images = AutoImageProcessor.from_pretrained(path, backend="pil", **SAFE)
        return GridProcessor(images, tokenizer, image_token)
    except Exception as error:
        raise PolicyError(f"cannot load the processor of '{path}': {first_line(error)}") from error


def first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _end_ids(model: Any, tokenizer: Any) -> list[int]:
    """Ids that end a reply: the generation config's and the tokeniser's."""
    configured = model.generation_config.eos_token_id
    ids = configured if isinstance(configured, list) else [configured]
    found = [i for i in [tokenizer.eos_token_id, *ids] if i is not None and i < len(tokenizer)]
    if not found:
        raise PolicyError("the model's tokeniser has no end-of-sequence token; set eos_token in tokenizer_config.json")
    return list(dict.fromkeys(found))

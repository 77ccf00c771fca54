"""A model's folder, which may come from anybody: what is looked at before a library reads it."""

import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gtr.errors import PolicyError
from gtr.report.inside import LARGEST, Unreadable, parsed, refuse_links

WEIGHTS = re.compile(r"\.(safetensors|bin|pt|pth|ckpt|gguf|h5|msgpack|onnx)$")
INDEX = re.compile(r"[\w.-]+\.index\.json")
MOST = {"num_hidden_layers": 2000, "depth": 2000, "num_layers": 2000, "height": 20_000, "width": 20_000}
"""Settings that a library would follow for hours, and more than any model has of them."""


def check_files(folder: Path) -> None:
    """PolicyError where a model's folder holds what a library would read without end, or from elsewhere: a pipe, a
    device, gigabytes of settings, a million layers, weights that lie outside. Weights may be large."""
    if (folder.parent / "state.json").exists():  # A checkpoint in a run; the folders of a hub's cache hold links alone.
        try:
            refuse_links(folder.parent)
        except Unreadable as error:
            raise PolicyError(f"{folder.parent} {error}: put what it names there") from error
    for file in sorted(folder.iterdir()) if folder.is_dir() else ():
        try:
            found = file.stat()
        except OSError:
            continue  # A link to nowhere is as good as no file.
        if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
            raise PolicyError(f"{file} is not a regular file: remove it")
        if found.st_size > LARGEST and not WEIGHTS.search(file.name):
            raise PolicyError(f"{file} has {found.st_size / 1e6:,.0f} MB, more than any but weights have: remove it")
        for problem in _problems(file):
            raise PolicyError(f"{file}: {problem}")


def _problems(file: Path) -> Iterator[str]:
    """What is wrong with a file of settings, or with where an index says that weights lie."""
    if file.name in ("config.json", "processor_config.json", "preprocessor_config.json"):
        for key, value in _settings(_value(file)):
            if isinstance(value, int | float) and value > MOST.get(key, value):
                yield f"{key} is {value:g}, more than the {MOST[key]:,} that any model has"
    elif INDEX.fullmatch(file.name):
        value = _value(file)
        told = value.get("weight_map") if isinstance(value, dict) else None
        for name in set(map(str, told.values())) if isinstance(told, dict) else ():
            if Path(name).name != name:
                yield f"says that weights lie in {name!r}: they must lie in the folder itself"


def _value(file: Path) -> Any:
    """What a file holds; None where that is no JSON, of which the library says what is wrong."""
    try:
        return parsed(file.read_bytes())
    except (OSError, Unreadable):
        return None


def _settings(value: Any) -> Iterator[tuple[str, Any]]:
    """All keys and values in tables in tables."""
    for key, one in value.items() if isinstance(value, dict) else ():
        yield key, one
        yield from _settings(one)

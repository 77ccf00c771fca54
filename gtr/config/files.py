"""Settings in files: TOML, YAML or JSON. What a file leaves out stays as it was."""

import json
import re
import tomllib
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from gtr.config import Config
from gtr.config.io import config_from_dict, config_to_dict
from gtr.errors import ConfigError, nearest

LARGEST = 100_000
"""Bytes of a file of settings; a whole config takes four thousand."""
MOST_BRACKETS = 1000
"""Of which it has about thirty; a reader of YAML looks at all open ones again at every further one."""
MOST_DOTS = 1000
"""Of one line; a reader of TOML walks down all tables again at every further one."""


def _once(pairs: Iterable[tuple[Hashable, Any]]) -> dict[Hashable, Any]:
    """A table; a key that stands there twice is a `ValueError`, as TOML has it."""
    found: dict[Hashable, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"{key} stands there twice")
        found[key] = value
    return found


class _Loader(yaml.SafeLoader):
    """YAML whose ``1e-4`` is a number, as YAML 1.2 has it, without keys that stand there twice, and without aliases,
    which could stand for gigabytes."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not taken")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        found: dict[Hashable, Any] = super().construct_mapping(node, deep)
        _once((key.value, None) for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        return found


_FLOAT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$")
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))

READERS: Mapping[str, Callable[[str], Any]] = {
    ".toml": tomllib.loads,
    ".yaml": lambda text: yaml.load(text, _Loader),
    ".yml": lambda text: yaml.load(text, _Loader),
    ".json": lambda text: json.loads(text, object_pairs_hook=_once),
}


def read_file(path: Path) -> Mapping[str, Any]:
    """The tables of settings in a file, as they stand there.

    Raises `ConfigError` where it cannot be read, or holds no tables.
    """
    if path.suffix not in READERS:
        raise ConfigError(f"--config {path}: the ending says how it is read: {nearest(path.suffix, READERS)}")
    try:
        if not path.is_file():
            raise ConfigError(f"--config {path}: there is no such file")
        if path.stat().st_size > LARGEST:
            raise ConfigError(f"--config {path}: is too large for settings ({path.stat().st_size:,} bytes)")
        text = path.read_text("utf-8")
        if text.count("[") + text.count("{") > MOST_BRACKETS:
            raise ConfigError(f"--config {path}: holds more brackets than any settings do")
        if any(line.count(".") > MOST_DOTS for line in text.splitlines()):
            raise ConfigError(f"--config {path}: holds a line of more than {MOST_DOTS:,} dots")
        values = READERS[path.suffix](text)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise ConfigError(f"--config {path}: cannot be read: {error}") from error
    if not isinstance(values, Mapping):
        raise ConfigError(f"--config {path}: holds no table of settings")
    return values


def over(base: Config, values: Mapping[str, Any], code: Collection[str] = ()) -> Config:
    """The config with the settings of a file, of any version, in place of its own; `code` as in `config_from_dict`.

    Raises `ConfigError` naming a key that does not exist, or a value that its setting cannot take.
    """
    merged = config_to_dict(base)
    for key, value in values.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = {**merged[key], **value} if both else value
    return config_from_dict(merged, code)

"""Config to and from plain JSON values, exactly: what is written is read back equal, and what is wrong is named."""

from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints

from gtr.config import Config
from gtr.errors import ConfigError, nearest


def config_to_dict(config: Config) -> dict[str, Any]:
    """The settings as nested dictionaries of JSON values; tuples stay tuples, which JSON writes as lists."""
    return asdict(config)


def config_from_dict(values: Mapping[str, Any]) -> Config:
    """The inverse of `config_to_dict`, also after a round trip through JSON; keys left out take their defaults.

    Raises `ConfigError` naming an unknown key, or a key whose value has the wrong type.
    """
    return cast(Config, _record(Config, values, prefix=""))


def config_keys(kind: Any = Config, prefix: str = "") -> list[str]:
    """Every setting's dotted key, in the order of the dataclasses: ``preset, seed, ..., task.name, ...``."""
    hints = get_type_hints(kind)
    keys: list[str] = []
    for one in fields(kind):
        inner = hints[one.name]
        keys += config_keys(inner, f"{prefix}{one.name}.") if is_dataclass(inner) else [prefix + one.name]
    return keys


def changed_keys(old: Config, new: Config) -> list[str]:
    """The dotted keys whose values differ."""
    before, after = settings_of(old), settings_of(new)
    return [key for key in config_keys() if before[key] != after[key]]


def settings_of(config: Config) -> dict[str, Any]:
    """Every dotted key and its value."""
    return _flat(config_to_dict(config))


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    known = set(config_keys())
    flat: dict[str, Any] = {}
    for name, value in values.items():
        key = prefix + name
        flat |= {key: value} if key in known else _flat(value, key + ".")
    return flat


def _record(kind: Any, values: Any, prefix: str) -> Any:
    if not isinstance(values, Mapping):
        raise ConfigError(f"{prefix.rstrip('.') or 'the config'} must be a table of settings, not {values!r}")
    hints = get_type_hints(kind)
    names = [one.name for one in fields(kind)]
    for name in values:
        if name not in names:
            raise ConfigError(f"unknown setting {prefix}{name}: {nearest(name, names)}")
    return kind(**{name: _value(hints[name], values[name], prefix + name) for name in names if name in values})


def _value(kind: Any, value: Any, key: str) -> Any:
    if is_dataclass(kind):
        return _record(kind, value, key + ".")
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return _choice(arguments, value, key)
    if origin in (UnionType, Union):
        inner = [one for one in arguments if one is not NoneType]
        return None if value is None else _value(inner[0], value, key)
    if origin is tuple:
        return _tuple(arguments, value, key)
    if origin is dict:
        if not isinstance(value, Mapping) or not all(isinstance(one, str) for pair in value.items() for one in pair):
            raise ConfigError(f"{key} must be a table of texts, not {value!r}")
        return dict(value)
    return _scalar(kind, value, key)


def _choice(choices: tuple[Any, ...], value: Any, key: str) -> Any:
    if value not in choices:
        raise ConfigError(f"{key} is {value!r}: {nearest(str(value), [str(one) for one in choices])}")
    return value


def _tuple(arguments: tuple[Any, ...], value: Any, key: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise ConfigError(f"{key} must be a list, not {value!r}")
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(_value(arguments[0], one, key) for one in value)
    if len(value) != len(arguments):
        raise ConfigError(f"{key} must have {len(arguments)} values, not {len(value)}")
    return tuple(_value(kind, one, key) for kind, one in zip(arguments, value, strict=True))


def _scalar(kind: Any, value: Any, key: str) -> Any:
    whole_number_for_float = kind is float and isinstance(value, int) and not isinstance(value, bool)
    if whole_number_for_float:
        return float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ConfigError(f"{key} must be of type {kind.__name__}, not {value!r}")
    return value

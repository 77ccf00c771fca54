"""Config to and from plain JSON values, exactly: what is written is read back equal, and what is wrong is named.

The class of some sections is chosen by their name (`CHOSEN`): a game's settings by the game. Such a class may be code
of the user's own. A file or a run folder is data and must not choose code to run: it is imported only where the caller
says, by `code`, that the user named it; else the section's values are kept as they are.
"""

import keyword
import unicodedata
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, fields, make_dataclass, replace
from functools import cache
from typing import Any, NamedTuple

from gtr import algo, tasks
from gtr.config import AlgoConfig, Config, TaskConfig
from gtr.config.migrate import migrated
from gtr.config.reading import read
from gtr.config.section import Kept, Section, is_path
from gtr.errors import ConfigError, nearest


class Chosen(NamedTuple):
    """A section whose class is chosen by its name."""

    base: type[Section]
    """What every such class derives from, and what names are read by that no known class has."""
    find: Callable[[str], type[Section] | None]
    """The class of a name, imported if it must be; None for a name that nobody knows."""


CHOSEN: Mapping[str, Chosen] = {
    "task": Chosen(TaskConfig, tasks.settings_class),
    "algo": Chosen(AlgoConfig, algo.settings_class),
}

CODE = {"task.name": "--task", "algo.name": "--algo", "guidance.corrector": "--guidance.corrector"}
"""Settings that may name a class of the user's own, and the flag by which the user names it."""


def config_to_dict(config: Config) -> dict[str, Any]:
    """The settings as nested dictionaries of JSON values; tuples stay tuples, which JSON writes as lists."""
    return asdict(config)


def config_from_dict(values: Mapping[str, Any], code: Collection[str] = ()) -> Config:
    """The inverse of `config_to_dict`, also after a round trip through JSON; keys left out take their defaults.

    `code` holds the import paths that the user named, whose code may be run to know what their settings are. Settings
    of older versions are read too.

    Raises:
        ConfigError: an unknown key, or a value of the wrong type or out of range; the message names the key.
        GtrError: code that the user named cannot be imported.
    """

    def find(section: str, name: object) -> type[Section] | None:
        known = isinstance(name, str) and (name in code or not is_path(name))
        return CHOSEN[section].find(str(name)) if known else None

    values = migrated(values, find) if isinstance(values, Mapping) else values
    rest = read(Config, _without(values, CHOSEN))
    chosen = {name: _chosen(name, values[name], find) for name in CHOSEN if name in values}
    return replace(rest, **chosen)  # type: ignore[arg-type]


def settings_of(config: Section, prefix: str = "") -> dict[str, Any]:
    """Every dotted key and its value."""
    flat: dict[str, Any] = {}
    for one in fields(config):
        value = getattr(config, one.name)
        inner = isinstance(value, Section)
        flat |= settings_of(value, f"{prefix}{one.name}.") if inner else {prefix + one.name: value}
    return flat


def changed_keys(old: Config, new: Config) -> list[str]:
    """The dotted keys whose values differ, or which only one of them has."""
    before, after = settings_of(old), settings_of(new)
    return [key for key in {**before, **after} if before.get(key, KeyError) != after.get(key, KeyError)]


def changed(config: Config, settings: Mapping[str, Any]) -> Config:
    """The config with dotted settings replaced: ``changed(config, {"train.lr": 1e-3})``; the result is not checked.

    Raises `ConfigError` naming the nearest right one for a key that does not exist.
    """
    known = settings_of(config)
    for key, value in settings.items():
        if key not in known:
            raise ConfigError(f"unknown setting {key}: {nearest(key, known)}")
        section, _, name = key.rpartition(".")
        changes = {section: replace(getattr(config, section), **{name: value})} if section else {name: value}
        config = replace(config, **changes)
    return config


def _is_name(name: str) -> bool:
    """Whether Python code can name a field so, and not by other letters that it takes for the same."""
    usable = name.isidentifier() and not name.startswith("_") and not keyword.iskeyword(name)
    return usable and unicodedata.normalize("NFKC", name) == name


def own_code(config: Config) -> list[str]:
    """The import paths of the user's own classes among the settings."""
    named = settings_of(config)
    return [named[key] for key in CODE if is_path(named[key])]


def code_flags(config: Config) -> str:
    """The words that name the user's own classes on a command line, a blank before each; empty where there are none."""
    named = settings_of(config)
    return "".join(f" {flag} {named[key]}" for key, flag in CODE.items() if is_path(named[key]))


def check_code(values: Mapping[str, Any], named: Collection[str], where: object) -> None:
    """Raises `ConfigError` where a file or folder names code of somebody's own that the user did not name.

    Args:
        values: settings by dotted keys, as they stand there.
        named: what the user wrote on the command line.
        where: where the settings come from, for the message.
    """
    for key, flag in CODE.items():
        path = values.get(key)
        if isinstance(path, str) and is_path(path) and path not in named:
            raise ConfigError(
                f"{where} names code of its own as {key}, {path}, which is run only where you name it too: "
                f"add {flag} {path}"
            )


def _without(values: Any, keys: Collection[str]) -> Any:
    return {key: value for key, value in values.items() if key not in keys} if isinstance(values, Mapping) else values


def _chosen(section: str, values: Any, find: Callable[[str, object], type[Section] | None]) -> Section:
    """A section read by the class of its name, or with unknown values as they are."""
    given, base = values if isinstance(values, Mapping) else {}, CHOSEN[section].base
    others = tuple(_without(given, [one.name for one in fields(base)]))
    kind = find(section, given.get("name")) or _keeping(base, others)  # type: ignore[arg-type]
    return read(kind, values, f"{section}.")


@cache
def _keeping(base: type[Section], names: tuple[str, ...]) -> type[Section]:
    """A section with further values of any type, for a class whose code is not run."""
    for name in names:
        if not _is_name(name):
            raise ConfigError(f"unknown setting {name!r}: names of settings are Python's")
    return make_dataclass(base.__name__, [(name, Any, None) for name in names], bases=(base, Kept), frozen=True)

"""The words of a command line: which belong to which flag, what they mean, and whether output can go where they say."""

import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, get_type_hints

import tyro
from pydantic import TypeAdapter, ValidationError

from gtr.config.io import CODE
from gtr.config.reading import LONGEST, words_for
from gtr.errors import ConfigError

T = TypeVar("T")
Scale = Literal["tiny", "2b", "3b", "7b"]


def flag_value(arguments: Sequence[str], flag: str) -> str | None:
    """The word after `flag`, or after ``flag=``, the last time it is there; None where it is not."""
    found = None
    for word, after in zip(arguments, [*arguments[1:], ""], strict=False):
        if word.startswith(flag + "="):
            found = word.removeprefix(flag + "=")
        elif word == flag:
            found = after
    return found


def without_flag(arguments: Sequence[str], flag: str) -> tuple[str | None, list[str]]:
    """The value of a flag, if it is there, and all other words.

    >>> without_flag(["train", "gtr", "--log-level", "info", "--seed", "2"], "--log-level")
    ('info', ['train', 'gtr', '--seed', '2'])
    """
    value, words = flag_value(arguments, flag), list(arguments)
    while flag in words:
        at = words.index(flag)
        del words[at : at + 2]
    return value, [word for word in words if not word.startswith(flag + "=")]


def split_options(arguments: Sequence[str], own: Collection[str]) -> tuple[list[str], list[str]]:
    """The words that belong to the flags in `own`, leading words included, and all others.

    >>> split_options(["a", "b", "--seeds", "1", "2", "--algo.clip", "-1"], ["--seeds"])
    (['a', 'b', '--seeds', '1', '2'], ['--algo.clip', '-1'])
    """
    mine: list[str] = []
    others: list[str] = []
    current = mine
    for word in arguments:
        if is_flag(word):
            current = mine if word.partition("=")[0] in own else others
        current.append(word)
    return mine, others


def without(arguments: Sequence[str], sections: Sequence[str]) -> list[str]:
    """The words but for the flags of some sections and their values.

    >>> without(["--noise.wrong", ".2", "--train.updates", "3"], ["noise."])
    ['--train.updates', '3']
    """
    dropped = tuple(f"--{section}" for section in sections)
    flags = [word.partition("=")[0] for word in arguments if is_flag(word)]
    return split_options(arguments, [flag for flag in flags if not flag.startswith(dropped)])[0]


def is_flag(word: str) -> bool:
    """Whether a word names a setting; ``-1`` and ``-.5`` are values."""
    return word.startswith("-") and not word[1:2].isdigit() and word[1:2] != "."


def leading(arguments: Sequence[str]) -> list[str]:
    """The words before the first flag."""
    first_flag = next((index for index, word in enumerate(arguments) if is_flag(word)), len(arguments))
    return list(arguments[:first_flag])


def named_code(arguments: Sequence[str]) -> list[str]:
    """The values of the flags that may name a class of the user's own (`gtr.config.io.CODE`)."""
    return [word for flag in CODE.values() if (word := flag_value(arguments, flag)) is not None]


def refuse_empty(arguments: Sequence[str]) -> None:
    """Raises `ConfigError` for an empty word: most often a shell variable that is not set."""
    before = ""
    for word in arguments:
        flag, equals, value = word.partition("=")
        if not word.strip() or (is_flag(word) and equals and not value.strip()):
            place = f"after {before}" if before and not equals else f"for {flag}" if equals else "first"
            raise ConfigError(f"the word {place} is empty (a variable that is not set?): give a value, or leave it out")
        before = word


def parse(kind: type[T], arguments: Sequence[str], default: T, command: str, flags: bool = False) -> T:
    """The options of a command, over their defaults; a section's flags are those of the default's own class.

    `flags`: whether a bool is a flag without a value. A word that cannot be understood ends the program with a message
    that names it. Raises `ConfigError` for a number out of its field's range.
    """
    markers = () if flags else (tyro.conf.FlagConversionOff,)
    options = tyro.cli(
        kind, args=list(arguments), default=default, prog=f"gtr {command}", use_underscores=True, config=markers
    )
    hints = get_type_hints(kind, include_extras=True)
    for one in fields(options):  # type: ignore[arg-type]
        value = getattr(options, one.name)
        if not is_dataclass(value):
            _check(one.name, value, hints[one.name])
    return options


def _check(name: str, value: object, annotation: Any) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(annotation)
    try:
        adapter.validate_python(value)
    except ValidationError as error:
        hint = error.errors()[0].get("ctx", {}).get("hint", f"give {words_for(annotation)}")
        raise ConfigError(f"--{name} {value}: {hint}") from None


def parse_nothing(arguments: Sequence[str], command: str, description: str) -> None:
    """For commands without options: shows the help, refuses anything else."""
    tyro.cli(_nothing, args=list(arguments), prog=f"gtr {command}", description=description)


def _nothing() -> None:
    """No options."""


# -- where output goes --------------------------------------------------------------------------------------------
def check_file(flag: str, path: Path | None) -> None:
    """Raises `ConfigError` where a file cannot be written: said before the work, not after it."""
    if path is None:
        return
    with _told(flag, path):
        if path.exists() and not path.is_file():
            raise ConfigError(f"{flag} {shown(path)}: is there and is no file; name another")
        if not path.parent.is_dir():
            raise ConfigError(f"{flag} {shown(path)}: the folder {path.parent} does not exist; make it first")
        _try(path.parent)


def check_folder(flag: str, path: Path | None) -> None:
    """Raises `ConfigError` where a folder cannot be made, or files not be written to the one that is there."""
    if path is None:
        return
    with _told(flag, path):
        there = next(one for one in (path, *path.absolute().parents) if one.exists())
        if not there.is_dir():
            raise ConfigError(f"{flag} {shown(path)}: {there} is no folder; choose another place")
        _try(there)


@contextmanager
def _told(flag: str, path: Path) -> Iterator[None]:
    try:
        with suppress(FileNotFoundError):
            path.stat()
        yield
    except (OSError, ValueError, RuntimeError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"{flag} {shown(path)}: cannot be written ({why}); choose another place") from error


def _try(folder: Path) -> None:
    """OSError where nothing can be written in a folder, whatever its rights say."""
    tempfile.TemporaryFile(dir=folder).close()


def shown(path: Path) -> str:
    """A path in a message."""
    text = str(path)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."

"""Values into a dataclass of settings, by pydantic; what is wrong is told by its key, its value and what is right."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Le, Lt, MinLen
from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from gtr.config.section import Section
from gtr.errors import ConfigError, nearest

S = TypeVar("S", bound=Section)
LONGEST = 80
"""Characters of a wrong value that a message shows."""


def read(kind: type[S], values: Any, prefix: str = "") -> S:
    """The settings of `kind` from plain JSON values; what is left out takes its default.

    Raises `ConfigError` for the first unknown key (naming the nearest right one), wrong type or value out of range.
    `prefix` is what stands before every key in messages, such as ``task.``.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{prefix.rstrip('.') or 'the config'} must be a table of settings, not {_shown(values)}")
    try:
        found: S = _adapter(kind).validate_json(json.dumps(values))  # type: ignore[arg-type]
        return found
    except ValidationError as error:
        raise ConfigError(_sentence(kind, error.errors()[0], prefix)) from None
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigError(f"{prefix.rstrip('.') or 'the config'} holds what is no plain value: {error}") from error


def keys(kind: Any, prefix: str = "") -> list[str]:
    """Every setting's dotted key, in the order of the dataclasses: ``preset, seed, ..., task.name, ...``."""
    return [prefix + ".".join(path) for path, _ in leaves(kind)]


def leaves(kind: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every setting's path and annotation."""
    hints = get_type_hints(kind, include_extras=True)
    for one in fields(kind):
        inner = hints[one.name]
        if is_dataclass(inner):
            yield from leaves(inner, (*path, one.name))
        else:
            yield (*path, one.name), inner


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _sentence(kind: Any, error: ErrorDetails, prefix: str) -> str:
    """What pydantic found, in our words."""
    path, about, seen = error["loc"], error.get("ctx", {}), _shown(error["input"])
    key = prefix + ".".join(part for part in path if isinstance(part, str))
    if error["type"] == "json_invalid":
        return f"{key or 'a setting'} holds what is no valid text: write it in Unicode"
    if error["type"] == "unexpected_keyword_argument":
        known = [one.name for one in fields(_bare(_at(kind, path[:-1])))]
        return f"unknown setting {key}: {nearest(str(path[-1]), known)}"
    if error["type"] == "predicate_failed":
        return f"{key} is empty: give a value, or leave it out"
    if error["type"] == "known":
        return f"{key} is {seen}: {about['hint']}"
    wanted = _at(kind, path[:-1] if error["type"] == "missing" else path)
    if error["type"] == "literal_error":
        return f"{key} is {seen}: {nearest(str(error['input']), map(str, get_args(_bare(wanted))))}"
    return f"{key} is {seen}: give {words_for(wanted)}"


def words_for(annotation: Any) -> str:
    """What a setting takes: ``a whole number from 1 to 32, or None``."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return " or ".join("None" if one is NoneType else words_for(one) for one in inner)
    if origin is Annotated:
        if any(isinstance(one, MinLen) for one in inner[1:]):
            return f"{words_for(inner[0])} of one or more"
        low, high = _ends(inner[1:])
        return f"{words_for(inner[0])} from {low} to {high}" if low and high else words_for(inner[0])
    if origin is tuple:
        return "a list" if Ellipsis in inner else f"a list of {len(inner)} values"
    if is_dataclass(annotation):
        return "a table of settings"
    return {bool: "True or False", int: "a whole number", float: "a number"}.get(annotation, "a text")


def _ends(marks: Sequence[Any]) -> tuple[str, str]:
    """The range that stands at a field, in words."""
    low = high = ""
    for one in marks:
        if isinstance(one, Ge):
            low = f"{one.ge}"
        elif isinstance(one, Le):
            high = f"{one.le}"
        elif isinstance(one, Lt):
            high = f"below {one.lt}"
    return low, high


def _at(kind: Any, path: Sequence[str | int]) -> Any:
    """The annotation that a path of keys, and of places in lists, leads to."""
    for part in path:
        bare = _bare(kind)
        if isinstance(part, str):
            kind = get_type_hints(bare, include_extras=True)[part]
        else:
            inner = get_args(bare)
            kind = inner[0] if Ellipsis in inner else inner[min(part, len(inner) - 1)]
    return kind


def _bare(annotation: Any) -> Any:
    """An annotation without its range and without None."""
    while get_origin(annotation) in (Annotated, Union, UnionType):
        annotation = get_args(annotation)[0]
    return annotation


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."

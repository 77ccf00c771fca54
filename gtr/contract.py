"""What code of the user's own owes its base class: each method is watched, and who breaks its word is told where.

A method of a task, corrector or algorithm that raises, or returns another type than its base class promises, ends in
one message: which method, what it must return, and the traceback of the user's own code.
"""

import inspect
import re
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import is_dataclass
from functools import cache, wraps
from itertools import dropwhile
from pathlib import Path
from types import FunctionType, NoneType
from typing import Any, get_type_hints

import numpy as np

from gtr.errors import ContractError, GtrError

PACKAGE = str(Path(__file__).parent)
_WATCHED: set[type] = set()
_IGNORED: ContextVar[bool] = ContextVar("ignored", default=False)
_hints: Callable[[Any], dict[str, Any]] = cache(get_type_hints)


def blamed(text: str, remedy: str, error: Exception, kind: type[ContractError] = ContractError) -> ContractError:
    """What is wrong with code that raised, the traceback of it below, without the frames of gtr that led there.

    >>> print(blamed("OwnTask.prompt raised KeyError: 'x'", "return str", KeyError("x")))
    OwnTask.prompt raised KeyError: 'x': return str
    """
    found = kind(text, remedy)
    told = traceback.TracebackException.from_exception(error)
    own = dropwhile(lambda frame: frame.filename.startswith(PACKAGE), told.stack)
    told.stack = traceback.StackSummary.from_list(list(own))
    if told.stack:
        found.add_note("".join(told.format()).rstrip())
    return found


def watch(kind: type) -> None:
    """Watches the methods and properties of a class of the user's own, and of its parents, that gtr's classes name."""
    for owner in kind.__mro__:
        if _ours(owner) or owner in _WATCHED:
            continue
        _WATCHED.add(owner)
        for name, own in list(vars(owner).items()):
            promise = None if name.startswith("_") else _promise(kind, name)
            if promise is None:
                continue
            if isinstance(own, FunctionType) and own.__module__.split(".")[0] != "gtr":
                setattr(owner, name, _watched(own, f"{kind.__name__}.{name}", promise))
            elif isinstance(own, property) and isinstance(own.fget, FunctionType):
                setattr(owner, name, property(_watched(own.fget, f"{kind.__name__}.{name}", promise)))


@contextmanager
def unwatched() -> Iterator[None]:
    """Within it code of the user's own raises and answers as it will, for whoever holds it to its contract."""
    token = _IGNORED.set(True)
    try:
        yield
    finally:
        _IGNORED.reset(token)


def kept(answer: Any, promise: Any, where: str) -> None:
    """Raises `ContractError` for an answer of another type than promised, or a field of a record of `gtr.types`.

    numpy's numbers pass as Python's.
    """
    from typeguard import TypeCheckError, check_type

    try:
        check_type(_plain(answer), promise)
        if type(answer).__module__ == "gtr.types" and is_dataclass(answer):
            for name, kind in _hints(type(answer)).items():
                kept(getattr(answer, name), kind, f"{where}: {name} of what it")
    except TypeCheckError as problem:
        text = f"{where} returned {type(answer).__name__}: {' '.join(str(problem).split())}"
        raise ContractError(text, f"it must return {_told(promise)}") from None


def _ours(kind: type) -> bool:
    return kind.__module__.split(".")[0] in ("gtr", "abc", "builtins")


def _promise(kind: type, name: str) -> Any:
    """What the first of gtr's classes that has a method or property says it returns; None where none says."""
    said = next((vars(one)[name] for one in reversed(kind.__mro__) if _ours(one) and name in vars(one)), None)
    method = said.fget if isinstance(said, property) else said
    try:
        return get_type_hints(method).get("return") if isinstance(method, FunctionType) else None
    except NameError:  # A type of torch's, which gtr's light files name without importing it.
        return None


def _watched(method: Callable[..., Any], where: str, promise: Any) -> Callable[..., Any]:
    code = inspect.unwrap(method).__code__
    at = f"line {code.co_firstlineno} of {code.co_filename}"

    @wraps(method)
    def call(*args: Any, **named: Any) -> Any:
        if _IGNORED.get():
            return method(*args, **named)
        try:
            answer = method(*args, **named)
        except GtrError:
            raise
        except Exception as error:
            text = f"{where} ({at}) raised {type(error).__name__}: {error}"
            raise blamed(text, f"it must return {_told(promise)}", error) from error
        if promise is not NoneType:
            kept(answer, promise, f"{where} ({at})")
        return answer

    return call


def _told(promise: Any) -> str:
    modules = r"\b(collections\.abc|concurrent\.futures\._base|gymnasium\.core|typing)\."
    return re.sub(modules, "", inspect.formatannotation(promise))


def _plain(value: Any) -> Any:
    """A value with Python's numbers in place of numpy's."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    return type(value)(map(_plain, value)) if type(value) in (list, tuple) else value

"""Chat templates: programs of whoever made a model, run in a sandbox, and within bounds of time and length."""

import ctypes
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from jinja2 import Environment, TemplateError

from gtr.errors import PolicyError

MOST_SECONDS = 10.0
"""For one chat; real templates take a thousandth of a second."""
LONGEST = 10_000_000
"""Characters of a written chat."""


def written(processor: Any, chat: Sequence[Mapping[str, Any]]) -> str:
    """The chat as the processor's template writes it, up to where the model's turn begins.

    Raises `PolicyError` where the template fails, in any way, or goes on and on.
    """
    try:
        _refuse_powers(processor)
        with limited(MOST_SECONDS):
            text = processor.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
        if len(text) > LONGEST:
            raise ValueError(f"it wrote {len(text):,} characters")
    except Exception as error:
        raise PolicyError(
            f"policy.model has no usable chat template ({error}); save one with its processor (chat_template.jinja)"
        ) from error
    return str(text)


def _refuse_powers(processor: Any) -> None:
    """``9 ** 9 ** 9`` is one step to Python, which nothing can interrupt; no template needs powers."""
    owners = (processor, getattr(processor, "tokenizer", None))
    texts = [one for owner in owners for one in _texts(getattr(owner, "chat_template", None))]
    for text in texts:
        if "**" in text and any(token[1:] == ("operator", "**") for token in Environment().lex(text)):
            raise TemplateError("it takes a power")


def _texts(template: Any) -> list[str]:
    found = template.values() if isinstance(template, Mapping) else [template]
    return [one for one in found if isinstance(one, str)]


class TooLongError(Exception):
    """A block took longer than it may."""


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raises `TooLongError` in a block of Python code that runs for longer, on any thread."""
    thread, lock, ends = ctypes.c_ulong(threading.get_ident()), threading.Lock(), list[str]()

    def late() -> None:
        with lock:
            if not ends:
                ends.append("late")
                _raise_in(thread, TooLongError)

    timer = threading.Timer(seconds, late)
    timer.daemon = True
    try:
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            with lock:
                ends.append("left")
            if ends[0] == "late":
                _raise_in(thread, None)  # What has not come yet must not come outside the block.
    except TooLongError:
        raise TooLongError(f"it takes longer than {seconds:g} s") from None


def _raise_in(thread: ctypes.c_ulong, error: type[Exception] | None) -> None:
    """Raises an error between two steps of a thread, or takes back one that has not come yet."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, None if error is None else ctypes.py_object(error))

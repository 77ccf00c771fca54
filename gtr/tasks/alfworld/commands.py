"""Commands in both of ALFWorld's grammars: read, compared, and matched to what an agent wrote."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

_FORMS: Sequence[tuple[str, str]] = (
    ("go", r"go to (?P<where>.+)"),
    ("open", r"open (?P<where>.+)"),
    ("close", r"close (?P<where>.+)"),
    ("take", r"take (?P<thing>.+) from (?P<where>.+)"),
    ("put", r"move (?P<thing>.+) to (?P<where>.+)"),
    ("put", r"put (?P<thing>.+?) (?:in/on|in|on) (?P<where>.+)"),
    ("heat", r"heat (?P<thing>.+) with (?P<where>.+)"),
    ("cool", r"cool (?P<thing>.+) with (?P<where>.+)"),
    ("clean", r"clean (?P<thing>.+) with (?P<where>.+)"),
    ("slice", r"slice (?P<thing>.+) with (?P<where>.+)"),
    ("use", r"use (?P<thing>.+)"),
    ("examine", r"examine (?P<where>.+)"),
)
_PATTERNS = tuple((verb, re.compile(form)) for verb, form in _FORMS)
_ARTICLES = re.compile(r"\b(?:the|a|an|some)\b ")


@dataclass(frozen=True)
class Command:
    """A command taken apart. Example: ``move mug 1 to desk 2`` is ``Command("put", "mug 1", "desk 2")``."""

    verb: str
    thing: str = ""
    where: str = ""


def read(text: str) -> Command:
    """Any command; one of a single word, as ``look``, is its own verb.

    >>> read("put mug 1 in/on desk 2")
    Command(verb='put', thing='mug 1', where='desk 2')
    """
    for verb, pattern in _PATTERNS:
        match = pattern.fullmatch(text)
        if match is not None:
            parts = match.groupdict()
            return Command(verb, parts.get("thing", ""), parts.get("where", ""))
    return Command(text)


def index(commands: Iterable[str]) -> Mapping[Command, str]:
    """Admissible commands by their parts; the first where two read alike."""
    found: dict[Command, str] = {}
    for text in commands:
        found.setdefault(read(text), text)
    return found


def normal(text: str) -> Command:
    """What a text means as a command, whatever its case, spacing, articles, closing full stop and grammar."""
    plain = " ".join(text.lower().replace("_", " ").split()).strip(" .!'\"`")
    plain = re.sub(r"([a-z])(\d+)\b", r"\1 \2", _ARTICLES.sub("", plain))
    return read(plain)


def match(text: str, commands: Sequence[str], substring: bool = False) -> str | None:
    """The admissible command that a text names: exactly, or by a normal form that only one command has.

    `substring` reads as the reference code does: the first admissible command that occurs in the text.
    """
    if text in commands:
        return text
    if substring:
        return next((command for command in commands if command in text), None)
    wanted = normal(text)
    found = [command for command in commands if normal(command) == wanted]
    return found[0] if len(found) == 1 else None

"""Every error a user can cause, named after the boundary that was crossed.

The command line prints these as one plain message without a traceback; anything else that escapes is a bug.
Each message says what was seen, where, and what would be right.
"""

from collections.abc import Iterable
from difflib import get_close_matches

DISTRIBUTION = "guided-thought"
"""What the package is called where packages are installed from; ``gtr`` is somebody else's there."""
LISTED, FEW = 60, 20
"""Names of more than so many, as of a crowded folder's entries, are not all listed, but so few of the nearest."""


def to_install(extra: str) -> str:
    """The command that brings an optional part along.

    >>> to_install("show")
    "pip install 'guided-thought[show]'"
    """
    return f"pip install '{DISTRIBUTION}[{extra}]'"


class GtrError(Exception):
    """Base of all errors that are the answer to bad input, not a defect of gtr."""


class ConfigError(GtrError):
    """A setting has a value that cannot work; the message names the key."""


class EmptySplitError(ConfigError):
    """A split of an evaluation of which the settings leave no start."""


class TaskError(GtrError):
    """A task or its environment cannot be loaded, or breaks the contract of `gtr.tasks.task.Task`."""


class ContractError(GtrError):
    """Code of the user's own raises, or answers outside the contract of its base class."""

    def __init__(self, text: str, remedy: str) -> None:
        super().__init__(f"{text}: {remedy}")
        self.text, self.remedy = text, remedy


class PolicyError(GtrError):
    """A model cannot be loaded, or does not fit the task, the settings or the checkpoint."""


class RunError(GtrError):
    """A run folder is missing, damaged, in use, or would be overwritten."""


class CorrectorError(GtrError):
    """A corrector cannot be reached or answers outside its contract."""


class EngineError(GtrError):
    """The engine that samples cannot be reached, fails for good, or does not hold the trainer's weights."""


class DivergenceError(GtrError):
    """Training produced a value that is not finite; the message names the loss term."""


def nearest(value: str, known: Iterable[str]) -> str:
    """A sentence naming the known names, nearest first: ``did you mean 'points24'? Known: ...``.

    >>> nearest("point24", ["ezpoints", "points24"])
    "did you mean 'points24'? Known: ezpoints, points24"
    >>> nearest("name7", [f"name{i}" for i in range(100)])[-35:]
    'name87, name9, name97 and 80 others'
    """
    names = sorted(known)
    close = get_close_matches(value, names, n=1, cutoff=0.5)
    shown = names if len(names) <= LISTED else sorted(get_close_matches(value, names, n=FEW, cutoff=0))
    listed = "Known: " + ", ".join(shown) + (f" and {len(names) - FEW} others" if len(names) > LISTED else "")
    return f"did you mean '{close[0]}'? {listed}" if close else listed

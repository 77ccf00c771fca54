"""Game files: one game as a record, and ALFWorld's own games on disk by split, in a stable order."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gtr.errors import TaskError
from gtr.report.inside import Unreadable, parsed, read_named
from gtr.tasks.alfworld.world import Kind, read_goal

FOLDERS = {"train": "train", "seen": "valid_seen", "unseen": "valid_unseen"}
"""ALFWorld's folder of each split."""
DOWNLOAD = "alfworld-download"
GAME_FILE = "game.tw-pddl"
_TASK = re.compile(r'"Your task is to: ([^"]*)"')

Grammar = Literal["move", "put"]


@dataclass(frozen=True)
class Game:
    """One game as ALFWorld's engine reads it."""

    name: str
    """Unique within its split and stable: the folder's path below the split, or the generator's own."""
    kind: Kind
    domain: str
    grammar: str
    problem: str
    walkthrough: tuple[str, ...] | None
    """Commands that win, or None where none are stored."""
    path: str | None = None
    """The file it came from."""

    @property
    def task(self) -> str:
        """The task in words, as ``put a mug in desk``."""
        found = _TASK.search(self.grammar)
        return found[1].strip().rstrip(".") if found else ""

    @property
    def words(self) -> Grammar:
        """How it says that something is put down: ``move mug 1 to desk 1``, or before ALFWorld 0.4 ``put mug 1 in/on
        desk 1``."""
        return "move" if re.search(r'"move \{o\} to \{r\}"', self.grammar) else "put"

    @property
    def label(self) -> str:
        """How messages name it."""
        return self.path or self.name

    def as_json(self) -> dict[str, Any]:
        """The content of its game file."""
        return {
            "pddl_domain": self.domain,
            "grammar": self.grammar,
            "pddl_problem": self.problem,
            "solvable": self.walkthrough is not None,
            "walkthrough": None if self.walkthrough is None else list(self.walkthrough),
        }


def read_game(path: Path, name: str | None = None) -> Game:
    """A game from its file.

    Raises:
        TaskError: the file is missing, cut short, lacks a part, is marked unsolvable, or asks for something else than
            the six kinds of task; the message begins with its path.
    """
    try:
        data = parsed(read_named(path))
    except Unreadable as error:
        raise TaskError(f"{path}: {error}; {_mend()}") from error
    parts = _checked(data, path)
    if data.get("solvable") is False:
        raise TaskError(f"{path}: is marked unsolvable; take it out of the folder or leave out broken games")
    walkthrough = data.get("walkthrough")
    if walkthrough is not None and not (
        isinstance(walkthrough, list) and all(isinstance(command, str) for command in walkthrough)
    ):
        raise TaskError(f"{path}: its walkthrough is not a list of commands; {_mend()}")
    try:
        kind = read_goal(parts["pddl_problem"]).kind
    except TaskError as error:
        raise TaskError(f"{path}: {error}") from error
    steps = None if walkthrough is None else tuple(walkthrough)
    name = name or f"{path.parent.parent.name}/{path.parent.name}"
    return Game(name, kind, parts["pddl_domain"], parts["grammar"], parts["pddl_problem"], steps, str(path))


def _checked(data: Any, path: Path) -> Mapping[str, str]:
    """The three texts every game has, each with balanced brackets."""
    if not isinstance(data, dict):
        raise TaskError(f"{path}: is not a game: it holds a {type(data).__name__}, not an object; {_mend()}")
    for key in ("pddl_domain", "grammar", "pddl_problem"):
        if not isinstance(data.get(key), str) or not data[key].strip():
            raise TaskError(f"{path}: has no {key}; {_mend()}")
    for key in ("pddl_domain", "pddl_problem"):
        text = re.sub(r";[^\n]*", "", data[key])
        if text.count("(") != text.count(")"):
            raise TaskError(f"{path}: its {key} is cut short: brackets do not match; {_mend()}")
    return data


def _mend() -> str:
    return f"fetch it again with: {DOWNLOAD}"


def data_folder() -> Path:
    """The folder with ALFWorld's games, ``$ALFWORLD_DATA/json_2.1.1``.

    Raises:
        TaskError: the variable is not set or the folder does not exist.
    """
    root = os.environ.get("ALFWORLD_DATA")
    if not root:
        raise TaskError(f"ALFWORLD_DATA is not set: fetch the games with `{DOWNLOAD}` and set it to their folder")
    for folder in (Path(root) / "json_2.1.1", Path(root)):
        if any((folder / name).is_dir() for name in FOLDERS.values()):
            return folder
    raise TaskError(f"ALFWORLD_DATA={root}: no folder json_2.1.1/train, valid_seen or valid_unseen there")


def game_files(split: str, kinds: Sequence[Kind]) -> list[Path]:
    """All game files of a split and of these kinds of task, sorted by path.

    Kinds are told from the folders' names, which ALFWorld makes from them. Folders that ALFWorld itself leaves out
    (movable receptacles, sliced things) are left out alike; every other folder without a game is an error.
    """
    root = data_folder() / FOLDERS[split]
    if not root.is_dir():
        raise TaskError(f"{root} does not exist: split {split!r} was not fetched; {_mend()}")
    found: list[Path] = []
    for folder in sorted(root.glob("*/*"), key=lambda path: path.relative_to(root).as_posix()):
        name = folder.parent.name
        if not folder.is_dir() or "movable" in name or "Sliced" in name:
            continue
        if not any(name.startswith(kind.value) for kind in kinds):
            continue
        if not (folder / GAME_FILE).is_file():
            raise TaskError(f"{folder}: has no {GAME_FILE}; {_mend()}, or take the folder away")
        found.append(folder / GAME_FILE)
    if not found:
        raise TaskError(f"{root} holds no game of the kinds {', '.join(kind.value for kind in kinds)}")
    return found


def report(split: str, kinds: Sequence[Kind]) -> tuple[list[Game], list[str]]:
    """All games of a split, and one message with its path for every file that is none."""
    games, broken = [], []
    for path in game_files(split, kinds):
        try:
            games.append(read_game(path))
        except TaskError as error:
            broken.append(str(error))
    return games, broken

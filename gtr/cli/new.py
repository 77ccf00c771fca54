"""``gtr new``: a skeleton to begin a task of one's own from."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

import tyro

from gtr.cli.argv import check_folder, leading, parse
from gtr.errors import ConfigError

TEST = '''"""Whether the task can be trained: what ``gtr check`` finds."""

from pathlib import Path

from gtr import preset
from gtr.check import findings

TASK = str(Path(__file__).with_name("{name}.py")) + ":{label}Task"


def test_nothing_is_wrong_with_the_task():
    assert [one.text for one in findings(preset("gtr", TASK)) if not one.fine] == []
'''


@dataclass(frozen=True)
class NewOptions:
    """Write NAME.py, a small task that works, to be changed into yours, and test_NAME.py, which checks it."""

    what: Annotated[Literal["task"], tyro.conf.Positional] = "task"
    """What to write."""
    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")] = ""
    """The task's name, a lower-case word such as maze."""
    folder: Path = Path()
    """Folder for both files."""


def new(arguments: Sequence[str]) -> None:
    """task NAME              write a small task of your own that works, and its test"""
    if len(leading(arguments)) != 2 and not {"-h", "--help"} & set(arguments):
        raise ConfigError("write what is to be made and its name: gtr new task NAME")
    chosen = parse(NewOptions, arguments, NewOptions(), "new", flags=True)
    for file, text in _files(chosen).items():
        try:
            with file.open("x") as opened:
                opened.write(text)
        except FileExistsError:
            raise ConfigError(f"{file} is there already: choose another name, or another --folder") from None
        print(f"wrote {file}")
    task = f"{chosen.folder / chosen.name}.py:{_label(chosen.name)}Task"
    print(f"check it:  gtr check {task}\nplay it:   gtr play {task}\ntrain it:  gtr train gtr --task {task}")


def _files(chosen: NewOptions) -> dict[Path, str]:
    """What is to be written where."""
    name, label = chosen.name, _label(chosen.name)
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ConfigError(f"the name {name!r}: write a lower-case word of letters, digits and _, such as maze")
    check_folder("--folder", chosen.folder)
    chosen.folder.mkdir(parents=True, exist_ok=True)
    source = resources.files("gtr.tasks").joinpath("skeleton.py").read_text("utf-8")
    task = source.replace("Skeleton", label).replace("skeleton", name)
    made = {f"{name}.py": task, f"test_{name}.py": TEST.format(name=name, label=label)}
    return {chosen.folder / file: text for file, text in made.items()}


def _label(name: str) -> str:
    """A name as a class begins with it.

    >>> _label("ice_rink")
    'IceRink'
    """
    return "".join(part.capitalize() for part in name.split("_"))

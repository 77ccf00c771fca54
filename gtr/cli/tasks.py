"""``gtr tasks``: the games that come with gtr."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from gtr.cli.argv import parse_nothing
from gtr.tasks import TASKS, load, settings


def tasks(arguments: Sequence[str]) -> None:
    """the games that come with gtr"""
    parse_nothing(arguments, "tasks", "Lists the games that come with gtr.")
    table = Table("name", "the game", "thought", "turns", "splits")
    for name in TASKS:
        task = load(settings(name))
        about = (type(task).__doc__ or "").splitlines()[0]
        table.add_row(name, about, ", ".join(task.thought_keys), str(task.max_turns), ", ".join(task.splits))
    Console().print(table)
    print("A game of yours: gtr train PRESET --task package.module:Class, or --task file.py:Class")

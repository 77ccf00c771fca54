"""Where an environment's games come from: the generator, or ALFWorld's files. A number is always the same game."""

import functools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import final

from gtr.errors import TaskError
from gtr.tasks.alfworld.games import Game, game_files, read_game
from gtr.tasks.alfworld.generate import Wish, make
from gtr.tasks.alfworld.world import Kind


class Library(ABC):
    """A numbered list of games."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def game(self, number: int) -> Game:
        """The game of this number, from 0; TaskError where it cannot be read."""

    def named(self, name: str | int) -> Game:
        """A game by its number, or by the path of its file."""
        if isinstance(name, str):
            return read_game(Path(name))
        if not 0 <= name < len(self):
            raise TaskError(f"game {name}: there are {len(self)} games, numbered from 0")
        return self.game(name)


@final
class Generated(Library):
    """Games made on demand."""

    def __init__(self, wish: Wish, count: int) -> None:
        self._wish, self._count = wish, count

    def __len__(self) -> int:
        return self._count

    def game(self, number: int) -> Game:
        return _made(self._wish, number)


@functools.lru_cache(1024)
def _made(wish: Wish, number: int) -> Game:
    return make(wish, number)


@final
class Files(Library):
    """ALFWorld's own games of a split."""

    def __init__(self, split: str, kinds: Sequence[Kind], count: int | None) -> None:
        self._paths = game_files(split, kinds)[:count]

    def __len__(self) -> int:
        return len(self._paths)

    def game(self, number: int) -> Game:
        return _file(self._paths[number])


@functools.lru_cache(256)
def _file(path: Path) -> Game:
    return read_game(path)

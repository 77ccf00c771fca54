"""Where an environment's games come from: the generator, or ALFWorld's files. A number is always the same game."""

import functools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import final

from gtr.errors import TaskError
from gtr.tasks.alfworld.draft import GameSpec
from gtr.tasks.alfworld.engine import Player
from gtr.tasks.alfworld.games import Game, game_files, read_game
from gtr.tasks.alfworld.generate import make, make_proved
from gtr.tasks.alfworld.world import Kind


class GameSet(ABC):
    """A numbered list of games."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def game(self, number: int) -> Game:
        """The game of this number, from 0; TaskError where it cannot be read."""

    def proved(self, number: int, player: Player) -> Game:
        """The same game, won once by the player where nobody has won it before."""
        return self.game(number)

    def named(self, name: str | int, player: Player) -> Game:
        """A game by its number, or by the path of its file."""
        if isinstance(name, str):
            return read_game(Path(name))
        if not 0 <= name < len(self):
            raise TaskError(f"game {name}: there are {len(self)} games, numbered from 0")
        return self.proved(name, player)


@final
class Generated(GameSet):
    """Games made on demand."""

    def __init__(self, spec: GameSpec, count: int) -> None:
        self._spec, self._count = spec, count

    def __len__(self) -> int:
        return self._count

    def game(self, number: int) -> Game:
        return _proved.get((self._spec, number)) or make(self._spec, number)

    def proved(self, number: int, player: Player) -> Game:
        key = (self._spec, number)
        if key not in _proved:
            _proved[key] = make_proved(self._spec, number, player)
        return _proved[key]


_proved: dict[tuple[GameSpec, int], Game] = {}
"""Generated games that were won, by all environments of this process; about 20 kB each."""


@final
class Files(GameSet):
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

"""Sokoban: push every box onto a goal. Rewards as in gym-sokoban: -0.1 a turn, +1 and -1 for a box that comes onto or
leaves a goal, +10 at the end. Rooms are random and solvable, one for each start.

A room is a tuple of lines, as Sokoban is usually written: ``#`` wall, ``.`` goal, blank floor; boxes and the player are
kept apart from it.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, ClassVar

import gymnasium
import numpy as np
from annotated_types import Ge, Le
from PIL import Image as Pictures
from PIL import ImageDraw

from gtr.config import TaskConfig
from gtr.errors import TaskError
from gtr.tasks.boards import MOVES, BoardTask, Cell
from gtr.tasks.cards import check_size, look_of
from gtr.tasks.defaults import Tiny
from gtr.tasks.looks import DeckSettings
from gtr.tasks.pictured import PictureEnv
from gtr.types import Image, Truth

Room = tuple[str, ...]
Boxes = frozenset[Cell]
BOX, GOAL = "#a8692a", "#2e9e5b"
"""Colours in every look."""
TRIES = 10_000


def pushed(room: Room, player: Cell, boxes: Boxes, move: str) -> tuple[Cell, Boxes]:
    """Player and boxes after a move; both as they were where a wall, or a second box, is in the way.

    >>> pushed(("    ",), (0, 0), frozenset({(0, 1)}), "right")
    ((0, 1), frozenset({(0, 2)}))
    """
    down, across = MOVES[move]
    there = player[0] + down, player[1] + across
    if _wall(room, there):
        return player, boxes
    if there not in boxes:
        return there, boxes
    behind = there[0] + down, there[1] + across
    if _wall(room, behind) or behind in boxes:
        return player, boxes
    return there, boxes - {there} | {behind}


def _wall(room: Room, cell: Cell) -> bool:
    inside = 0 <= cell[0] < len(room) and 0 <= cell[1] < len(room[0])
    return not inside or room[cell[0]][cell[1]] == "#"


def goals(room: Room) -> Boxes:
    """The cells of all goals."""
    return frozenset((row, column) for row, line in enumerate(room) for column, kind in enumerate(line) if kind == ".")


@lru_cache(maxsize=16384)
def moves_left(room: Room, player: Cell, boxes: Boxes) -> int | None:
    """The fewest moves that bring every box onto a goal, by breadth-first search; None where no moves do.

    >>> moves_left(("   .",), (0, 0), frozenset({(0, 1)}))
    2
    """
    wanted, known, queue = goals(room), {(player, boxes)}, deque([(player, boxes, 0)])
    while queue:
        here, now, moves = queue.popleft()
        if now <= wanted:
            return moves
        for move in MOVES:
            after = pushed(room, here, now, move)
            if after not in known:
                known.add(after)
                queue.append((*after, moves + 1))
    return None


class SokobanEnv(PictureEnv[np.int64]):
    """A room of floor, goals and walls. Observation: an RGB picture. Actions: left, down, right, up (0 to 3).

    ``reset(options={"room": ["   ", " . "], "player": [0, 0], "boxes": [[0, 1]]})`` plays a room of one's own. `info`
    has ``Room``, ``Player``, ``Boxes`` and ``success``.
    """

    options = ("room", "player", "boxes")

    def __init__(
        self,
        image_size: int = 300,
        deck: str = "classic",
        side: int = 4,
        boxes: int = 1,
        walls: int = 2,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(check_size(image_size), gymnasium.spaces.Discrete(len(MOVES)), render_mode)
        self.look = look_of(deck)
        if side * side < 2 * boxes + walls + 1:
            raise TaskError(f"side={side}, boxes={boxes}, walls={walls}: the room has no place for all of them")
        self.side, self.count, self.walls = side, boxes, walls
        self.room: Room = ()
        self.player: Cell = (0, 0)
        self.boxes: Boxes = frozenset()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Image, dict[str, Any]]:
        """Draws a room that can be solved and is not, or takes that of ``options``."""
        options = self.begin(seed, options)
        if options:
            self.room, self.player = tuple(options["room"]), tuple(options["player"])
            self.boxes = frozenset(map(tuple, options["boxes"]))
        else:
            self.room, self.player, self.boxes = self._drawn()
        return self._picture(), self._info()

    def _drawn(self) -> tuple[Room, Cell, Boxes]:
        for _ in range(TRIES):
            cells = [divmod(int(cell), self.side) for cell in self.np_random.permutation(self.side**2)]
            player, boxes, rest = cells[0], frozenset(cells[1 : 1 + self.count]), cells[1 + self.count :]
            marks = dict.fromkeys(rest[: self.count], ".") | dict.fromkeys(rest[self.count :][: self.walls], "#")
            room = tuple(
                "".join(marks.get((row, column), " ") for column in range(self.side)) for row in range(self.side)
            )
            if moves_left(room, player, boxes) is not None:
                return room, player, boxes
        raise TaskError(
            f"side={self.side}, boxes={self.count}, walls={self.walls}: no room can be solved; fewer walls?"
        )

    def step(self, action: int | np.int64) -> tuple[Image, float, bool, bool, dict[str, Any]]:
        """Moves the player, and the box before it."""
        wanted, before = goals(self.room), self.boxes
        self.player, self.boxes = pushed(self.room, self.player, before, list(MOVES)[int(action)])
        won = self.boxes <= wanted
        reward = -0.1 + len(self.boxes & wanted) - len(before & wanted) + (10.0 if won else 0.0)
        return self._picture(), reward, won, False, self._info()

    def _info(self) -> dict[str, Any]:
        boxes = sorted(map(list, self.boxes))
        won = self.boxes <= goals(self.room)
        return {"Room": list(self.room), "Player": list(self.player), "Boxes": boxes, "success": won}

    def _picture(self) -> Image:
        colours, cell = self.look.style, self.size / max(len(self.room), len(self.room[0]))
        canvas = Pictures.new("RGB", (self.size, self.size), colours.table)
        draw = ImageDraw.Draw(canvas)

        def box(place: Cell, inset: float) -> tuple[float, float, float, float]:
            left, top, inner = (place[1] + inset) * cell, (place[0] + inset) * cell, cell * (1 - 2 * inset)
            return left, top, left + inner, top + inner

        for row, line in enumerate(self.room):
            for column, kind in enumerate(line):
                draw.rectangle(box((row, column), 0.02), fill=colours.back if kind == "#" else colours.face)
        for place in self.boxes:
            draw.rectangle(box(place, 0.14), fill=BOX, outline=colours.black)
        for place in goals(self.room):
            draw.ellipse(box(place, 0.34), fill=GOAL)
        draw.ellipse(box(self.player, 0.22), fill=colours.red, outline=colours.black)
        for place in goals(self.room) & {self.player}:
            draw.ellipse(box(place, 0.38), fill=GOAL)
        return np.array(canvas, dtype=np.uint8)


@dataclass(frozen=True)
class SokobanSettings(DeckSettings):
    """The room."""

    side: Annotated[int, Ge(3), Le(6)] = 4
    """Cells on a side of the room, whose outer wall is not drawn."""
    boxes: Annotated[int, Ge(1), Le(2)] = 1
    """Boxes, and as many goals."""
    walls: Annotated[int, Ge(0), Le(8)] = 2
    """Cells inside the room that are wall."""


class SokobanTask(BoardTask):
    """Sokoban: push every box onto a goal."""

    Settings: ClassVar[type[TaskConfig]] = SokobanSettings
    tiny = Tiny(settings={"side": 3, "walls": 0}, reading=0.95, updates=12, lr=5e-4)
    config: SokobanSettings
    name = "sokoban"
    fields: Mapping[str, tuple[type, str]] = {
        "player": (int, "the player's cell"),
        "boxes": (list[int], "the cells of all boxes"),
        "goals": (list[int], "the cells of all goals"),
    }

    def __init__(self, config: SokobanSettings) -> None:
        self.max_turns = 6 * config.side * config.boxes
        super().__init__(config)

    def make_env(self) -> SokobanEnv:
        """The environment with this task's settings."""
        config = self.config
        return SokobanEnv(config.image_size, config.deck, config.side, config.boxes, config.walls)

    def told(self) -> str:
        """The rules."""
        side = self.config.side
        return (
            f"The picture shows a Sokoban room of {side} by {side} cells, numbered row by row from 1 at upper left: "
            "brown boxes, green goals, walls, and the round player. Walking against a box pushes it, unless a wall or "
            "another box is behind it; boxes cannot be pulled. Bring every box onto a goal."
        )

    def shown(self, truth: Truth) -> dict[str, Any]:
        """The cells of the player, the boxes and the goals."""
        room, player, boxes = _state(truth)
        wide = len(room[0])
        numbers = {key: sorted(row * wide + column + 1 for row, column in cells) for key, cells in
                   (("player", {player}), ("boxes", boxes), ("goals", goals(room)))}  # fmt: skip
        return {**numbers, "player": numbers["player"][0]}

    def good_moves(self, truth: Truth) -> list[str]:
        """The moves that lie on a shortest solution."""
        state = _state(truth)
        here = moves_left(*state)
        if not here:
            return []
        return [move for move in MOVES if moves_left(state[0], *pushed(*state, move)) == here - 1]

    def state_key(self, truth: Truth) -> str:
        """The room, the player and the boxes."""
        room, player, boxes = _state(truth)
        return f"{'/'.join(room)} {player} {sorted(boxes)}"

    def visual_labels(self, truth: Truth) -> tuple[int, ...]:
        """The cells of the player, the boxes and the goals, from 0, and of each cell whether it is wall."""
        shown, room = self.shown(truth), "".join(truth.state["Room"])
        cells = (shown["player"], *shown["boxes"], *shown["goals"])
        return (*(cell - 1 for cell in cells), *(int(kind == "#") for kind in room))


def _state(truth: Truth) -> tuple[Room, Cell, Boxes]:
    row, column = truth.state["Player"]
    return tuple(truth.state["Room"]), (row, column), frozenset((r, c) for r, c in truth.state["Boxes"])

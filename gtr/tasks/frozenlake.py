"""FrozenLake: over the ice to the goal, gymnasium's own game, drawn by gtr.

The rules, maps and slips are those of gymnasium's FrozenLake-v1; its drawing needs pygame, ours Pillow alone. Maps are
random and solvable, one for each start, so that the picture must be read.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, ClassVar

import gymnasium
import numpy as np
from annotated_types import Ge, Le
from gymnasium.envs.toy_text.frozen_lake import FrozenLakeEnv as Lake
from gymnasium.envs.toy_text.frozen_lake import generate_random_map
from PIL import Image as Pictures
from PIL import ImageDraw

from gtr.config import TaskConfig
from gtr.tasks.boards import MOVES, BoardTask, Cell
from gtr.tasks.cards import check_size, look_of
from gtr.tasks.defaults import Tiny
from gtr.tasks.looks import DeckSettings
from gtr.tasks.pictured import PictureEnv
from gtr.types import Image, Truth

GOLD = "#f2b632"
"""Of the goal, in every look."""


class FrozenLakeEnv(PictureEnv[np.int64]):
    """Gymnasium's FrozenLake on a random map. Observation: an RGB picture. Actions: left, down, right, up (0 to 3).

    ``reset(options={"map": ["SF", "HG"]})`` plays a map of one's own. `info` has ``Map``, ``At`` and ``success``.
    """

    options = ("map",)

    def __init__(
        self,
        image_size: int = 300,
        deck: str = "classic",
        side: int = 4,
        frozen: float = 0.8,
        slippery: bool = False,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(check_size(image_size), gymnasium.spaces.Discrete(len(MOVES)), render_mode)
        self.look, self.side, self.frozen, self.slippery = look_of(deck), side, frozen, slippery
        self._lake: Any = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Image, dict[str, Any]]:
        """Draws a map on which the goal can be reached, or takes that of ``options``."""
        options = self.begin(seed, options)
        draw = int(self.np_random.integers(2**31 - 1))
        self.map = tuple(options.get("map") or generate_random_map(self.side, self.frozen, draw))
        self._lake = Lake(desc=list(self.map), is_slippery=self.slippery)
        self._lake.reset(seed=draw)
        return self._picture(), self._info()

    def step(self, action: int | np.int64) -> tuple[Image, float, bool, bool, dict[str, Any]]:
        """One move, which slips where the lake is slippery: 1 on the goal, else 0; a hole ends the game."""
        _, reward, ended, _, _ = self._lake.step(int(action))
        return self._picture(), float(reward), bool(ended), False, self._info()

    def close(self) -> None:
        """Nothing is held: gymnasium's game is only reckoned with, never drawn."""

    def _at(self) -> Cell:
        return divmod(int(self._lake.s), len(self.map[0]))

    def _info(self) -> dict[str, Any]:
        row, column = self._at()
        return {"Map": list(self.map), "At": [row, column], "success": self.map[row][column] == "G"}

    def _picture(self) -> Image:
        colours = self.look.style
        canvas = Pictures.new("RGB", (self.size, self.size), colours.table)
        draw, cell = ImageDraw.Draw(canvas), self.size / len(self.map)
        for row, line in enumerate(self.map):
            for column, kind in enumerate(line):
                edge = max(1, int(cell * 0.03))
                box = (column * cell, row * cell, (column + 1) * cell - edge, (row + 1) * cell - edge)
                draw.rectangle(box, fill=colours.face)
                if kind in "HG":
                    inset = cell * 0.14
                    inner = (box[0] + inset, box[1] + inset, box[2] - inset, box[3] - inset)
                    (draw.ellipse if kind == "H" else draw.rectangle)(inner, fill=colours.back if kind == "H" else GOLD)
        row, column = self._at()
        left, top = (column + 0.28) * cell, (row + 0.28) * cell
        draw.ellipse((left, top, left + cell * 0.44, top + cell * 0.44), fill=colours.red, outline=colours.black)
        return np.array(canvas, dtype=np.uint8)


@lru_cache(maxsize=4096)
def distances(lake: tuple[str, ...]) -> Mapping[Cell, int]:
    """Moves from each cell to the goal around the holes; cells from which there is no way are left out.

    >>> distances(("SF", "HG"))[0, 0]
    2
    """
    goal = next((row, line.index("G")) for row, line in enumerate(lake) if "G" in line)
    found, queue = {goal: 0}, deque([goal])
    while queue:
        here = queue.popleft()
        for down, across in MOVES.values():
            cell = here[0] + down, here[1] + across
            inside = 0 <= cell[0] < len(lake) and 0 <= cell[1] < len(lake[0])
            if inside and cell not in found and lake[cell[0]][cell[1]] != "H":
                found[cell] = found[here] + 1
                queue.append(cell)
    return found


@dataclass(frozen=True)
class FrozenLakeSettings(DeckSettings):
    """The lake."""

    side: Annotated[int, Ge(2), Le(10)] = 4
    """Cells on a side of the lake."""
    frozen: Annotated[float, Ge(0.5), Le(1)] = 0.8
    """Chance of a cell to be ice (gymnasium: 0.8); others are holes. Only maps with a way are played."""
    slippery: bool = False
    """Whether a move goes to either side as often as ahead (gymnasium's default), which the expert ignores."""


class FrozenLakeTask(BoardTask):
    """FrozenLake: cross the ice to the goal, around the holes."""

    Settings: ClassVar[type[TaskConfig]] = FrozenLakeSettings
    tiny = Tiny(sft_target=0.35, settings={"side": 3}, reading=0.95, updates=12, lr=5e-4)
    config: FrozenLakeSettings
    name = "frozenlake"
    fields: Mapping[str, tuple[type, str]] = {
        "player": (int, "the player's cell"),
        "goal": (int, "the goal's cell"),
        "holes": (list[int], "the cells of all holes"),
    }

    def __init__(self, config: FrozenLakeSettings) -> None:
        self.max_turns = 4 * config.side
        super().__init__(config)

    def make_env(self) -> FrozenLakeEnv:
        """The environment with this task's settings."""
        config = self.config
        return FrozenLakeEnv(config.image_size, config.deck, config.side, config.frozen, config.slippery)

    def told(self) -> str:
        """The rules."""
        slips = " The ice is slippery: a move may go to either side instead." if self.config.slippery else ""
        return (
            f"The picture shows a frozen lake of {self.config.side} by {self.config.side} cells, numbered row by row "
            "from 1 at the upper left. Bring the player (small and round) to the golden goal, and never into a "
            f"hole.{slips}"
        )

    def shown(self, truth: Truth) -> dict[str, Any]:
        """The cells of the player, the goal and the holes."""
        lake, (row, column) = truth.state["Map"], truth.state["At"]
        line = "".join(lake)
        holes = [number for number, kind in enumerate(line, start=1) if kind == "H"]
        return {"player": row * len(lake[0]) + column + 1, "goal": line.index("G") + 1, "holes": holes}

    def good_moves(self, truth: Truth) -> list[str]:
        """The moves that bring the player one step closer to the goal, as if none slipped; none where none helps."""
        far, (row, column) = distances(tuple(truth.state["Map"])), truth.state["At"]
        here = far.get((row, column), 0)
        return [move for move, (down, across) in MOVES.items() if far.get((row + down, column + across), here) < here]

    def state_key(self, truth: Truth) -> str:
        """The map and where the player stands."""
        return f"{'/'.join(truth.state['Map'])} {truth.state['At']}"

    def visual_labels(self, truth: Truth) -> tuple[int, ...]:
        """Of each cell whether it is a hole, then the player's cell and the goal's."""
        lake = "".join(truth.state["Map"])
        shown = self.shown(truth)
        return (*(int(kind == "H") for kind in lake), int(shown["player"]) - 1, int(shown["goal"]) - 1)

"""Draws the agent's view of a room from the facts: everything the withheld text would tell, as a picture.

The picture has three bands, measured in quarters of its side. Top quarter: left the receptacle in front with its door,
right the hand. Middle half: what lies in or on the receptacle, or a hatched door where it is closed; hidden contents
are never drawn. Bottom quarter: a map with all receptacles and the agent.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image as Pil
from PIL import ImageDraw, ImageFont

from gtr.errors import ConfigError, nearest
from gtr.tasks.alfworld import icons
from gtr.tasks.alfworld.world import Receptacle, Room, State, kind_of
from gtr.types import Image

Colour = tuple[int, int, int]
FINE = 4
"""Icons are drawn this many times larger and then reduced."""
SMALLEST, LARGEST = 48, 2048
READABLE = 7
"""Pixels that a name needs in height."""
COLUMNS, ROWS = 21, 4
"""Cells of the map: each holds one receptacle."""


@dataclass(frozen=True)
class Style:
    """A look. `tint` mixes every colour with another one; `filled` draws areas, else outlines only."""

    paper: Colour
    panel: Colour
    ink: Colour
    tint: Colour
    strength: float
    filled: bool


STYLES = {
    "classic": Style((236, 236, 230), (255, 255, 255), (30, 30, 35), (0, 0, 0), 0.0, True),
    "dark": Style((24, 26, 32), (52, 56, 66), (235, 235, 240), (20, 20, 60), 0.12, True),
    "sketch": Style((250, 246, 232), (255, 253, 245), (60, 50, 40), (90, 70, 50), 0.25, False),
}
"""By the names of the card games' decks, so that the "new look" split means the same everywhere."""


def style(name: str) -> Style:
    """A style by name."""
    if name not in STYLES:
        raise ConfigError(f"style {name!r}: {nearest(name, STYLES)}")
    return STYLES[name]


def draw(room: Room, state: State, facing: str | None, size: int, look: str = "classic", labels: bool = True) -> Image:
    """The view as an RGB picture, shape (size, size, 3); the same facts always give the same pixels.

    Args:
        facing: the receptacle in front of the agent, None in the middle of the room.
        size: side in pixels, 48 to 2048.
        look: a key of `STYLES`.
        labels: whether names are written beside the icons, where they can be read; numbers always are.
    """
    if not SMALLEST <= size <= LARGEST:
        raise ConfigError(f"task.image_size is {size}; pictures of rooms have {SMALLEST} to {LARGEST} pixels a side")
    page = _Page(size, style(look), labels)
    page.front(room, state, facing)
    page.hand(state)
    page.contents(room, state, facing)
    page.map(room, state, facing)
    return page.image()


class _Page:
    """One picture while it is drawn. Coordinates are fractions of its side."""

    def __init__(self, size: int, look: Style, labels: bool) -> None:
        self._size, self._look, self._labels = size, look, labels
        self._image = Pil.new("RGB", (size, size), look.paper)
        self._pen = ImageDraw.Draw(self._image)

    def image(self) -> Image:
        return np.asarray(self._image, dtype=np.uint8)

    def front(self, room: Room, state: State, facing: str | None) -> None:
        """The receptacle in front, and its door."""
        self._panel(0, 0, 0.5, 0.25)
        if facing is None:
            return
        self._large(facing, icons.RECEPTACLES, 0.01, 0.3)
        if room.receptacles[facing].openable:
            self._icon(icons.OPEN if facing in state.opened else icons.CLOSED, 0.365, 0.06, 0.125)

    def hand(self, state: State) -> None:
        """What the agent holds, beside a drawn hand."""
        self._panel(0.5, 0, 1, 0.25)
        self._icon(icons.HAND, 0.51, 0.06, 0.12)
        if state.held is not None:
            self._large(state.held, icons.THINGS, 0.76, 0.69, self._marks(state, state.held))

    def contents(self, room: Room, state: State, facing: str | None) -> None:
        """What lies in or on the receptacle in front; a grid that is as coarse as what it must hold allows."""
        self._panel(0, 0.25, 1, 0.75)
        if facing is None:
            return
        if room.receptacles[facing].openable and facing not in state.opened:
            self._hatched(0.01, 0.26, 0.99, 0.74)
            return
        things = state.contents(facing)
        rows = next(rows for rows in range(2, 99) if 2 * rows * rows >= len(things))
        cell = 0.5 / rows
        for i, thing in enumerate(things):
            x, y = i % (2 * rows) * cell, 0.25 + i // (2 * rows) * cell
            self._item(thing, x, y, cell, self._marks(state, thing))

    def map(self, room: Room, state: State, facing: str | None) -> None:
        """All receptacles from above, the one in front framed, and the agent."""
        self._panel(0, 0.75, 1, 1)
        marks, corner, scale = _map(tuple(room.receptacles.values()), tuple(room.places.values()))
        for name, (x, y) in marks.items():
            self._icon(icons.RECEPTACLES.get(kind_of(name), icons.UNKNOWN), x - 0.02, y - 0.02, 0.04, 8)
            if name == facing:
                self._frame(x - 0.03, y - 0.03, x + 0.03, y + 0.03)
        x, y = _on_map(room.places[state.place], corner, scale)
        self._icon("p 8 1 15 15 8 11 1 15 purple", x - 0.022, y - 0.022, 0.044)

    @staticmethod
    def _marks(state: State, thing: str) -> tuple[str, ...]:
        shown = (
            (state.clean, icons.CLEAN),
            (state.hot, icons.HOT),
            (state.cool, icons.COOL),
            (state.lit, icons.LIT),
        )
        return tuple(icon for things, icon in shown if thing in things)

    # -- strokes ----------------------------------------------------------------------------------------------
    def _item(self, name: str, x: float, y: float, cell: float, marks: Sequence[str]) -> None:
        """A thing in its cell: its icon, marks of its state, and below it its name, or its number alone."""
        named = self._named(cell * 0.19)
        side = cell * (0.72 if named else 0.66)
        left, top = x + (cell - side) / 2, y + cell * 0.04
        self._icon(icons.THINGS.get(kind_of(name), icons.UNKNOWN), left, top, side)
        for i, mark in enumerate(marks):
            self._icon(mark, x + cell - side * 0.36, top + i * side * 0.34, side * 0.34)
        if named:
            self._write(name, x + cell / 2, top + side + cell * 0.01, cell * 0.19, cell, "ma")
        else:
            # A large number: without names it is all that tells two mugs apart.
            self._write(name.partition(" ")[2], x + cell / 2, y + cell * 0.98, cell * 0.32, cell, "mb")

    def _large(self, name: str, table: dict[str, str], x: float, middle: float, marks: Sequence[str] = ()) -> None:
        """An icon as high as the upper panels allow; its number beside it, below the marks of its state."""
        named = self._named(0.05)
        self._icon(table.get(kind_of(name), icons.UNKNOWN), x, 0.01, 0.185 if named else 0.23)
        for i, mark in enumerate(marks):
            self._icon(mark, middle - 0.06 + i * 0.06, 0.015, 0.065)
        self._write(name.partition(" ")[2], middle, 0.135 if named else 0.16, 0.11 if named else 0.15, 0.14, "mm")
        if named:
            self._write(name, 0.25 if middle < 0.5 else 0.75, 0.24, 0.05, 0.48, "ms")

    def _named(self, high: float) -> bool:
        """Whether names of this height are written: too small to be read, they would only crowd out the icons."""
        return self._labels and high * self._size >= READABLE

    def _icon(self, shapes: str, x: float, y: float, side: float, smallest: int = 6) -> None:
        pixels = max(smallest, round(side * self._size))
        tile = _tile(shapes, pixels, self._look)
        self._image.paste(tile, (round(x * self._size), round(y * self._size)), tile)

    def _write(self, text: str, x: float, y: float, high: float, wide: float, anchor: str) -> None:
        pixels = max(6, round(high * self._size))
        font = _font(pixels)
        while pixels > 6 and font.getlength(text) > wide * self._size * 0.98:
            pixels -= 1
            font = _font(pixels)
        self._pen.text((x * self._size, y * self._size), text, fill=self._look.ink, font=font, anchor=anchor)

    def _panel(self, x0: float, y0: float, x1: float, y1: float) -> None:
        edge = max(1, self._size // 150)
        box = [round(v * self._size) for v in (x0, y0, x1, y1)]
        self._pen.rectangle((box[0] + edge, box[1] + edge, box[2] - edge - 1, box[3] - edge - 1), fill=self._look.panel)

    def _frame(self, x0: float, y0: float, x1: float, y1: float) -> None:
        box = tuple(round(v * self._size) for v in (x0, y0, x1, y1))
        self._pen.rectangle(box, outline=(230, 30, 30), width=max(1, self._size // 120))

    def _hatched(self, x0: float, y0: float, x1: float, y1: float) -> None:
        """A closed door."""
        box = tuple(round(v * self._size) for v in (x0, y0, x1, y1))
        shade = _mixed((150, 120, 90), self._look)
        self._pen.rectangle(box, fill=shade)
        step = max(6, self._size // 12)
        high = box[3] - box[1]
        for left in range(box[0] - high, box[2], step):
            first, last = max(0, box[0] - left), min(high, box[2] - left)
            if last > first:
                ends = (left + first, box[1] + first, left + last, box[1] + last)
                self._pen.line(ends, fill=self._look.ink, width=max(1, self._size // 200))


Point = tuple[float, float]


def _on_map(point: Point, corner: Point, scale: Point) -> Point:
    """A point of the room on the map."""
    return 0.045 + (point[0] - corner[0]) * scale[0], 0.955 - (point[1] - corner[1]) * scale[1]


@functools.lru_cache(256)
def _map(receptacles: Sequence[Receptacle], places: Sequence[Point]) -> tuple[dict[str, Point], Point, Point]:
    """Where each receptacle is drawn on the map, moved aside where others would cover it; origin and scale."""
    xs = [p[0] for p in places] + [r.at[0] for r in receptacles]
    zs = [p[1] for p in places] + [r.at[2] for r in receptacles]
    corner = (min(xs), min(zs))
    scale = (0.91 / max(max(xs) - corner[0], 0.5), 0.16 / max(max(zs) - corner[1], 0.5))
    free = {(column, row) for column in range(COLUMNS) for row in range(ROWS)}
    drawn: dict[str, Point] = {}
    for receptacle in receptacles:
        x, y = _on_map((receptacle.at[0], receptacle.at[2]), corner, scale)
        u, v = (x - 0.045) / 0.0455, (y - 0.795) / 0.0535
        cell = min(free or {(0, 0)}, key=lambda c: (math.hypot(c[0] - u, c[1] - v), c))
        free.discard(cell)
        drawn[receptacle.name] = (0.045 + cell[0] * 0.0455, 0.795 + cell[1] * 0.0535)
    return drawn, corner, scale


def _mixed(colour: Colour, look: Style) -> Colour:
    def part(a: int, b: int) -> int:
        return round(a * (1 - look.strength) + b * look.strength)

    return part(colour[0], look.tint[0]), part(colour[1], look.tint[1]), part(colour[2], look.tint[2])


@functools.lru_cache(4096)
def _tile(shapes: str, pixels: int, look: Style) -> Pil.Image:
    """An icon with a transparent ground."""
    unit = pixels * FINE / 16
    tile = Pil.new("RGBA", (pixels * FINE, pixels * FINE), (0, 0, 0, 0))
    pen = ImageDraw.Draw(tile)
    for shape in shapes.split(";"):
        kind, *numbers, name = shape.split()
        _stroke(pen, kind, [float(n) * unit for n in numbers], _mixed(icons.COLOURS[name], look), look, unit)
    return tile.resize((pixels, pixels), Pil.Resampling.LANCZOS)


def _stroke(pen: ImageDraw.ImageDraw, kind: str, n: Sequence[float], colour: Colour, look: Style, unit: float) -> None:
    """One shape: filled with a thin rim, or its thick outline."""
    if kind == "l":
        pen.line(n[:-1], fill=colour, width=max(1, round(n[-1])), joint="curve")
        return
    fill = colour if look.filled else None
    rim, width = ((*look.ink, 110), 0.5) if look.filled else ((*colour, 255), 1.3)
    thick = max(1, round(width * unit))
    if kind == "e":
        pen.ellipse(tuple(n), fill=fill, outline=rim, width=thick)
    elif kind == "r":
        pen.rectangle(tuple(n), fill=fill, outline=rim, width=thick)
    elif kind == "o":
        pen.rounded_rectangle(tuple(n), radius=2.5 * unit, fill=fill, outline=rim, width=thick)
    else:
        pen.polygon(n, fill=fill, outline=rim, width=thick)


@functools.lru_cache(128)
def _font(pixels: int) -> ImageFont.FreeTypeFont:
    found = ImageFont.load_default(pixels)
    assert isinstance(found, ImageFont.FreeTypeFont)
    return found

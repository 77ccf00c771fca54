"""Playing cards drawn by the project itself: legible for a person at 300 pixels and at 96.

A card is named as in gym_cards: its suit's letter and its rank, ``T`` for ten, as in ``"H2"``, ``"ST"``, ``"DK"``.
Pictures are drawn four times too large and scaled down, the same on every machine with the same Pillow, and cached.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from gtr.errors import TaskError, nearest
from gtr.types import Image

Deck = Literal["classic", "dark", "sketch"]
Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels."""

SUITS = "HSDC"
RANKS = ("A", "2", "3", "4", "5", "6", "7", "8", "9", "T", "J", "Q", "K")
BACK = "back"
"""The name of a card that lies face down."""
MIN_SIZE = 48
_SCALE = 4


@dataclass(frozen=True)
class Style:
    """The colours of a deck."""

    table: str
    face: str
    edge: str
    red: str
    black: str
    text: str
    back: str
    outline_only: bool = False
    """Suits as outlines, cards without a shadow."""


STYLES: dict[str, Style] = {
    "classic": Style("#35654d", "#ffffff", "#202020", "#c8102e", "#101010", "#ffffff", "#1f4e9e"),
    "dark": Style("#14161c", "#2b303b", "#8b93a5", "#ff8a5c", "#9fd0ff", "#e6e9f0", "#5b3f8c"),
    "sketch": Style("#f4efe2", "#fffdf6", "#4a4238", "#9c3b2e", "#4a4238", "#3a3329", "#cdbf9f", outline_only=True),
}


@dataclass(frozen=True)
class Look:
    """How a table is laid: in which colours and letters, how large, and where things lie."""

    style: Style
    letters: str = ""
    """File of the font; empty is the one that ships with Pillow."""
    scale: float = 1.0
    """Of cards and lines."""
    shifts: tuple[tuple[float, float], ...] = ((0.0, 0.0),)
    """How far each card of a row lies to the right of its place and below it, in sides of the picture; in turn."""


def rank_of(name: str) -> int:
    """The rank 1..13 of a named card; TaskError for a name that is none.

    >>> rank_of("SQ"), rank_of("H10")
    (12, 10)
    """
    face = name[1:].upper().replace("10", "T")
    if name[:1].upper() not in SUITS or face not in RANKS:
        raise TaskError(f"{name!r} is not a card: write a suit of H S D C and a rank of {' '.join(RANKS)}, as in 'HT'")
    return RANKS.index(face) + 1


def given(card: str | int, rng: np.random.Generator) -> str:
    """The name of a card that is given by name, or by its rank 1..13, and a suit drawn. TaskError for neither."""
    if isinstance(card, str):
        return card[:1].upper() + RANKS[rank_of(card) - 1]
    if not 1 <= int(card) <= 13:
        raise TaskError(f"card {card!r}: write a rank 1..13 or a name like 'HT'")
    return SUITS[int(rng.integers(len(SUITS)))] + RANKS[int(card) - 1]


def look_of(deck: str) -> Look:
    """A deck's; TaskError for an unknown one."""
    if deck not in STYLES:
        raise TaskError(f"unknown deck {deck!r}: {nearest(deck, STYLES)}")
    return Look(STYLES[deck])


class Table:
    """A picture under construction: a cloth, cards and lines of text on it."""

    def __init__(self, size: int, look: Look) -> None:
        self.size = size
        self.look = look
        self.canvas = Pillow.new("RGB", (size, size), look.style.table)

    def card(self, name: str, box: Box) -> None:
        """Lays a card into a box."""
        left, top, right, bottom = box
        wide, high = right - left, bottom - top
        self.canvas.paste(_card(name, wide, high, self.look), (left, top), _mask(wide, high))

    def row(self, names: list[str], top: int, bottom: int, columns: int) -> None:
        """Lays cards side by side, each in the middle of its column; columns divide the whole width."""
        column = self.size / columns
        width = int(column * 0.92 * self.look.scale)
        height = min(int((bottom - top) * self.look.scale), int(width * 1.9))
        for index, name in enumerate(names):
            right, down = self._shift(index)
            left = int(index * column + (column - width) / 2) + right
            middle = (top + bottom - height) // 2 + down
            self.card(name, (left, middle, left + width, middle + height))

    def _shift(self, index: int) -> tuple[int, int]:
        """In pixels."""
        right, down = self.look.shifts[index % len(self.look.shifts)]
        return int(right * self.size), int(down * self.size)

    def text(self, words: str, left: int, top: int, height: int) -> None:
        """Writes one line, smaller where it would not fit the width."""
        draw = ImageDraw.Draw(self.canvas)
        right, down = self._shift(0)
        left, top, height = max(0, left + right), max(0, top + down), int(height * self.look.scale)
        letters = fitted_font(words, self.size - left, height, self.look.letters)
        draw.text((left, top), words, fill=self.look.style.text, font=letters)

    def image(self) -> Image:
        """The picture, shape (size, size, 3)."""
        return np.array(self.canvas, dtype=np.uint8)


@lru_cache(maxsize=1024)
def font(height: int, letters: str = "") -> ImageFont.FreeTypeFont:
    """The font of a file, or the one that ships with Pillow, in pixels."""
    if letters:
        return ImageFont.truetype(letters, height)
    found = ImageFont.load_default(height)
    if not isinstance(found, ImageFont.FreeTypeFont):
        raise TaskError("this Pillow has no FreeType and cannot draw cards: install an official wheel of pillow>=10.1")
    return found


def fitted_font(words: str, width: int, height: int, letters: str = "") -> ImageFont.FreeTypeFont:
    """The largest font of at most `height` pixels in which the words fit the width."""
    size = max(height, 6)
    length = font(size, letters).getlength(words)
    return font(max(6, int(size * width / length)) if length > width else size, letters)


def check_size(size: int) -> int:
    """The side of a picture; TaskError where nothing would be legible."""
    if size < MIN_SIZE:
        raise TaskError(f"image_size={size} is too small to draw cards: give at least {MIN_SIZE}")
    return size


@lru_cache(maxsize=4096)
def _mask(width: int, height: int) -> Pillow.Image:
    """Where a card with round corners is opaque."""
    big = Pillow.new("L", (width * _SCALE, height * _SCALE), 0)
    radius = max(2, width * _SCALE // 12)
    ImageDraw.Draw(big).rounded_rectangle((0, 0, width * _SCALE - 1, height * _SCALE - 1), radius, fill=255)
    return big.resize((width, height), Pillow.Resampling.BOX)


@lru_cache(maxsize=4096)
def _card(name: str, width: int, height: int, laid: Look) -> Pillow.Image:
    """One card, face up or down."""
    look = laid.style
    wide, high = width * _SCALE, height * _SCALE
    big = Pillow.new("RGB", (wide, high), look.face if name != BACK else look.back)
    draw = ImageDraw.Draw(big)
    if name == BACK:
        for offset in range(-high, wide, max(_SCALE * 2, wide // 6)):
            draw.line((offset, 0, offset + high, high), fill=look.face, width=max(_SCALE, wide // 40))
    else:
        colour = look.red if name[0] in "HD" else look.black
        _draw_rank(draw, rank_of(name), wide, high, colour, laid.letters)
        side = min(int(wide * 0.62), int(high * 0.34))
        _draw_suit(draw, name[0].upper(), (wide - side) // 2, int(high * 0.93) - side, side, colour, look)
    frame = max(_SCALE // 2, wide // 60)
    draw.rounded_rectangle((0, 0, wide - 1, high - 1), max(2, wide // 12), outline=look.edge, width=frame)
    return big.resize((width, height), Pillow.Resampling.BOX)


def _draw_rank(draw: ImageDraw.ImageDraw, rank: int, wide: int, high: int, colour: str, letters: str) -> None:
    """The rank as large as the upper part of the card allows, strokes thickened to survive scaling down."""
    glyph = "10" if rank == 10 else RANKS[rank - 1]
    room_wide, room_high = int(wide * 0.84), int(high * 0.5)
    reference = font(100, letters)
    stroke = 3
    box = reference.getbbox(glyph, stroke_width=stroke)
    scale = min(room_wide / (box[2] - box[0]), room_high / (box[3] - box[1]))
    sized = font(max(6, int(100 * scale)), letters)
    stroke = max(1, int(stroke * scale))
    left, top, right, bottom = sized.getbbox(glyph, stroke_width=stroke)
    x = (wide - (right - left)) / 2 - left
    y = high * 0.06 + (room_high - (bottom - top)) / 2 - top
    draw.text((x, y), glyph, fill=colour, font=sized, stroke_width=stroke, stroke_fill=colour)


def _draw_suit(draw: ImageDraw.ImageDraw, suit: str, left: int, top: int, side: int, colour: str, look: Style) -> None:
    """The suit's shape in a square, filled or, in an outlined deck, hollow."""
    _suit_shape(draw, suit, left, top, side, colour)
    if look.outline_only:
        inset = max(1, side // 7)
        _suit_shape(draw, suit, left + inset, top + inset, side - 2 * inset, look.face)


def _suit_shape(draw: ImageDraw.ImageDraw, suit: str, left: int, top: int, side: int, colour: str) -> None:
    def at(x: float, y: float) -> tuple[float, float]:
        return left + x * side, top + y * side

    def disc(x: float, y: float, radius: float) -> None:
        draw.ellipse((*at(x - radius, y - radius), *at(x + radius, y + radius)), fill=colour)

    if suit == "D":
        draw.polygon([at(0.5, 0), at(0.88, 0.5), at(0.5, 1), at(0.12, 0.5)], fill=colour)
        return
    if suit == "H":
        disc(0.27, 0.3, 0.25)
        disc(0.73, 0.3, 0.25)
        draw.polygon([at(0.06, 0.44), at(0.5, 0.3), at(0.94, 0.44), at(0.5, 1)], fill=colour)
        return
    if suit == "S":
        disc(0.27, 0.58, 0.25)
        disc(0.73, 0.58, 0.25)
        draw.polygon([at(0.06, 0.45), at(0.5, 0.62), at(0.94, 0.45), at(0.5, 0)], fill=colour)
    else:
        disc(0.5, 0.23, 0.23)
        disc(0.24, 0.58, 0.23)
        disc(0.76, 0.58, 0.23)
        disc(0.5, 0.48, 0.12)
    draw.polygon([at(0.5, 0.5), at(0.7, 1), at(0.3, 1)], fill=colour)

"""Looks drawn at random: agents that see many learn to read cards, not one deck."""

import colorsys
from pathlib import Path

import numpy as np

from gtr.tasks.cards import Look, Style

LETTERS = ("", "DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSerif.ttf", "DejaVuSerif-Bold.ttf", "DejaVuSansMono.ttf")
"""Fonts, of Pillow and of matplotlib, in which digits are told apart at small sizes."""
SHIFT = 0.02
"""Sides of the picture that a card may lie off its place."""
SCALE = (0.86, 1.0)
PLACES = 8
"""Cards that have a shift of their own."""

Range = tuple[float, float]


def drawn(rng: np.random.Generator) -> Look:
    """A look drawn at random: dark or light cards, inks that can be read on them, letters, a size, places."""
    name = LETTERS[int(rng.integers(len(LETTERS)))]
    shifts = rng.uniform(-SHIFT, SHIFT, (PLACES, 2)).tolist()
    scale = float(rng.uniform(*SCALE))
    return Look(_style(rng), _file(name) if name else "", scale, tuple((right, down) for right, down in shifts))


def _style(rng: np.random.Generator) -> Style:
    night, dusk, outlined = rng.random(3) < (0.5, 0.5, 0.3)
    paper = ((0, 1), (0, 0.3), (0.08, 0.22)) if night else ((0, 1), (0, 0.12), (0.9, 1))
    red = ((0, 0.09), (0.4, 0.7), (0.95, 1)) if night else ((0, 0.04), (0.75, 1), (0.45, 0.75))
    black = ((0.4, 0.7), (0, 0.4), (0.88, 1)) if night else ((0, 1), (0, 0.5), (0, 0.25))
    cloth, text = ((0.06, 0.35), (0.85, 1)) if dusk else ((0.75, 0.95), (0, 0.25))
    return Style(
        table=_colour(rng, (0, 1), (0, 0.5), cloth),
        face=_colour(rng, *paper),
        edge=_colour(rng, (0, 1), (0, 0.3), (0.4, 0.7)),
        red=_colour(rng, *red),
        black=_colour(rng, *black),
        text=_colour(rng, (0, 1), (0, 0.2), text),
        back=_colour(rng, (0, 1), (0.3, 0.9), (0.3, 0.8)),
        outline_only=bool(outlined),
    )


def _colour(rng: np.random.Generator, hue: Range, saturation: Range, value: Range) -> str:
    red, green, blue = colorsys.hsv_to_rgb(*(float(rng.uniform(*one)) for one in (hue, saturation, value)))
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"


def _file(name: str) -> str:
    import matplotlib

    return str(Path(matplotlib.get_data_path(), "fonts", "ttf", name))

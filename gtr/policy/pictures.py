"""Names for pictures by what they show, and pictures as bytes."""

import base64
import hashlib
import io

import numpy as np
from PIL import Image as Pillow

from gtr.types import Image


def image_hash(image: Image) -> str:
    """A picture's name: the SHA-1 of its shape and pixels, 16 hexadecimal digits."""
    return hashlib.sha1(repr(image.shape).encode() + image.tobytes()).hexdigest()[:16]


def to_png(image: Image) -> bytes:
    """A picture (height, width, 3) as a PNG file: losslessly, equal pictures as equal bytes."""
    data = io.BytesIO()
    Pillow.fromarray(image).save(data, format="png", compress_level=3)
    return data.getvalue()


def data_url(png: bytes) -> str:
    """A PNG file as the address of its own contents, as chat APIs and pages take it."""
    return "data:image/png;base64," + base64.b64encode(png).decode()


def from_png(data: bytes) -> Image:
    """The picture (height, width, 3) in a PNG file; ValueError or OSError for anything else."""
    return np.asarray(Pillow.open(io.BytesIO(data), formats=("PNG",)).convert("RGB"))

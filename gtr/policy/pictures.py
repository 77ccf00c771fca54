"""Names for pictures by what they show."""

import hashlib

from gtr.types import Image


def image_hash(image: Image) -> str:
    """A picture's name: the SHA-1 of its shape and pixels, 16 hexadecimal digits."""
    return hashlib.sha1(repr(image.shape).encode() + image.tobytes()).hexdigest()[:16]

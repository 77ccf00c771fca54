"""Text that a model wrote, made safe to look at."""

import unicodedata

KEPT = "\n\t"
HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode categories that show nothing but steer what is shown: controls, marks of direction, half surrogates."""


def visible(text: str) -> str:
    """The text with every character written out that could steer a terminal or reorder a page; no HTML is escaped.

    >>> visible("right\\x1b[31m \\u202eleft")
    'right\\\\x1b[31m \\\\u202eleft'
    """
    return "".join(_escaped(one) if unicodedata.category(one) in HIDDEN and one not in KEPT else one for one in text)


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"

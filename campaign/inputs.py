"""Text and values as no parser expects them: made of good ones, of rubbish, and of what breaks parsers."""

import json
from collections.abc import Sequence
from random import Random
from typing import Any

from foreign import ODD

NASTY = (
    *("", " ", "\x00", "\x1b[31m", "\ud83d", "\ude00", "\ufeff", "\u202e", "\u2028", "ß", "²", "٣", "½", "𝟚", "💥"),
    *("null", "true", "NaN", "Infinity", "-Infinity", "1e999", "-0", "9" * 30, "9" * 400, "9" * 5000, "1" + "0" * 20),
    *("[", "]", "{", "}", '"', "'", "\\", "\\u", "\\ud83d", "\\u0000", ",", ":", "[" * 2000, '{"a":' * 2000),
    *("../", "/", "//", "~", "-", "--", "%", "%00", "%s%n", "$(x)", "`x`", ";", "|", "<image>", "</s>", "<|im_end|>"),
    *("<script>", "{{ 7*7 }}", "{% raw %}", "!!python/object:os.system", "*a", "&a", "1_0", "0x10", "1e-400", "=", "#"),
    *("Mon, 01 Jan 99999999999 00:00:00 GMT", "x" * 3000, "a b " * 500, "\r\n", "\r\n\r\n", "\t", "\n", "__class__"),
)
KEYS = ("", "action", "thoughts", "name", "__class__", "update", "\ud83d", "a.b", "0", "null")


def text(random: Random, corpus: Sequence[str]) -> str:
    """One input: a good one changed in some places, two glued, or nothing but rubbish."""
    way = random.random()
    if way < 0.15:
        return "".join(random.choice(NASTY) for _ in range(random.randrange(6)))
    made = random.choice(corpus)
    if way < 0.45:
        try:
            return json.dumps(spoilt(random, json.loads(made)), ensure_ascii=random.random() < 0.5)
        except (ValueError, RecursionError):
            pass
    if way > 0.95:
        made += random.choice(corpus)
    for _ in range(1 + int(random.expovariate(0.7))):
        made = _changed(random, made)
    return made


def _changed(random: Random, made: str) -> str:
    start = random.randrange(len(made) + 1)
    end = min(len(made), start + random.choice((0, 1, 1, 2, 5, 40)))
    way = random.randrange(6)
    if way == 0:
        return made[:start]
    if way == 1:
        return made[:start] + made[end:]
    if way == 2:
        return made[:end] + made[start:end] * random.choice((1, 2, 50)) + made[end:]
    if way == 3:
        return made[:start] + chr(random.choice((random.randrange(128), random.randrange(0x10FFFF)))) + made[end:]
    return made[:start] + random.choice(NASTY) + made[end:]


def spoilt(random: Random, value: Any, share: float = 0.0) -> Any:
    """A JSON value with a share of what lies in it replaced, left out, renamed, doubled or wrapped."""
    share = share or random.choice((0.05, 0.2, 0.5))
    if random.random() < share:
        return odd(random, value)
    if isinstance(value, dict):
        return {
            (random.choice(KEYS) if random.random() < share / 4 else key): spoilt(random, one, share)
            for key, one in value.items()
            if random.random() > share / 4
        }
    if isinstance(value, list):
        made = [spoilt(random, one, share) for one in value if random.random() > share / 4]
        return made * random.choice((1, 1, 1, 2, 300)) if random.random() < share / 4 else made
    return value


def odd(random: Random, value: Any) -> Any:
    """A value of another type, or out of all proportion."""
    way = random.randrange(6)
    if way == 0:
        return [value]
    if way == 1:
        return {random.choice(KEYS): value}
    if way == 2:
        return random.choice(NASTY)
    if way == 3 and isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9:
        return value * random.choice((-1, 0, 0.5, 10**9, 10**30, 1e300))
    return random.choice(ODD)


def raw(random: Random, corpus: Sequence[bytes]) -> bytes:
    """Bytes: a good text spoilt, or bits of it turned."""
    made = bytearray(random.choice(corpus))
    if random.random() < 0.5:
        return text(random, [made.decode(errors="replace")]).encode(errors="surrogatepass")
    for _ in range(1 + int(random.expovariate(0.5))):
        if made:
            made[random.randrange(len(made))] = random.randrange(256)
    return bytes(made)

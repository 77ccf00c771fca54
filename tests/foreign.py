"""Damage for tests: what a file of a run folder can hold or be, other than what it should."""

import gzip
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

DEEP = 100_000
Damage = Callable[[Path], None]
"""Spoils a file in its place."""
ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    3,
    10**30,
    1e308,
    float("nan"),
    float("-inf"),
    "",
    "x",
    "\ud800",
    "../../etc/passwd",
    [],
    [None],
    [[1, 2], [3]],
    {},
    {"": None},
)
"""Values to put where another type belongs."""


def is_packed(file: Path) -> bool:
    return file.name.endswith(".gz")


def text_of(file: Path) -> bytes:
    data = file.read_bytes()
    return gzip.decompress(data) if is_packed(file) else data


def put(file: Path, data: bytes) -> None:
    file.write_bytes(gzip.compress(data) if is_packed(file) else data)


def raw(make: Callable[[bytes], bytes]) -> Damage:
    """Spoils the bytes as they lie on the disk."""
    return lambda file: file.write_bytes(make(file.read_bytes())) and None


def inner(make: Callable[[bytes], bytes]) -> Damage:
    """Spoils what is in a packed file, or the bytes of any other."""
    return lambda file: put(file, make(text_of(file)))


def replaced(make: Callable[[Path], None]) -> Damage:
    """Puts something else in the file's place."""

    def damage(file: Path) -> None:
        file.unlink()
        make(file)

    return damage


def with_values(value: Any, every: bool) -> Damage:
    """Puts a value in the place of each value, or of one after the other, in all records of a file."""

    def damage(file: Path) -> None:
        made = [_changed(one, value, every, number) for number, one in enumerate(records_of(file))]
        put(file, b"".join(json.dumps(one).encode() + b"\n" for one in made))

    return damage


def with_leaves(value: Any, seed: int = 0, share: float = 1.0) -> Damage:
    """Puts a value, or a random one where it is None, in the place of a share of all that lies in a file's tables."""
    random = Random(seed)

    def spoilt(one: Any) -> Any:
        if random.random() < share and not (isinstance(one, dict | list) and random.random() < 0.9):
            return random.choice(ODD) if value is None else value
        if isinstance(one, dict):
            return {key: spoilt(inner) for key, inner in one.items()}
        return [spoilt(inner) for inner in one] if isinstance(one, list) else one

    def damage(file: Path) -> None:
        made = [spoilt(one) for one in records_of(file)]
        put(file, b"".join(json.dumps(one).encode() + b"\n" for one in made))

    return damage


def records_of(file: Path) -> list[Any]:
    """The JSON values of a file: one a line, or one in all; none in pictures and locks."""
    if file.suffix == ".png" or file.name == ".lock":
        return []
    data = text_of(file)
    try:
        return [json.loads(data)] if data.strip() else []
    except ValueError:
        return [json.loads(line) for line in data.splitlines()]


def _changed(record: Any, value: Any, every: bool, number: int) -> Any:
    if isinstance(record, dict):
        keys = sorted(record)
        chosen = keys if every else [keys[number % len(keys)]] if keys else []
        return {key: value if key in chosen else record[key] for key in keys}
    return [_changed(one, value, every, number) for one in record] if isinstance(record, list) else value


def without_keys(file: Path) -> None:
    """Leaves every second key of every record out."""
    made = [dict(list(one.items())[::2]) if isinstance(one, dict) else [] for one in records_of(file)]
    put(file, b"".join(json.dumps(one).encode() + b"\n" for one in made))


def twice(data: bytes) -> bytes:
    return data + data


def shuffled(data: bytes) -> bytes:
    """Some bytes changed at random."""
    random = Random(len(data))
    made = bytearray(data)
    for _ in range(1 + len(made) // 50):
        made[random.randrange(len(made))] = random.randrange(256)
    return bytes(made)


def bomb(file: Path) -> None:
    """A packed file of two hundred megabytes of nothing, or a picture that says it has 10^9 pixels."""
    if file.suffix == ".png":
        side = (40_000).to_bytes(4)
        file.write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + side + side + b"\x08\x02\x00\x00\x00" + bytes(4))
    else:
        file.write_bytes(gzip.compress(bytes(200 << 20), compresslevel=1))


def sparse(file: Path) -> None:
    """Three gigabytes that take no room."""
    with file.open("wb") as made:
        made.truncate(3 << 30)


DAMAGES: dict[str, Damage] = {
    "empty": raw(lambda data: b""),
    "one byte": raw(lambda data: data[:1]),
    "a quarter": raw(lambda data: data[: len(data) // 4]),
    "half": raw(lambda data: data[: len(data) // 2]),
    "all but one": raw(lambda data: data[:-1]),
    "all but five": raw(lambda data: data[:-5]),
    "without its head": raw(lambda data: data[7:]),
    "bytes changed": raw(shuffled),
    "garbage": raw(lambda data: Random(1).randbytes(3000)),
    "zeros": raw(lambda data: bytes(3000)),
    "twice": raw(twice),
    "deep lists": inner(lambda data: b"[" * DEEP + b"]" * DEEP + b"\n"),
    "deep tables": inner(lambda data: b'{"update":' * DEEP + b"1" + b"}" * DEEP + b"\n"),
    "rather deep": inner(lambda data: b'{"update":' * 300 + b"1" + b"}" * 300 + b"\n" + data),
    "empty records": inner(lambda data: b"{}\n" * 5),
    "null": inner(lambda data: b"null\n"),
    "lists": inner(lambda data: b"[1, [2, 3], {}]\n" * 3),
    "a text": inner(lambda data: b'"hello"\n'),
    "a number of 5,000 digits": inner(lambda data: b'{"update": ' + b"9" * 5000 + b"}\n" + data),
    "an endless number": inner(lambda data: data.replace(b"0.5", b"1e999").replace(b"1", b"NaN")),
    "not UTF-8": inner(lambda data: data.replace(b'"', b'"\xff\xfe', 3)),
    "halves of pairs": inner(lambda data: data.replace(b'": "', b'": "\\ud83d')),
    "UTF-16": inner(lambda data: data.decode().encode("utf-16") if data[:1] in (b"{", b"[") else b"\xff\xfe"),
    "lines twice": inner(twice),
    "half the keys": without_keys,
    "a folder": replaced(lambda file: (file / "inside").mkdir(parents=True)),
    "a pipe": replaced(os.mkfifo),
    "a device": replaced(lambda file: file.symlink_to("/dev/zero")),
    "a link to itself": replaced(lambda file: file.symlink_to(file)),
    "a bomb": bomb,
    "three sparse gigabytes": sparse,
    **{f"leaves {value!r}": with_leaves(value) for value in ("x", -1, 10**30, [], {})},
    **{f"a share of leaves, {seed}": with_leaves(None, seed, 0.02) for seed in range(10)},
    **{f"every value {value!r}": with_values(value, True) for value in ODD},
    **{f"one value {value!r}": with_values(value, False) for value in ODD},
}


def files_of(run: Path) -> Iterator[Path]:
    """The files of a run folder, one of a kind."""
    kinds = set()
    for file in sorted(run.rglob("*")):
        if file.is_file() and (kind := (file.parent, "".join(file.suffixes))) not in kinds:
            kinds.add(kind)
            yield file

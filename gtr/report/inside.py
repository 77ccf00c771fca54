"""Reading files that may come from anybody: regular ones of bounded size, JSON of bounded depth, gzip of bounded yield.

Of a folder only what lies in it is read: no name leads out of it and no link is followed, wherever it points. What
cannot be read raises `Unreadable`, which says why in words that follow the file's name.
"""

import json
import os
import re
import stat
import zlib
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

LARGEST = 128 << 20
"""Bytes of a file, and of what a packed one holds; a transcript of 400 turns has about two million."""
SMALL = 16 << 20
"""Bytes of a file that holds one record."""
DEEPEST = 48
"""Nesting of a value: more than `gtr.report.files.plain` writes, less than Python's own recursion takes."""
LONG_NUMBER = re.compile(r"\d{19}")
HALF_PAIR = re.compile(r"\\u[dD][89a-fA-F]")
CHUNK = 1024


class Unreadable(Exception):
    """Why a file cannot be read: "is a link, ..." or "is not JSON (...)"."""


class Missing(Unreadable):
    """There is no such file."""


def read_inside(root: Path, name: str, limit: int = SMALL) -> bytes:
    """The bytes of the regular file `name` in the folder `root`; `root` itself may be a link, being named by the user.

    Raises `Missing` where there is none, `Unreadable` for any other kind of file, or one of more than `limit` bytes.
    """
    handle = _opened(root, name, os.O_RDONLY)
    try:
        return _bytes(handle, limit)
    finally:
        os.close(handle)


def read_named(path: Path, limit: int = LARGEST) -> bytes:
    """The same of a file that the user named, whose path may go through links."""
    try:
        _check_kind(path.stat())
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        _refuse(error)
    try:
        return _bytes(handle, limit)
    finally:
        os.close(handle)


def names_inside(root: Path, name: str) -> list[str]:
    """What lies in the folder `name` of `root`; nothing where that is no folder, or a link to one."""
    try:
        handle = _opened(root, name, os.O_RDONLY | os.O_DIRECTORY)
    except Unreadable:
        return []
    try:
        return os.listdir(handle)
    except OSError:
        return []
    finally:
        os.close(handle)


def refuse_links(root: Path) -> None:
    """Raises `Unreadable` where anything below `root` is a link: for folders that libraries read."""
    for place, folders, names in os.walk(root):
        for one in (Path(place, name) for name in (*folders, *names)):
            if one.is_symlink():
                raise Unreadable(f"holds {one.relative_to(root)}, which is a link, and links are not followed")


def changed_inside(root: Path, name: str) -> float:
    """When a file or folder in `root` last changed, in seconds since 1970; 0 where there is none."""
    try:
        return (root / name).lstat().st_mtime
    except (OSError, ValueError):
        return 0.0


def _opened(root: Path, name: str, flags: int) -> int:
    """Walks down by handles, so that nothing can be swapped for a link between looking and opening."""
    parts = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts:
        raise Unreadable("has a name that leads out of the folder")
    try:
        handle = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        for index, part in enumerate(parts, start=1):
            handle = _step(handle, part, flags if index == len(parts) else os.O_RDONLY | os.O_DIRECTORY)
    except (OSError, ValueError) as error:
        _refuse(error)
    return handle


def _step(folder: int, part: str, flags: int) -> int:
    """Opens one name in an open folder, which is closed."""
    try:
        found = os.stat(part, dir_fd=folder, follow_symlinks=False)
        if stat.S_ISLNK(found.st_mode):
            raise Unreadable("is a link, or lies behind one, and links are not followed")
        if not flags & os.O_DIRECTORY:
            _check_kind(found)
        return os.open(part, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    finally:
        os.close(folder)


def _check_kind(found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise Unreadable("is not a regular file")


def _bytes(handle: int, limit: int) -> bytes:
    found = os.fstat(handle)
    _check_kind(found)
    if found.st_size > limit:
        raise Unreadable(f"has {found.st_size / 1e6:,.0f} MB, more than the {limit / 1e6:,.0f} MB that are read")
    try:
        with os.fdopen(handle, "rb", closefd=False) as file:
            return file.read(limit)
    except OSError as error:
        _refuse(error)


def _refuse(error: Exception) -> NoReturn:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        raise Missing("is missing") from error
    raise Unreadable(f"cannot be read ({getattr(error, 'strerror', None) or error})") from error


# -- what is in them --------------------------------------------------------------------------------------------------
def parsed(data: bytes, exact: bool = False) -> Any:
    """A JSON value whose texts can all be written out again: halves of surrogate pairs become U+FFFD.

    Whole numbers of 19 digits or more become floats unless it must be `exact`. Raises `Unreadable`.
    """
    try:
        text = data.decode()
        careful = not exact and LONG_NUMBER.search(text) is not None
        value = json.loads(text, parse_int=_whole) if careful else json.loads(text)
    except UnicodeDecodeError as error:
        raise Unreadable("is not UTF-8 text") from error
    except RecursionError as error:
        raise Unreadable("is nested too deep") from error
    except ValueError as error:
        raise Unreadable(f"is not JSON ({error})") from error
    if text.count("[") + text.count("{") > DEEPEST:
        _check_depth(value)
    return _mended(value) if HALF_PAIR.search(text) else value


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) < 19 else float(digits)


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(DEEPEST):
        inner = [one for outer in level for one in (outer.values() if isinstance(outer, dict) else outer)]
        level = [one for one in inner if isinstance(one, dict | list)]
        if not level:
            return
    raise Unreadable("is nested too deep")


def _mended(value: Any) -> Any:
    if isinstance(value, str):
        return re.sub("[\ud800-\udfff]", "\ufffd", value)
    if isinstance(value, dict):
        return {_mended(key): _mended(one) for key, one in value.items()}
    return [_mended(one) for one in value] if isinstance(value, list) else value


def unpacked(data: bytes, limit: int = LARGEST) -> tuple[bytes, str]:
    """What a gzip file holds, at most `limit` bytes; and why that is not all of it, or an empty text."""
    unpacker = zlib.decompressobj(wbits=31)
    found: list[bytes] = []
    size = 0
    try:
        for start in range(0, len(data), CHUNK):
            found.append(unpacker.decompress(data[start : start + CHUNK]))
            size += len(found[-1])
            if size > limit:
                return b"".join(found)[:limit], f"unpacks to more than {limit / 1e6:,.0f} MB"
    except zlib.error as error:
        return b"".join(found), f"is damaged ({error})"
    return b"".join(found), "" if unpacker.eof else "is cut off" if data else "is empty"

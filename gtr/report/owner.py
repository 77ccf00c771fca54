"""Which process a run folder belongs to, and how it gets a name of its own."""

import fcntl
import os
import shutil
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from gtr.errors import RunError
from gtr.report.files import PART, make_folder, move_whole


def lock(path: Path) -> int:
    """Takes the run for this process until it closes the handle or dies, however it dies.

    Raises `RunError` where another process has it.
    """
    try:
        handle = os.open(path / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    except OSError as error:
        raise RunError(f"{path} cannot be written ({error.strerror}): its .lock cannot be opened") from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise RunError(f"{path} cannot be written: its .lock is not a regular file; remove it")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = os.read(handle, 200).decode(errors="replace") or "another process"
        os.close(handle)
        raise RunError(f"{path} is being written by {owner}: wait until it ends, or stop it") from error
    os.truncate(handle, 0)
    os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
    return handle


def is_being_written(path: Path) -> bool:
    """Whether a process holds the run at `path`; nothing is written to find out."""
    try:
        handle = os.open(path / ".lock", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


YOUNG = 60.0
"""Seconds for which a folder without an owner may be one whose owner has not locked it yet."""


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """A folder of this process beside `path` in which that is made; what is not moved away is removed.

    It is locked as long as this process lives, so that others tell what a killed one has left, and remove it.
    """
    make_folder(path.parent)
    _sweep(path.parent)
    own = path.with_name(f".{path.name[:100]}.{os.getpid()}{PART}")
    shutil.rmtree(own, ignore_errors=True)
    own.mkdir()
    handle = os.open(own, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # A file system without locks.
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield own
    finally:
        shutil.rmtree(own, ignore_errors=True)
        os.close(handle)


def _sweep(folder: Path) -> None:
    """Removes folders that processes which live no more were making here."""
    for part in folder.glob(f".*{PART}"):
        with suppress(OSError):
            handle = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if time.time() - os.fstat(handle).st_mtime > YOUNG:
                    shutil.rmtree(part)
            finally:
                os.close(handle)


def claim(made: Path, wanted: Path) -> Path:
    """Moves a finished folder to the first free name; another process that was faster just raises the number."""
    make_folder(wanted.parent)
    for index in count(1):
        path = wanted if index == 1 else wanted.with_name(f"{wanted.name}-{index}")
        if path.exists():
            continue
        try:
            return move_whole(made, path)
        except OSError:
            if not path.exists():
                raise
    raise AssertionError("unreachable: count() never ends")

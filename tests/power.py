"""A disk in this process that forgets at a power cut what was not synced: file bytes and names in folders, each alone.

Harsher than real file systems: of what was not synced any part may be kept or lost, in any order.
"""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

CALLS = ("fsync", "replace", "rename", "unlink", "mkdir", "rmdir")
"""Calls before each of which the power may go."""
Names = dict[str, int]
"""What lies in a folder: name -> inode."""


class Cut(BaseException):
    """The power has gone."""


class Disk:
    """Watches everything that is written below `root`, until the power goes before call number `cut`."""

    def __init__(self, root: Path, patch: pytest.MonkeyPatch, cut: int | None = None) -> None:
        self.root, self.cut, self.calls = root, cut, 0
        self.files: dict[int, bytes] = {}
        self.folders: dict[int, Names] = {}
        self.live: tuple[dict[int, bytes], dict[int, Names]] | None = None
        """Everything as it was when the power went."""
        self._held: list[int] = []
        self._sync_all()
        for name in CALLS:
            patch.setattr(os, name, self._watched(getattr(os, name), name))

    def _sync_all(self) -> None:
        self.files, self.folders = self._everything()

    def _watched(self, call: Callable[..., Any], name: str) -> Callable[..., Any]:
        def watched(*arguments: Any, **named: Any) -> Any:
            if self.calls == self.cut and self.live is None:
                self.live = self._everything()
            if self.live is not None:
                raise Cut
            self.calls += 1
            return self._synced(*arguments) if name == "fsync" else call(*arguments, **named)

        return watched

    def _synced(self, handle: int) -> None:
        """Notes what is safe from now on; holds the file open, so that its inode is not given to another."""
        self._held.append(os.dup(handle))
        found = os.fstat(handle)
        if stat.S_ISDIR(found.st_mode):
            self.folders[found.st_ino] = _names(handle)
        else:
            self.files[found.st_ino] = Path(f"/proc/self/fd/{handle}").read_bytes()

    def _everything(self) -> tuple[dict[int, bytes], dict[int, Names]]:
        files, folders = {}, {}
        for place, _, names in os.walk(self.root):
            folders[os.stat(place).st_ino] = _names(place)
            for name in names:
                path = Path(place) / name
                files[path.stat().st_ino] = path.read_bytes()
        return files, folders

    def after_the_cut(self, target: Path, random: Random) -> None:
        """Writes to `target` what a machine might find when it starts again."""
        assert self.live is not None
        luck = random.choice((0.0, 0.5, 1.0))
        self._folder(self.root.stat().st_ino, target, random, luck)

    def _folder(self, inode: int, target: Path, random: Random, luck: float) -> None:
        assert self.live is not None
        target.mkdir()
        safe, live = self.folders.get(inode, {}), self.live[1].get(inode, {})
        for name in sorted({*safe, *live}):
            one = (live if random.random() < luck else safe).get(name)
            if one in self.live[1] or one in self.folders:
                self._folder(one, target / name, random, luck)
            elif one is not None:
                (target / name).write_bytes(self._bytes(one, random, luck))

    def _bytes(self, inode: int, random: Random, luck: float) -> bytes:
        assert self.live is not None
        safe = self.files.get(inode, b"")
        live = self.live[0].get(inode, safe)
        torn = live[: random.randrange(len(safe) if live.startswith(safe) else 0, len(live) + 1)]
        return live if random.random() < luck else random.choice((safe, torn))

    def close(self) -> None:
        for handle in self._held:
            os.close(handle)


def _names(folder: Any) -> Names:
    if isinstance(folder, int):
        return {name: os.stat(name, dir_fd=folder, follow_symlinks=False).st_ino for name in os.listdir(folder)}
    return {name: os.stat(Path(folder) / name).st_ino for name in os.listdir(folder)}

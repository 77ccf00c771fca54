"""Prints the entries of constraints.txt, hashes and all, that gtr with some extras needs: ``python pins.py chat,show``.

Read off what the entries say of themselves ("via ..."), so that pip need not resolve anything: in its mode of hashes it
takes no version from constraints. Torch is not among them, since its wheels differ by machine.
"""

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent


def entries() -> dict[str, str]:
    """By package: its versions, their markers, hashes and the packages that need it."""
    parts = re.split(r"^(?=[a-z0-9])", (HERE / "constraints.txt").read_text(), flags=re.MULTILINE)[1:]
    found: dict[str, str] = {}
    for part in parts:  # A package may have several entries, each with its marker.
        name = part.split("==")[0]
        found[name] = found.get(name, "") + part
    return found


def roots(extras: str) -> Iterator[str]:
    """What is asked for by name."""
    project = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]
    wanted = list(project["dependencies"])
    for extra in extras.split(",") if extras else ():
        wanted += project["optional-dependencies"][extra]
    wanted += [line for line in (HERE / "constraints.in").read_text().splitlines() if not line.startswith("#")]
    yield from (re.split(r"[\[<>=]", one)[0] for one in wanted)


def needed(extras: str) -> list[str]:
    """The entries of what is asked for, and of all that these need."""
    every = entries()
    users = {name: set(re.findall(r"[a-z0-9-]+", part.partition("# via")[2])) for name, part in every.items()}
    found = {name for name in roots(extras) if name in every}
    while more := {name for name in every.keys() - found if users[name] & found}:
        found |= more
    return [every[name] for name in sorted(found)]


if __name__ == "__main__":
    print("".join(needed(",".join(sys.argv[1:]))), end="")

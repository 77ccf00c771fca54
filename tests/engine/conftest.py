"""Servers that the tests of engines and teachers share."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from served import Served


@pytest.fixture(scope="module")
def two(build_model: Callable[..., Path]) -> Iterator[list[Served]]:
    servers = [Served(build_model()) for _ in range(2)]
    yield servers
    for one in servers:
        one.process.kill()
        one.process.wait()


@pytest.fixture
def servers(two: list[Served]) -> list[Served]:
    """Two servers that are well."""
    for one in two:
        one.ready()
    return two

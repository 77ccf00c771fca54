"""ALFWorld tests run where its extra is installed, and say so where it is not."""

from pathlib import Path

import pytest

from gtr.tasks.alfworld import package


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    lacking = package.missing()
    if not lacking:
        return
    skip = pytest.mark.skip(reason=f"needs {', '.join(lacking)}: {package.INSTALL}")
    for item in items:
        if Path(__file__).parent in item.path.parents and "no_engine" not in item.keywords:
            item.add_marker(skip)

"""Links that leave docs/ lead into the repository: on GitHub they are files beside it, on the site there are none."""

import re
from typing import Any

OUTSIDE = re.compile(r"\]\(\.\./([^)\s]+)\)")


def on_page_markdown(markdown: str, *, config: Any, **rest: Any) -> str:
    """Called by mkdocs with every page's text."""
    repository = config.extra["social"][0]["link"]
    return OUTSIDE.sub(rf"]({repository}/blob/main/\1)", markdown)

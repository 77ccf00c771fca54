"""Links that leave docs/ lead into the repository: on GitHub they are files beside it, on the site there are none."""

import re
from typing import Any

OUTSIDE = re.compile(r"\]\(\.\./([^)\s]+)\)")


def on_page_markdown(markdown: str, *, config: Any, **rest: Any) -> str:
    """Called by mkdocs with every page's text."""
    return OUTSIDE.sub(rf"]({config.repo_url}/blob/main/\1)", markdown)

"""What the site makes of docs/: links out of it lead into the repository, where GitHub has the files beside it, and
notebooks become pages."""

import json
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

OUTSIDE = re.compile(r"\]\(\.\./([^)\s]+)\)")


def on_files(files: Any, *, config: Any) -> Any:
    """Called by mkdocs with all files: a page for each notebook."""
    for one in [one for one in files if one.src_uri.endswith(".ipynb")]:
        files.remove(one)
        page = one.src_uri.replace(".ipynb", ".md")
        files.append(File.generated(config, page, content=paged(Path(one.abs_src_path))))
    return files


def paged(notebook: Path) -> str:
    """A notebook's cells as Markdown: its texts, its code, and the texts and pictures that came of it."""
    return "\n\n".join(part for cell in json.loads(notebook.read_text())["cells"] for part in _parts(cell))


def _parts(cell: Any) -> list[str]:
    source = "".join(cell["source"])
    if cell["cell_type"] != "code":
        return [source]
    return [f"```python\n{source}\n```", *(_shown(output) for output in cell["outputs"])]


def _shown(output: Any) -> str:
    data = output.get("data", {"text/plain": output.get("text", "")})
    if "image/png" in data:
        return f"![](data:image/png;base64,{data['image/png'].strip()})"
    if "text/markdown" in data:
        return "".join(data["text/markdown"])
    return f"```text\n{''.join(data['text/plain']).rstrip()}\n```"


def on_page_markdown(markdown: str, *, page: Any, config: Any, **rest: Any) -> str:
    """Called by mkdocs with every page's text; notebooks, in a folder of docs/, lead out of it by no such link."""
    if "/" in page.file.src_uri:
        return markdown
    repository = config.extra["social"][0]["link"]
    markdown = markdown.replace(".ipynb)", ".md)")
    return OUTSIDE.sub(rf"]({repository}/blob/main/\1)", markdown)

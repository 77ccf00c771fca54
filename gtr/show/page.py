"""The page's own files, put together: linked for the server, or all in one for a file that travels."""

import base64
import gzip
import hashlib
import re
from collections.abc import Mapping
from html import escape
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gtr.errors import RunError, to_install
from gtr.report.files import encode

STYLE, SCRIPT = "style.css", "main.js"
IMPORT = re.compile(r'^import \{([^}]*)\} from "\./([\w-]+)\.js";$', re.MULTILINE)
EXPORT = re.compile(r"^export ((?:async )?(?:function|class|const) (\w+))", re.MULTILINE)
NOTHING_ELSE = "style-src 'self' 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""The chart library sets styles on what it draws; scripts have no such freedom."""
SERVED_POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self' data:; frame-ancestors 'none'; "
    + NOTHING_ELSE
)


def own(name: str) -> str:
    """One of the page's files."""
    return (files("gtr.show") / "page" / name).read_text(encoding="utf-8")


def names() -> list[str]:
    """The page's scripts and style sheet."""
    return sorted(one.name for one in (files("gtr.show") / "page").iterdir() if one.name.endswith((".js", ".css")))


def is_installed() -> bool:
    """Whether the packages are there that a page needs."""
    return find_spec("plotly") is not None


def chart_library() -> str:
    """The script of the chart library, which its Python package brings along.

    Raises `RunError` where it is not installed.
    """
    spec = find_spec("plotly")
    if spec is None or spec.origin is None:
        raise RunError(f"the viewer's packages are not installed: {to_install('show')}")
    return (Path(spec.origin).parent / "package_data" / "plotly.min.js").read_text(encoding="utf-8")


def served() -> str:
    """The page that the server sends; everything else it links."""
    head = f'<link rel="stylesheet" href="page/{STYLE}">'
    scripts = '<script type="module" src="page/main.js"></script>'
    return _filled(own("index.html"), {"policy": "", "style": head, "scripts": scripts})


def single(data: Mapping[str, Any], title: str) -> str:
    """The page with everything inside: opens from a disk, loads nothing, and runs no script but its own."""
    library = chart_library()
    script = _closed(bundle())
    text = encode(data).decode()
    policy = f"default-src 'none'; script-src {_hash(library)} {_hash(script)}; img-src data:; {NOTHING_ELSE}"
    parts = {
        "policy": f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        "style": f"<style>{own(STYLE)}</style>",
        "scripts": "\n".join(
            [
                f'<script type="text/plain" id="packed-data">{_packed(text)}</script>',
                f'<script type="text/plain" id="packed-charts">{_packed(library)}</script>',
                f'<script type="module">{script}</script>',
            ]
        ),
    }
    return _filled(own("index.html").replace("<title>gtr show", f"<title>{escape(title)} - gtr"), parts)


def _packed(text: str) -> str:
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def bundle(first: str = SCRIPT) -> str:
    """All of the page's modules as one script: each a function that returns what it exports, after those it needs."""
    ordered: dict[str, str] = {}
    _add(first, ordered)
    return "const modules = {};\n" + "\n".join(ordered.values())


def _add(name: str, ordered: dict[str, str]) -> None:
    text = own(name)
    for _, needed in IMPORT.findall(text):
        if f"{needed}.js" not in ordered:
            _add(f"{needed}.js", ordered)
    exported = ", ".join(what for _, what in EXPORT.findall(text))
    body = EXPORT.sub(r"\1", IMPORT.sub(r'const {\1} = modules["\2"];', text))
    ordered[name] = f'modules["{name.removesuffix(".js")}"] = (() => {{\n{body}\nreturn {{ {exported} }};\n}})();'


def _closed(script: str) -> str:
    """A script that cannot end the element it is written into."""
    return re.sub(r"</(?=script)|<!--", lambda found: found[0][0] + "\\" + found[0][1:], script, flags=re.IGNORECASE)


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _filled(page: str, parts: Mapping[str, str]) -> str:
    for name, text in parts.items():
        page = page.replace(f"<!-- {name} -->", text)
    return page

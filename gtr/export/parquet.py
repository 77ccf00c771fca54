"""Tables with pictures: Parquet with the note by which `datasets` and the hub's viewer know which column is one."""

import contextlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gtr.errors import ConfigError, to_install

if TYPE_CHECKING:
    import pyarrow

PLAIN = {
    **dict.fromkeys(("reward", "value", "advantage"), "float64"),
    **dict.fromkeys(("update", "env", "episode", "turn"), "int64"),
    **dict.fromkeys(("legal", "success"), "bool"),
}
"""Columns that hold no texts."""


def write_parquet(path: Path, parts: Iterable[list[dict[str, Any]]]) -> int:
    """Writes rows, part by part, whole or not at all; returns how many there were. Without rows there is no file.

    All rows have the same keys. Pictures are ``{"bytes": ..., "path": ...}``, alone or in lists.

    Raises `ConfigError` where pyarrow is not installed.
    """
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ModuleNotFoundError:
        raise ConfigError(f"Parquet needs pyarrow, which is not installed: {to_install('hub')}") from None
    count, beside = 0, path.with_name(f".{path.name}.part")
    try:
        # Opened here: pyarrow takes only names that are Unicode.
        with beside.open("wb") as file, contextlib.ExitStack() as stack:
            writer = None
            for rows in parts:
                schema = _schema(rows) if writer is None else writer.schema
                writer = writer or stack.enter_context(parquet.ParquetWriter(file, schema))
                writer.write_table(arrow.Table.from_pylist(rows, schema))
                count += len(rows)
        if count:
            beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return count


def _schema(rows: list[dict[str, Any]]) -> "pyarrow.Schema":
    """The columns' types, and the note on pictures."""
    import pyarrow as arrow

    picture = arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])
    message = arrow.struct([("role", arrow.string()), ("content", arrow.string())])
    known = {"image": picture, "images": arrow.list_(picture), "messages": arrow.list_(message)}
    kinds = {name: _kind(name, value) for name, value in rows[0].items()}
    fields = [(name, known[kind] if kind in known else arrow.type_for_alias(kind)) for name, kind in kinds.items()]
    note = {"info": {"features": {name: _feature(kind) for name, kind in kinds.items()}}}
    return arrow.schema(fields, {"huggingface": json.dumps(note)})


def _kind(name: str, value: Any) -> str:
    """What a column holds: pictures, messages, or a type by its name in Arrow and `datasets` alike."""
    if name in ("image", "images"):
        return name
    return "messages" if isinstance(value, list) else PLAIN.get(name, "string")


def _feature(kind: str) -> Any:
    """A kind in the words of `datasets`."""
    text = {"dtype": "string", "_type": "Value"}
    named = {"image": {"_type": "Image"}, "images": [{"_type": "Image"}], "messages": [{"role": text, "content": text}]}
    return named.get(kind, {**text, "dtype": kind})

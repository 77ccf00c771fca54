"""The settings of a run of any version, as those of other runs can be compared with them."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from gtr.config import Config
from gtr.config.io import config_from_dict, config_to_dict
from gtr.errors import GtrError
from gtr.report.files import UNUSABLE, encode


def all_settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """What stands in a ``config.json`` by dotted key: under the names of today, and with the defaults of settings that
    are younger than the run. Where this version cannot read it, its values as they are, and the defaults of others;
    nothing where nothing stands there. No code of the user's own is run."""
    if not values:
        return {}
    try:
        return _plain(config_from_dict(values))
    except (GtrError, *UNUSABLE):
        return {**_plain(Config()), **dict(flat(values))}


def _plain(config: Config) -> dict[str, Any]:
    return dict(flat(json.loads(encode(config_to_dict(config)))))


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested tables as dotted keys: ``{"task": {"name": "x"}}`` gives ``task.name``."""
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value

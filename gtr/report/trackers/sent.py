"""What a tracker may be told, and what one that cannot take points back has been told."""

import json
import re
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

from gtr.config import Config
from gtr.config.io import config_to_dict
from gtr.report.files import encode, write_whole


class Sent:
    """Keeps, in the run folder, the run's name at the tracker and the last update it was told of.

    A run that a crash threw back to its checkpoint does some updates again: they are told once. What had not left a
    killed process is then missing at the tracker; ``metrics.jsonl`` has it.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._record: dict[str, Any] = json.loads(file.read_bytes()) if file.exists() else {"id": uuid.uuid4().hex[:8]}

    @property
    def id(self) -> str:
        """Eight hexadecimal digits, the same for all resumes of a run."""
        return str(self._record["id"])

    def once(self, kind: str, update: int) -> bool:
        """Whether `kind` of `update` was not told yet; from now on it counts as told."""
        if update <= self._record.get(kind, -1):
            return False
        self._record[kind] = update
        write_whole(self._file, encode(self._record))
        return True


def public_settings(config: Config) -> dict[str, Any]:
    """A run's settings as they may leave this machine: without a name and password in the corrector's address."""
    address = config.corrector.base_url
    shown = None if address is None else re.sub(r"(?<=//)[^/@]*@", "", address)
    return config_to_dict(replace(config, corrector=replace(config.corrector, base_url=shown)))

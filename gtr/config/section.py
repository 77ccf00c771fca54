"""What settings are made of: frozen dataclasses, and the types that say at a field which values it takes.

Ranges stand at the field as `annotated_types` (``Annotated[int, Ge(1), Le(10)]``): every number has two ends, wide
enough for any sane run, so that a slip of the keyboard is told and not tried.
"""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from annotated_types import Ge, Le, Lt, Predicate
from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from gtr.errors import nearest


@dataclass(frozen=True)
class Section:
    """Base of every dataclass of settings: values are taken as they stand (no ``"1"`` for 1), unknown keys refused."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "strict": True, "allow_inf_nan": False}


class Kept:
    """Marks settings that were read from a file or folder without running the code that they belong to."""


@dataclass(frozen=True)
class Known:
    """Of a text: one of these names, or the import path of a class of the user's own (``module:Class``)."""

    names: tuple[str, ...]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def _checked(self, value: str) -> str:
        if value not in self.names and not is_path(value):
            raise PydanticCustomError("known", "{hint}", {"hint": self.hint(value)})
        return value

    def hint(self, value: str) -> str:
        """What would have been right."""
        return f"{nearest(value, self.names)}; or a class of yours: package.module:Class or file.py:Class"


def is_path(name: str) -> bool:
    """Whether a name is the import path of a class, ``package.module:Class`` or ``path/file.py:Class``."""
    place, _, inner = name.rpartition(":")
    return bool(place) and inner.isidentifier()


Text = Annotated[str, Predicate(str.strip)]
"""Words that are not blank."""
Seed = Annotated[int, Ge(0), Le(2**63 - 1)]
Share = Annotated[float, Ge(0), Le(1)]
BelowOne = Annotated[float, Ge(0), Lt(1)]
Weight = Annotated[float, Ge(0), Le(1e6)]
Reward = Annotated[float, Ge(-1e6), Le(1e6)]

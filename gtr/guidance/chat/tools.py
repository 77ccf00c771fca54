"""A task's tools as a model calls them: plain annotated functions, described by a schema, arguments validated."""

import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

LONGEST_ARGUMENTS = 5000
LONGEST_RESULT = 4000
"""Characters."""


@dataclass(frozen=True)
class Tool:
    """One function that a corrector may call."""

    name: str
    description: str
    form: type[BaseModel]
    """The model of its arguments."""
    function: Callable[..., object]

    def spec(self) -> dict[str, Any]:
        """The tool as the API takes it."""
        parameters = {**self.form.model_json_schema(), "additionalProperties": False}
        described = {"name": self.name, "description": self.description, "parameters": parameters}
        return {"type": "function", "function": described}

    def run(self, arguments: str) -> str:
        """The result, or what is wrong with the arguments, as JSON text for the model."""
        if len(arguments) > LONGEST_ARGUMENTS:
            return json.dumps({"error": "the arguments are too long"})
        try:
            checked = self.form.model_validate_json(arguments)
            result = self.function(**{name: getattr(checked, name) for name in self.form.model_fields})
        except (ValidationError, ValueError) as error:
            return json.dumps({"error": str(error)[:500]})
        return json.dumps({"result": result}, ensure_ascii=False)[:LONGEST_RESULT]


def tool_of(function: Callable[..., object]) -> Tool:
    """A tool from a function with a docstring and annotated parameters."""
    hints = get_type_hints(function)
    fields: dict[str, Any] = {
        name: (hints.get(name, Any), ... if one.default is one.empty else one.default)
        for name, one in inspect.signature(function).parameters.items()
    }
    name = getattr(function, "__name__", "tool")
    form = create_model(name, __config__=ConfigDict(extra="forbid"), **fields)
    return Tool(name, inspect.getdoc(function) or name, form, function)

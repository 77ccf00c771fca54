"""Structured output and tools: what a server really does with them, asked once because many silently ignore both.

A task's tools are plain annotated functions: `Tool` describes one by a schema and validates what it is called with.
"""

import inspect
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_type_hints

from pydantic import BaseModel, ConfigDict, create_model

from gtr.config import CorrectorConfig
from gtr.guidance.chat.answers import BadAnswer, read_answer, schema_of
from gtr.guidance.chat.model import ChatModel, Failure, FailureKind
from gtr.report.files import UNUSABLE
from gtr.tasks.reply import valid_text

Structure = Literal["json_schema", "json_object", "prompt"]
LONGEST_ARGUMENTS = 5000
LONGEST_RESULT = 4000
"""Characters."""
log = logging.getLogger(__name__)


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
            return json.dumps({"result": valid_text(result)}, ensure_ascii=False)[:LONGEST_RESULT]
        except UNUSABLE as error:  # A task's own function, over whatever a model may write.
            return json.dumps({"error": str(error)[:500]})


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


@dataclass(frozen=True)
class Capabilities:
    """How answers are kept to their form, and how tools reach the model."""

    structure: Structure
    tools: Literal["call", "prompt", "off"]

    def response_format(self, form: type[BaseModel]) -> dict[str, Any]:
        """What a request says about the form of its answer."""
        if self.structure == "json_schema":
            schema = {"name": form.__name__.lower(), "strict": True, "schema": schema_of(form)}
            return {"response_format": {"type": "json_schema", "json_schema": schema}}
        return {"response_format": {"type": "json_object"}} if self.structure == "json_object" else {}


class _Colour(BaseModel):
    """A form that no model would choose by itself."""

    model_config = ConfigDict(extra="forbid")
    hue_name: str
    wavelength_guess: int


async def find_capabilities(model: ChatModel, config: CorrectorConfig, with_tools: bool) -> Capabilities:
    """Takes what the settings say, and tries out the rest."""
    structure = config.structured if config.structured != "auto" else await _structure(model)
    tools: Literal["call", "prompt", "off"] = "off"
    if with_tools and config.tools != "off":
        tools = await _tools(model) if config.tools == "auto" else config.tools
    found = Capabilities(structure, tools)
    log.info("the corrector %s: answers by %s, tools: %s", config.model, found.structure, found.tools)
    return found


async def _structure(model: ChatModel) -> Structure:
    schema = Capabilities("json_schema", "off").response_format(_Colour)
    if await _obeys(model, "Name a colour.", schema, lambda text: read_answer(text, _Colour)):
        return "json_schema"
    plain = Capabilities("json_object", "off").response_format(_Colour)
    if await _obeys(model, "Name a colour, in JSON.", plain, _whole_json):
        return "json_object"
    return "prompt"


async def _obeys(model: ChatModel, prompt: str, extra: dict[str, Any], check: Any) -> bool:
    try:
        said = await model.ask([{"role": "user", "content": prompt}], **extra)
        check(said.text)
    except BadAnswer:
        return False
    except Failure as failure:
        if failure.kind is FailureKind.REJECTED:
            return False
        raise
    return True


class _Anything(BaseModel):
    model_config = ConfigDict(extra="allow")


def _whole_json(text: str) -> None:
    """JSON mode gives an object without anything around it."""
    if not text.strip().startswith("{"):
        raise BadAnswer("words stand before the object")
    read_answer(text, _Anything)


def report_number(number: int) -> str:
    """Reports a number."""
    return str(number)


async def _tools(model: ChatModel) -> Literal["call", "prompt"]:
    tool = tool_of(report_number)
    messages = [{"role": "user", "content": "Call the function report_number with the number 7."}]
    try:
        said = await model.ask(messages, tools=[tool.spec()])
    except Failure as failure:
        if failure.kind is FailureKind.REJECTED:
            return "prompt"
        raise
    called = [tool.run(call.arguments) for call in said.tool_calls if call.name == tool.name]
    return "call" if called and "error" not in called[0] else "prompt"

"""What a server really does with structured output and tools: asked once, because many silently ignore both."""

import logging
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from gtr.config import CorrectorConfig
from gtr.guidance.chat.answers import BadAnswer, read_answer, schema_of
from gtr.guidance.chat.failures import Failure, Kind
from gtr.guidance.chat.speaker import Speaker
from gtr.guidance.chat.tools import tool_of

Structure = Literal["json_schema", "json_object", "prompt"]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Abilities:
    """How answers are kept to their form, and how tools reach the model."""

    structure: Structure
    tools: Literal["call", "prompt", "off"]

    def response_format(self, form: type[BaseModel]) -> dict[str, Any]:
        """What a request says about the form of its answer."""
        if self.structure == "json_schema":
            schema = {"name": form.__name__.lower(), "strict": True, "schema": schema_of(form)}
            return {"response_format": {"type": "json_schema", "json_schema": schema}}
        return {"response_format": {"type": "json_object"}} if self.structure == "json_object" else {}


class _Sample(BaseModel):
    """A form that no model would choose by itself."""

    model_config = ConfigDict(extra="forbid")
    hue_name: str
    wavelength_guess: int


async def find_abilities(speaker: Speaker, config: CorrectorConfig, with_tools: bool) -> Abilities:
    """Takes what the settings say, and tries out the rest."""
    structure = config.structured if config.structured != "auto" else await _structure(speaker)
    tools: Literal["call", "prompt", "off"] = "off"
    if with_tools and config.tools != "off":
        tools = await _tools(speaker) if config.tools == "auto" else config.tools
    found = Abilities(structure, tools)
    log.info("the corrector %s: answers by %s, tools: %s", config.model, found.structure, found.tools)
    return found


async def _structure(speaker: Speaker) -> Structure:
    schema = Abilities("json_schema", "off").response_format(_Sample)
    if await _obeys(speaker, "Name a colour.", schema, lambda text: read_answer(text, _Sample)):
        return "json_schema"
    plain = Abilities("json_object", "off").response_format(_Sample)
    if await _obeys(speaker, "Name a colour, in JSON.", plain, _whole_json):
        return "json_object"
    return "prompt"


async def _obeys(speaker: Speaker, prompt: str, extra: dict[str, Any], check: Any) -> bool:
    try:
        said = await speaker.ask([{"role": "user", "content": prompt}], **extra)
        check(said.text)
    except BadAnswer:
        return False
    except Failure as failure:
        if failure.kind is Kind.REJECTED:
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


async def _tools(speaker: Speaker) -> Literal["call", "prompt"]:
    tool = tool_of(report_number)
    messages = [{"role": "user", "content": "Call the function report_number with the number 7."}]
    try:
        said = await speaker.ask(messages, tools=[tool.spec()])
    except Failure as failure:
        if failure.kind is Kind.REJECTED:
            return "prompt"
        raise
    called = [tool.run(call.arguments) for call in said.tool_calls if call.name == tool.name]
    return "call" if called and "error" not in called[0] else "prompt"

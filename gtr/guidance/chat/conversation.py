"""One question from the first request to the verdict: tools for a bounded number of rounds, the answer, one repair.

What a server really does with structured output and tools is asked once, because many silently ignore both. A task's
tools are plain annotated functions: `Tool` describes one by a schema and validates what it is called with.
"""

import inspect
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_type_hints

from pydantic import BaseModel, ConfigDict, create_model

from gtr.config import CorrectorConfig
from gtr.guidance.chat.answers import BadAnswer, contradicts, read_answer, schema_of
from gtr.guidance.chat.costs import Ledger
from gtr.guidance.chat.model import ChatModel, Completion, Failure, FailureKind, Message
from gtr.guidance.chat.questions import Question, shortened
from gtr.report.files import UNUSABLE
from gtr.tasks.reply import valid_text
from gtr.tasks.task import Task
from gtr.types import Verdict

Structure = Literal["json_schema", "json_object", "prompt"]
LONGEST_ARGUMENTS = 5000
LONGEST_RESULT = 4000
"""Characters."""
MOST_CALLS = 4
"""Tool calls that one round may hold; further ones are refused."""
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


class Conversation:
    """How one game's questions are put to one model."""

    def __init__(self, task: Task, config: CorrectorConfig, model: ChatModel, ledger: Ledger) -> None:
        self._config, self._model, self._ledger = config, model, ledger
        self.tools = Toolbox(task.corrector_spec().tools, config, model, ledger)

    async def verdict(self, question: Question, capabilities: Capabilities) -> Verdict:
        """Asks one question.

        Raises:
            Failure, BudgetExceeded: no verdict.
            CorrectorError: the run cannot go on.
        """
        known = await self._looked_up(question, capabilities) if capabilities.tools == "prompt" else ""
        user = question.message(self._config, known)
        messages: list[Message] = [{"role": "system", "content": question.system}, user]
        text = await self.tools.talk(messages) if capabilities.tools == "call" else None
        try:
            if text is not None:
                return self._read(text, question)
        except BadAnswer:
            pass  # The model spoke before it was held to a form: it is asked properly now.
        return await self._answer(messages, question, capabilities)

    async def _answer(self, messages: list[Message], question: Question, capabilities: Capabilities) -> Verdict:
        """The answer in its form; an invalid one is sent back once with what is wrong."""
        extra = capabilities.response_format(question.form)
        if any(message["role"] == "tool" for message in messages):
            extra |= {"tools": self.tools.specs(), "tool_choice": "none"}
        said = await self._model.ask(messages, **extra)
        try:
            return self._read(said.text, question)
        except BadAnswer as fault:
            self._ledger.count("repairs")
            complaint = f"That answer cannot be used: {fault}. Answer again with one whole JSON object."
            wrong = {"role": "assistant", "content": shortened(said.text)}
            again = [*messages, wrong, {"role": "user", "content": complaint}]
        said = await self._model.ask(again, **extra)
        try:
            return self._read(said.text, question)
        except BadAnswer as fault:
            raise Failure(FailureKind.INVALID, str(fault)) from None

    def _read(self, text: str, question: Question) -> Verdict:
        verdict = question.read(read_answer(text, question.form))
        if contradicts(verdict):
            self._ledger.count("contradictions")
        return verdict

    async def _looked_up(self, question: Question, capabilities: Capabilities) -> str:
        """For models without tool calls: the model reads a tool's arguments off the picture, and gets the result."""
        found = ""
        for tool in self.tools.tools.values():
            task = (
                f"Read the picture and fill in the arguments of this function: {json.dumps(tool.spec()['function'])}\n"
                "Answer with one JSON object that holds the arguments and nothing else."
            )
            messages = [{"role": "system", "content": task}, question.message(self._config)]
            said = await self._model.ask(messages, **capabilities.response_format(tool.form))
            try:
                arguments = read_answer(said.text, tool.form).model_dump_json()
            except BadAnswer:
                continue  # It is asked without the tool's help then.
            self._ledger.count("tool_calls")
            found += f"\n{tool.name}({shortened(arguments)}) gives: {tool.run(arguments)}"
        return found


class Toolbox:
    """The tools of one game, offered to one model."""

    def __init__(
        self, functions: Sequence[Callable[..., object]], config: CorrectorConfig, model: ChatModel, ledger: Ledger
    ) -> None:
        self.tools: Mapping[str, Tool] = {tool.name: tool for tool in map(tool_of, functions)}
        self._config, self._model, self._ledger = config, model, ledger

    def specs(self) -> list[dict[str, Any]]:
        """All tools as the API takes them."""
        return [tool.spec() for tool in self.tools.values()]

    async def talk(self, messages: list[Message]) -> str | None:
        """Lets the model call tools, adding calls and results to the chat; its text if it ends with one."""
        for _ in range(self._config.tool_rounds):
            said = await self._model.ask(messages, tools=self.specs())
            if not said.tool_calls:
                return said.text
            messages += self._called(said)
        return None

    def _called(self, said: Completion) -> Sequence[Message]:
        """The model's calls and their results as messages."""
        calls = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments[:LONGEST_ARGUMENTS]},
            }
            for call in said.tool_calls
        ]
        results = []
        for index, call in enumerate(said.tool_calls):
            self._ledger.count("tool_calls")
            tool = self.tools.get(call.name)
            result = json.dumps({"error": f"call one of {', '.join(self.tools)}, at most {MOST_CALLS} times a turn"})
            if tool is not None and index < MOST_CALLS:
                result = tool.run(call.arguments)
            results.append({"role": "tool", "tool_call_id": call.id, "content": result})
        return [{"role": "assistant", "content": shortened(said.text), "tool_calls": calls}, *results]

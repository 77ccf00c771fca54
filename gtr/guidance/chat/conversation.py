"""One question from the first request to the verdict: tools for a bounded number of rounds, the answer, one repair."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gtr.config import CorrectorConfig
from gtr.guidance.chat.answers import BadAnswer, contradicts, read_answer
from gtr.guidance.chat.capabilities import LONGEST_ARGUMENTS, Capabilities, Tool, tool_of
from gtr.guidance.chat.ledger import Ledger
from gtr.guidance.chat.model import ChatModel, Completion, Failure, FailureKind, Message
from gtr.guidance.chat.questions import Question, shortened
from gtr.tasks.task import Task
from gtr.types import Verdict

MOST_CALLS = 4
"""Tool calls that one round may hold; further ones are refused."""


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

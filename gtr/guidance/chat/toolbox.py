"""A chat in which the model may call a task's tools, for a bounded number of rounds."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gtr.config import CorrectorConfig
from gtr.guidance.chat.ledger import Ledger
from gtr.guidance.chat.speaker import Completion, Message, Speaker
from gtr.guidance.chat.tools import Tool, tool_of

MOST_CALLS = 4
"""Tool calls that one round may hold; further ones are refused."""


class Toolbox:
    """The tools of one game, offered to one model."""

    def __init__(
        self, functions: Sequence[Callable[..., object]], config: CorrectorConfig, speaker: Speaker, ledger: Ledger
    ) -> None:
        self.tools: Mapping[str, Tool] = {tool.name: tool for tool in map(tool_of, functions)}
        self._config, self._speaker, self._ledger = config, speaker, ledger

    def specs(self) -> list[dict[str, Any]]:
        """All tools as the API takes them."""
        return [tool.spec() for tool in self.tools.values()]

    async def talk(self, messages: list[Message]) -> str | None:
        """Lets the model call tools, adding calls and results to the chat; its text if it ends with one."""
        for _ in range(self._config.tool_rounds):
            said = await self._speaker.ask(messages, tools=self.specs())
            if not said.tool_calls:
                return said.text
            messages += self._called(said)
        return None

    def _called(self, said: Completion) -> Sequence[Message]:
        """The model's calls and their results as messages."""
        calls = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
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
        return [{"role": "assistant", "content": said.text, "tool_calls": calls}, *results]

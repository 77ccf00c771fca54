"""One question from the first request to the verdict: tools for a bounded number of rounds, the answer, one repair."""

import json

from gtr.config import CorrectorConfig
from gtr.guidance.chat.answers import BadAnswer, answer_form, contradicts, read_answer, to_verdict
from gtr.guidance.chat.client import Client, Message
from gtr.guidance.chat.failures import Failure, Kind
from gtr.guidance.chat.ledger import Ledger
from gtr.guidance.chat.probe import Abilities
from gtr.guidance.chat.questions import system_text, user_message
from gtr.guidance.chat.toolbox import Toolbox
from gtr.guidance.corrector import Case
from gtr.tasks.task import Task
from gtr.types import Verdict


class Conversation:
    """How one game's questions are put to one model."""

    def __init__(self, task: Task, config: CorrectorConfig, client: Client, ledger: Ledger) -> None:
        briefing = task.briefing()
        self._task, self._config, self._client, self._ledger = task, config, client, ledger
        self._form = answer_form(briefing, task.thought_keys)
        self._tools = Toolbox(briefing.tools, config, client, ledger)
        self.system = system_text(briefing, task, config.minimum_edit)

    @property
    def has_tools(self) -> bool:
        """Whether the task offers any."""
        return bool(self._tools.tools)

    async def verdict(self, case: Case, kept: str | None, abilities: Abilities) -> Verdict:
        """Asks about one turn; `kept` is the plan chosen earlier in the episode.

        Raises:
            Failure, Broke: no verdict.
            CorrectorError: the run cannot go on.
        """
        known = await self._looked_up(case, kept, abilities) if abilities.tools == "prompt" else ""
        user = user_message(case, self._task, kept, self._config, known)
        messages: list[Message] = [{"role": "system", "content": self.system}, user]
        text = await self._tools.talk(messages) if abilities.tools == "call" else None
        try:
            if text is not None:
                return self._read(text, case, kept)
        except BadAnswer:
            pass  # The model spoke before it was held to a form: it is asked properly now.
        return await self._answer(messages, case, kept, abilities)

    async def _answer(self, messages: list[Message], case: Case, kept: str | None, abilities: Abilities) -> Verdict:
        """The answer in its form; an invalid one is sent back once with what is wrong."""
        extra = abilities.response_format(self._form)
        if any(message["role"] == "tool" for message in messages):
            extra |= {"tools": self._tools.specs(), "tool_choice": "none"}
        said = await self._client.ask(messages, **extra)
        try:
            return self._read(said.text, case, kept)
        except BadAnswer as fault:
            self._ledger.count("repairs")
            complaint = f"That answer cannot be used: {fault}. Answer again with one whole JSON object."
            again = [*messages, {"role": "assistant", "content": said.text}, {"role": "user", "content": complaint}]
        said = await self._client.ask(again, **extra)
        try:
            return self._read(said.text, case, kept)
        except BadAnswer as fault:
            raise Failure(Kind.INVALID, str(fault)) from None

    def _read(self, text: str, case: Case, kept: str | None) -> Verdict:
        verdict = to_verdict(read_answer(text, self._form), self._task, case.observation, kept)
        if contradicts(verdict):
            self._ledger.count("contradictions")
        return verdict

    async def _looked_up(self, case: Case, kept: str | None, abilities: Abilities) -> str:
        """For servers without tool calls: the model reads a tool's arguments off the picture, and gets the result."""
        found = ""
        for tool in self._tools.tools.values():
            task = (
                f"Read the picture and fill in the arguments of this function: {json.dumps(tool.spec()['function'])}\n"
                "Answer with one JSON object that holds the arguments and nothing else."
            )
            user = user_message(case, self._task, kept, self._config)
            messages = [{"role": "system", "content": task}, user]
            said = await self._client.ask(messages, **abilities.response_format(tool.form))
            try:
                arguments = read_answer(said.text, tool.form).model_dump_json()
            except BadAnswer:
                continue  # It is asked without the tool's help then.
            self._ledger.count("tool_calls")
            found += f"\n{tool.name}({arguments}) gives: {tool.run(arguments)}"
        return found

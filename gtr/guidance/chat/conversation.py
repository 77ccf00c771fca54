"""One question from the first request to the verdict: tools for a bounded number of rounds, the answer, one repair."""

import json

from gtr.config import CorrectorConfig
from gtr.guidance.chat.answers import BadAnswer, contradicts, read_answer
from gtr.guidance.chat.failures import Failure, Kind
from gtr.guidance.chat.ledger import Ledger
from gtr.guidance.chat.probe import Abilities
from gtr.guidance.chat.questions import Question
from gtr.guidance.chat.speaker import Message, Speaker
from gtr.guidance.chat.toolbox import Toolbox
from gtr.tasks.task import Task
from gtr.types import Verdict


class Conversation:
    """How one game's questions are put to one model."""

    def __init__(self, task: Task, config: CorrectorConfig, speaker: Speaker, ledger: Ledger) -> None:
        self._config, self._speaker, self._ledger = config, speaker, ledger
        self.tools = Toolbox(task.corrector_spec().tools, config, speaker, ledger)

    async def verdict(self, question: Question, abilities: Abilities) -> Verdict:
        """Asks one question.

        Raises:
            Failure, Broke: no verdict.
            CorrectorError: the run cannot go on.
        """
        known = await self._looked_up(question, abilities) if abilities.tools == "prompt" else ""
        user = question.message(self._config, known)
        messages: list[Message] = [{"role": "system", "content": question.system}, user]
        text = await self.tools.talk(messages) if abilities.tools == "call" else None
        try:
            if text is not None:
                return self._read(text, question)
        except BadAnswer:
            pass  # The model spoke before it was held to a form: it is asked properly now.
        return await self._answer(messages, question, abilities)

    async def _answer(self, messages: list[Message], question: Question, abilities: Abilities) -> Verdict:
        """The answer in its form; an invalid one is sent back once with what is wrong."""
        extra = abilities.response_format(question.form)
        if any(message["role"] == "tool" for message in messages):
            extra |= {"tools": self.tools.specs(), "tool_choice": "none"}
        said = await self._speaker.ask(messages, **extra)
        try:
            return self._read(said.text, question)
        except BadAnswer as fault:
            self._ledger.count("repairs")
            complaint = f"That answer cannot be used: {fault}. Answer again with one whole JSON object."
            again = [*messages, {"role": "assistant", "content": said.text}, {"role": "user", "content": complaint}]
        said = await self._speaker.ask(again, **extra)
        try:
            return self._read(said.text, question)
        except BadAnswer as fault:
            raise Failure(Kind.INVALID, str(fault)) from None

    def _read(self, text: str, question: Question) -> Verdict:
        verdict = question.read(read_answer(text, question.form))
        if contradicts(verdict):
            self._ledger.count("contradictions")
        return verdict

    async def _looked_up(self, question: Question, abilities: Abilities) -> str:
        """For models without tool calls: the model reads a tool's arguments off the picture, and gets the result."""
        found = ""
        for tool in self.tools.tools.values():
            task = (
                f"Read the picture and fill in the arguments of this function: {json.dumps(tool.spec()['function'])}\n"
                "Answer with one JSON object that holds the arguments and nothing else."
            )
            messages = [{"role": "system", "content": task}, question.message(self._config)]
            said = await self._speaker.ask(messages, **abilities.response_format(tool.form))
            try:
                arguments = read_answer(said.text, tool.form).model_dump_json()
            except BadAnswer:
                continue  # It is asked without the tool's help then.
            self._ledger.count("tool_calls")
            found += f"\n{tool.name}({arguments}) gives: {tool.run(arguments)}"
        return found

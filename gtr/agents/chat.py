"""Any model behind an OpenAI-compatible API as an agent in `gtr eval`, with or without the task's tools."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import final

from gtr.agents import Agent
from gtr.config import CorrectorConfig
from gtr.envs import EnvState
from gtr.errors import CorrectorError
from gtr.guidance.chat.client import Client
from gtr.guidance.chat.conversation import Toolbox
from gtr.guidance.chat.costs import Ledger, price_of
from gtr.guidance.chat.model import BudgetExceeded, Failure, Message
from gtr.guidance.chat.questions import picture
from gtr.tasks.task import Task
from gtr.types import Exchange, Reply, Shown

WITH_TOOLS = "openai+tool:"
PLAIN = "openai:"
log = logging.getLogger(__name__)


@final
class ChatAgent(Agent):
    """Plays a task from its prompt and picture, as the policy does. `name` is openai:MODEL or openai+tool:MODEL."""

    def __init__(self, name: str, task: Task, config: CorrectorConfig, greedy: bool) -> None:
        self.name, self.mode = name, "greedy" if greedy else "sampled"
        kind, _, model = name.partition(":")
        self._config = replace(config, model=model, temperature=0.0 if greedy else config.temperature)
        self.ledger = Ledger(None, config.budget_usd)
        self._runner = asyncio.Runner()
        self._client = self._runner.run(self._connect())
        functions = task.corrector_spec().tools if kind + ":" == WITH_TOOLS else ()
        self._tools = Toolbox(functions, self._config, self._client, self.ledger)

    async def _connect(self) -> Client:
        return Client(self._config, price_of(self._config), self.ledger)

    def act(self, states: Sequence[EnvState]) -> list[Reply | None]:
        return self._runner.run(self._all(states))

    async def _all(self, states: Sequence[EnvState]) -> list[Reply | None]:
        return list(await asyncio.gather(*(self._reply(state) for state in states)))

    async def _reply(self, state: EnvState) -> Reply | None:
        messages = [message for one in state.prompt.shown for message in self._messages(one)]
        try:
            said = await self._tools.talk(messages) if self._tools.tools else None
            if said is None:
                said = (await self._client.ask(messages)).text
        except BudgetExceeded:
            raise CorrectorError(
                f"the budget of ${self._config.budget_usd:g} was spent before the panel was played to its end: raise "
                "corrector.budget_usd, or lower --episodes"
            ) from None
        except Failure as failure:
            log.warning("no reply for episode %d, turn %d: %s: %s", state.episode, state.turn, failure.kind, failure)
            return None
        return Reply(said, (), (), True)

    def _messages(self, one: Shown) -> list[Message]:
        text = {"type": "text", "text": one.text}
        shown: list[Message] = [{"role": "user", "content": [text, picture(one.image, self._config)]}]
        return [*shown, {"role": "assistant", "content": one.reply}] if isinstance(one, Exchange) else shown

    def metrics(self) -> Mapping[str, float]:
        return self.ledger.metrics()

    def close(self) -> None:
        """Closes the connections."""
        self._runner.run(self._client.close())
        self._runner.close()

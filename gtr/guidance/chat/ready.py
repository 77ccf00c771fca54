"""Whether an API answers at all, found out by one short question before anything rests on it."""

import asyncio
import os
from dataclasses import replace

from gtr.config import CorrectorConfig
from gtr.errors import CorrectorError
from gtr.guidance.chat.client import Client
from gtr.guidance.chat.ledger import Ledger
from gtr.guidance.chat.model import BudgetExceeded, Failure, FailureKind, Message
from gtr.guidance.chat.prices import price_of

QUESTION: list[Message] = [{"role": "user", "content": "Reply with the one word: ready"}]
RETRIES = 1


def ready(config: CorrectorConfig) -> None:
    """Asks once. A server that asks to wait is there; a budget that covers nothing is met by corrector.at_budget.

    Raises:
        CorrectorError: no usable answer came.
    """
    asyncio.run(_ask(replace(config, retries=min(config.retries, RETRIES))))


async def _ask(config: CorrectorConfig) -> None:
    client = Client(config, price_of(config), Ledger(None, config.budget_usd))
    try:
        await client.ask(QUESTION)
    except BudgetExceeded:
        pass
    except Failure as failure:
        if failure.kind is not FailureKind.RATE_LIMIT:
            key = f"the key in ${config.key_env}" + ("" if os.environ.get(config.key_env) else " (which is not set)")
            raise CorrectorError(
                f"{config.model} at {client.address} does not answer ({failure}): check corrector.base_url, the "
                f"network, corrector.model and {key}"
            ) from None
    finally:
        await client.close()

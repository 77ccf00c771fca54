"""A teacher behind a vLLM server: it writes and scores there, by its own weights.

What it scores are the very token ids that the agent sampled. The server makes the prompt with its picture
(``/v1/chat/completions/render``), the reply's ids are put behind it, and it reads all of them and writes nothing
(``/inference/v1/generate`` with ``prompt_logprobs``).
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, Self, TypeVar, final

import numpy as np
from pydantic import BaseModel, model_validator

from gtr.config import EngineConfig
from gtr.engine.pool import Pool
from gtr.engine.request import Question, Requests, answered, otherwise
from gtr.engine.server import Failure, Server
from gtr.errors import EngineError
from gtr.policy.policy import Policy
from gtr.policy.reference import FrozenPolicy, Likely
from gtr.types import Prompt, Reply, Sample

TOP = 20
"""Likeliest tokens asked for at each place: as many as a vLLM gives by default."""
RENDER, GENERATE = "/v1/chat/completions/render", "/inference/v1/generate"
SHOWN = 64
"""Entries of the vocabulary that a server must spell as the agent does, before anything is played."""
REMEDY = "start one with `gtr serve-engine MODEL --sync none`; its model must share the agent's tokeniser and processor"
Item = TypeVar("Item")
Found = TypeVar("Found")


class _Rendered(BaseModel):
    token_ids: list[int]
    features: dict[str, Any] | None = None


class _Token(BaseModel):
    logprob: float

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if not -1e4 < self.logprob <= 1e-3:
            raise ValueError(f"{self.logprob} is no log-probability")
        return self


class _Scored(BaseModel):
    prompt_token_ids: list[int]
    prompt_logprobs: list[dict[int, _Token] | None]


@final
class ServedTeacher(FrozenPolicy):
    """A model that another process serves, in the teacher's place. Its server may go and come back."""

    most = TOP

    def __init__(self, address: str, agent: Policy, config: EngineConfig) -> None:
        """Raises `EngineError` naming algo.teacher: nobody answers, or who answers reads otherwise than the agent."""
        if agent.config.repetition_penalty != 1 or agent.config.temperature > 1:
            raise EngineError(
                f"algo.teacher {address}: a server scores without a penalty, and tells of likely tokens alone: set "
                "policy.repetition_penalty 1 and policy.temperature 1 or less"
            )
        self._agent, self._config = agent, config
        self._requests, self._barred = Requests(agent), frozenset(agent.network.forbidden)
        server = Server(address, config.timeout, config.sync_timeout, config.in_flight)
        self._pool = Pool([server], config.retries, config.patience, "algo.teacher")
        self._pool.restore = self._meet
        try:
            self._meet(server)
        except Failure as failure:
            raise EngineError(f"algo.teacher {failure}: {REMEDY}") from None

    @property
    def name(self) -> str:
        """What the server says that it serves."""
        return self._pool.servers[0].model

    def _meet(self, server: Server) -> None:
        """Has a server that is new, or back, read some of every part of the vocabulary under a picture."""
        known, server.model = server.model, server.models()[0]
        if known not in ("", server.model):
            raise EngineError(f"algo.teacher {server.address} served {known} before, and now {server.model}")
        step = max(1, self._agent.network.vocabulary // SHOWN)
        words = self._agent.decode(range(0, len(self._agent.tokenizer), step))
        (asked,) = self._requests.questions([Prompt(np.zeros((64, 64, 3), np.uint8), words)], [0], 1.0, 1)
        self._rendered(asked, server)

    def swapped(self, policy: Policy) -> AbstractContextManager[Policy]:
        raise NotImplementedError("a served teacher has no weights here")

    def replies(self, policy: Policy, prompts: Sequence[Prompt], greedy: bool = False) -> list[Reply]:
        def ask(asked: Question) -> Reply:
            return self._requests.reply(self._pool.ask(lambda server: self._requests.sampled(asked, server)))

        return self._together(ask, self._requests.drawn(prompts, greedy))

    def likeliest(
        self, policy: Policy, samples: Sequence[Sample], count: int
    ) -> list[tuple[tuple[float, ...], Likely]]:
        """As of any policy; exact at temperature 1, see `tempered` below it."""

        def ask(row: tuple[Question, Sample]) -> tuple[tuple[float, ...], Likely]:
            told = self._pool.ask(lambda server: self._scores(*row, server))
            scored = tuple(one[token] for one, token in zip(told, row[1].tokens, strict=True))
            return scored, _likely(told, count, self._barred)

        prompts = [sample.prompt for sample in samples]
        asked = self._requests.questions(prompts, [0] * len(prompts), 1.0, 1)
        return self._together(ask, list(zip(asked, samples, strict=True)))

    def _together(self, ask: Callable[[Item], Found], rows: Sequence[Item]) -> list[Found]:
        with ThreadPoolExecutor(self._config.in_flight, "teacher") as threads:
            return list(threads.map(ask, rows))

    def _rendered(self, asked: Question, server: Server) -> _Rendered:
        made = answered(_Rendered, server, server.complete(self._requests.body(asked), RENDER))
        if problem := otherwise(asked, made.token_ids):
            raise Failure(f"{server.address} {problem}")
        return made

    def _scores(self, asked: Question, sample: Sample, server: Server) -> list[dict[int, float]]:
        """At each place of a reply, the log-probabilities of the tokens that the server tells of."""
        made, tokens = self._rendered(asked, server), list(sample.tokens)
        ids = made.token_ids + tokens
        chosen = {"max_tokens": 1, "temperature": 0.0, "prompt_logprobs": TOP}
        request = {"token_ids": ids, "features": made.features, "return_token_ids": True, "sampling_params": chosen}
        answer = answered(_Scored, server, server.complete(request, GENERATE))
        places = answer.prompt_logprobs[len(made.token_ids) :]
        rows = [{token: one.logprob for token, one in (place or {}).items()} for place in places]
        told = len(rows) == len(tokens) and all(token in row for token, row in zip(tokens, rows, strict=True))
        if answer.prompt_token_ids != ids or not told:
            raise Failure(f"{server.address} scores other tokens than it was given")
        return [tempered(row, sample.temperature, self._barred) for row in rows]


def tempered(row: Mapping[int, float], temperature: float, barred: frozenset[int] = frozenset()) -> dict[int, float]:
    """Tokens' log-probabilities at a temperature of at most 1, by those of the likeliest tokens at temperature 1.

    What is not told of is taken to be as likely as the least likely of `TOP`, token for token: exact at temperature 1,
    and below it too low by at most what ``rest * least ** (1 / temperature - 1)`` adds to the sum of the others.
    Tokens that are `barred` have none of the probability, as far as they are told of.

    >>> round(tempered({3: np.log(0.8), 5: np.log(0.2)}, 0.5)[3], 6) == round(float(np.log(0.64 / 0.68)), 6)
    True
    """
    likeliest = np.sort(list(row.values()))[::-1][:TOP]
    rest, least = max(0.0, 1.0 - float(np.exp(list(row.values())).sum())), float(likeliest[-1])
    open_to = [value / temperature for one, value in row.items() if one not in barred]
    tail = [np.log(rest) + (1 / temperature - 1) * least] if rest > 0 else []
    total = np.logaddexp.reduce([*open_to, *tail])
    return {one: float(value / temperature - total) for one, value in row.items()}


def _likely(told: Sequence[Mapping[int, float]], count: int, barred: frozenset[int]) -> Likely:
    """The likeliest that may be said of the tokens that are told of; minus infinity where there are fewer."""
    ids, logprobs = np.zeros((len(told), count), np.int64), np.full((len(told), count), -np.inf, np.float32)
    for place, row in enumerate(told):
        best = sorted((one for one in row.items() if one[0] not in barred), key=lambda one: -one[1])[:count]
        if best:
            ids[place, : len(best)], logprobs[place, : len(best)] = zip(*best, strict=True)
    return ids, logprobs

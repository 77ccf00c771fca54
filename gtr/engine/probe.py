"""Does a server hold the trainer's weights? It samples a few fixed prompts, and the trainer scores what it said.

Temperature 1 and fixed seeds: a low temperature would leave only tokens of probability 1, on which all models agree.
"""

from collections.abc import Sequence

import numpy as np
import torch

from gtr.engine.request import Requests, Sampled
from gtr.engine.server import Server
from gtr.errors import EngineError
from gtr.policy.policy import Policy
from gtr.types import Prompt

PROMPTS = 4
"""The first prompts of a run are what servers prove themselves on."""
TOKENS = 32
"""Of a probe's replies at most: each server is asked one after another."""
EXACT, ROUNDED = 0.001, 0.05
"""Tolerances in nats of a trainer that computes in float32, and in bfloat16."""
MOVED = 1e-3
"""Change of a token's log-probability in nats that no server can have missed."""
REMEDY = (
    "It must serve the same model with the same processor in the trainer's precision (--dtype), and be this run's "
    "alone (engine.tolerance is what may differ). A vLLM whose caches were not reset answers from before; one that "
    "serves LoRA on a vision tower ignores it: set engine.sync full"
)


class Probe:
    """Checks servers, each once after every `begin`. Not to be used by several threads at a time."""

    def __init__(self, policy: Policy, requests: Requests, tolerance: float | None) -> None:
        self._policy, self._requests = policy, requests
        self._tolerance = tolerance or (EXACT if policy.network.in_float32 else ROUNDED)
        self._prompts: list[Prompt] = []
        self._passed: set[str] = set()
        self._before: dict[str, tuple[list[Sampled], list[list[float]]]] = {}
        """By server, its last answers and the trainer's scores of them then."""
        self.worst = 0.0
        """Largest mean difference of a server since `begin`, in nats."""

    def show(self, prompts: Sequence[Prompt]) -> None:
        """Prompts to probe with, if there are none yet."""
        self._prompts = self._prompts or list(prompts[:PROMPTS])

    def begin(self) -> None:
        """The weights have changed: every server must prove itself anew."""
        self._passed, self.worst = set(), 0.0

    def check(self, server: Server) -> None:
        """Lets a server prove itself, if it has not since `begin`.

        Raises:
            EngineError: its log-probabilities are not the trainer's.
            Failure: it does not answer.
        """
        if server.address in self._passed or not self._prompts:
            return
        most = min(TOKENS, self._policy.config.max_new_tokens)
        questions = self._requests.questions(self._prompts, range(len(self._prompts)), 1.0, most)
        said = [self._requests.sampled(one, server) for one in questions]
        scored = self._scored(said)
        self._check_fresh(server, said, scored)
        pairs = [(np.array(one.logprobs), np.array(row)) for one, row in zip(said, scored, strict=True)]
        gap = float(np.mean(np.abs(np.concatenate([a - b for a, b in pairs]))))
        self.worst = max(self.worst, gap)
        if gap > self._tolerance:
            raise EngineError(
                f"{server.address} gives its tokens log-probabilities that are in the mean {gap:.3g} nats from the "
                f"trainer's, above the tolerance of {self._tolerance:g}: its weights are others. {REMEDY}"
            )
        self._passed.add(server.address)
        self._before[server.address] = said, scored

    def _scored(self, said: Sequence[Sampled]) -> list[list[float]]:
        self._policy.network.eval()
        with torch.no_grad():
            replies = [one.tokens for one in said]
            scores = self._policy.score(self._prompts, replies, temperatures=[1.0] * len(said))
        return [row[: len(one.tokens)] for row, one in zip(scores.logprobs.tolist(), said, strict=True)]

    def _check_fresh(self, server: Server, said: list[Sampled], scored: list[list[float]]) -> None:
        """Small steps stay below any tolerance; but who says the very same though the trainer moved has not moved."""
        before, scores = self._before.get(server.address, ([], []))
        moved = [abs(a - b) for old, now in zip(scores, scored, strict=False) for a, b in zip(old, now, strict=False)]
        if said == before and max(moved, default=0.0) > MOVED:
            raise EngineError(
                f"{server.address} answers to the last digit as before its weights were replaced, though the trainer's "
                f"log-probabilities have moved by up to {max(moved):.3g} nats: it still has the old ones. {REMEDY}"
            )

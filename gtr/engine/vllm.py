"""Replies from vLLM servers, which hold a copy of the trainer's weights; what they were is measured, not believed.

The trainer scores every reply itself: the old log-probabilities and the critic's values are its own, the engine's are
kept beside them (`Reply.sampled`) for the correction. At the start and after every `sync`, each server proves on a few
fixed prompts that it holds the weights of now.
"""

import shutil
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import final

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list

from gtr.config import EngineConfig
from gtr.engine.base import Engine
from gtr.engine.pool import Pool
from gtr.engine.probe import Probe
from gtr.engine.request import Question, Requests, Sampled
from gtr.engine.server import Failure, Server
from gtr.engine.weights import adapter_name, export
from gtr.errors import EngineError
from gtr.policy.policy import BATCH, Policy
from gtr.types import Prompt, Reply


@final
class VllmEngine(Engine):
    """Samples from one or several servers that `gtr serve-engine` started."""

    def __init__(self, config: EngineConfig, policy: Policy, folder: Path) -> None:
        """Looks for the servers; raises `EngineError` where none answers."""
        if policy.config.repetition_penalty != 1:
            raise EngineError("engine.name vllm samples without a penalty: set policy.repetition_penalty 1")
        self._config, self._policy, self._folder = config, policy, folder.resolve()
        self._processes = PartialState()
        servers = [Server(one, config.timeout, config.sync_timeout, config.in_flight) for one in config.servers]
        self._pool = Pool(servers, config.retries, config.patience)
        self._pool.restore = self._restore
        # It reads prompts and writes replies on whatever thread samples.
        self._requests = Requests(_beside(policy) if config.max_staleness else policy)
        self._probe = Probe(policy, self._requests, config.tolerance)
        self._threads = ThreadPoolExecutor(config.in_flight, "engine")
        self._version: int | None = None
        self._seconds = 0.0
        self._learning = False
        """Whether the trainer may be learning meanwhile, so that nothing can be scored."""
        self._look()

    def _look(self) -> None:
        for server in self._pool.servers:
            try:
                server.model = server.models()[0]
            except Failure as failure:
                self._pool.note(server, failure, fatal=True)
        if not self._pool.up():
            raise EngineError(
                f"none of engine.servers ({', '.join(self._config.servers)}) answers: start one with `gtr serve-engine`"
            )

    def generate(self, prompts: Sequence[Prompt], greedy: bool = False) -> list[Reply]:
        self._learning = False
        self._prove(prompts)
        return self.scored(prompts, self._replies(self._requests.drawn(prompts, greedy)))

    def sample(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Reply]:
        self._learning = True
        config = self._policy.config
        return self._replies(self._requests.questions(prompts, seeds, config.temperature, config.max_new_tokens))

    def _replies(self, questions: Sequence[Question]) -> list[Reply]:
        """Without the trainer's log-probabilities and values."""
        said = [self._requests.reply(one) for one in self._threads.map(self._ask, questions)]
        return [replace(one, logprobs=(), sampled=one.logprobs) for one in said]

    def _ask(self, asked: Question) -> Sampled:
        return self._pool.ask(partial(self._requests.sampled, asked))

    def scored(self, prompts: Sequence[Prompt], replies: Sequence[Reply]) -> list[Reply]:
        policy, found = self._policy, []
        policy.network.eval()
        for first in range(0, len(prompts), BATCH):
            part = replies[first : first + BATCH]
            with torch.no_grad():
                scores = policy.score(prompts[first : first + BATCH], [one.tokens for one in part])
            rows = zip(part, scores.logprobs.tolist(), scores.values.tolist(), strict=True)
            found += [replace(one, logprobs=tuple(row[: len(one.tokens)]), value=value) for one, row, value in rows]
        return found

    # -- weights --------------------------------------------------------------------------------------------------
    def sync(self, version: int) -> None:
        if version == self._version:
            return
        started = time.perf_counter()
        self._processes.wait_for_everyone()
        self._version = version
        target = self._weights()
        if self._processes.is_main_process:
            shutil.rmtree(target, ignore_errors=True)
            export(self._policy, target, self._config.sync == "adapter")
            list(self._threads.map(self._hand_over, self._pool.servers))
            for other in set(target.parent.glob("weights_*")) - {target}:
                shutil.rmtree(other)
        self._share()
        self._probe.begin()
        if self._config.max_staleness:
            self._prove(())  # Once the trainer learns, its weights are others.
        self._seconds += time.perf_counter() - started

    def _weights(self) -> Path:
        return self._folder / f"weights_{self._version:05d}"

    def _hand_over(self, server: Server) -> None:
        """Gives a server the weights of now, also one that was down and may be back."""
        try:
            self._load(server)
        except Failure as failure:
            self._pool.note(server, failure, fatal=True)
        else:
            server.up, server.failures = True, 0

    def _load(self, server: Server) -> None:
        if self._config.sync == "adapter":
            server.load_adapter(self._weights(), adapter_name(self._weights()))
        else:
            server.load(self._weights())

    def _share(self) -> None:
        """Tells the other processes which servers have the weights of now, and under which name."""
        states = [(server.up, server.model) for server in self._pool.servers]
        if self._processes.num_processes > 1:
            broadcast_object_list(states)
        for server, (up, model) in zip(self._pool.servers, states, strict=True):
            server.up, server.model = up, model

    def _restore(self, server: Server) -> None:
        if self._learning:
            raise EngineError("no server is left, and none can prove itself while the trainer learns")
        if self._version is not None:
            self._load(server)
        self._probe.check(server)

    def _prove(self, prompts: Sequence[Prompt]) -> None:
        """Has every server prove itself that has not since the last sync."""
        self._probe.show(prompts)
        for server in self._pool.up():
            try:
                self._probe.check(server)
            except Failure as failure:
                self._pool.note(server, failure, fatal=True)

    # -- the log --------------------------------------------------------------------------------------------------
    def metrics(self) -> Mapping[str, float]:
        failed, seconds = self._pool.failed, self._seconds
        self._pool.failed, self._seconds = 0, 0.0
        return {
            "engine/failed": float(failed),
            "engine/servers": float(len(self._pool.up())),
            "engine/probe": self._probe.worst,
            "seconds/sync": seconds,
        }

    def close(self) -> None:
        for server in self._pool.servers:
            server.close()
        self._threads.shutdown(wait=False, cancel_futures=True)


def _beside(policy: Policy) -> Policy:
    """The same network with a tokeniser of its own: the trainer's is not safe on several threads."""
    return Policy(policy.network, deepcopy(policy.processor), policy.config, policy.end_ids)

"""Rollouts that are sampled ahead, while the trainer learns from those before (`engine.max_staleness`).

    thread      play 1 .......... | play 2 ......... | play 3
    trainer     score 0, learn 0    score 1, learn 1   score 2, learn 2

The weights change hands only while no rollout is under way. What was sampled by older weights is scored by those of
now when its turn to be learnt from comes, so that the importance weights of `gtr.engine` make up for both:
another engine and older weights.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any

import numpy as np

from gtr.config import Config
from gtr.engine import Engine
from gtr.errors import EngineError
from gtr.rollout import Collector, Draft
from gtr.types import Prompt, Reply, Rollout

SAMPLING = 3
"""Random numbers of their own: the trainer draws from torch's meanwhile."""
Everyone = Callable[[Sequence[bool]], Sequence[bool]]
"""A word of this process to those of all processes."""
Played = tuple[int, Draft, dict[str, Any]]
"""Number of the weights that a rollout was sampled by, the rollout, and where its environments stood at its end."""
log = logging.getLogger(__name__)


class Rollouts:
    """The rollouts of a run one after another, as many of them ahead as the settings let."""

    def __init__(self, collector: Collector, engine: Engine, config: Config, rank: int, everyone: Everyone) -> None:
        self._collector, self._engine, self._config = collector, engine, config
        self._rank, self._everyone = rank, everyone
        self._bound = config.engine.max_staleness
        self._thread: Thread | None = None
        self._played: SimpleQueue[Played | Exception] = SimpleQueue()
        self._ahead = 0
        """Rollouts that were begun and not taken."""
        self._next: dict[str, Any] | None = None
        """Where the environments stand at the beginning of the first rollout that was not taken."""
        self._metrics: dict[str, float] = {}

    def take(self, update: int) -> Rollout:
        """The rollout to learn from in an update; others are begun, which are sampled meanwhile.

        All processes must call it together. Raises `EngineError` where no replies can be had.
        """
        if not self._bound:
            self._engine.sync(update)
            return self._collector.collect()
        started = time.perf_counter()
        version, draft = self._taken(update)
        self._metrics["seconds/wait"] = time.perf_counter() - started
        if not self._ahead:
            self._engine.sync(update)
            if draft is None:
                version, draft = update, self._collector.play(self._engine.generate)
                self._next = self._collector.state()
            self._begin(update)
        assert draft is not None
        self._metrics["engine/staleness"] = float(update - version)
        return self._collector.finish(draft)

    def _taken(self, update: int) -> tuple[int, Draft | None]:
        """What was sampled ahead for this update; nothing at the start, or where it could not be."""
        found = self._played.get() if self._ahead else None
        self._ahead -= found is not None
        if isinstance(found, Exception) and not isinstance(found, EngineError):
            raise found
        failed = isinstance(found, EngineError)
        if failed:
            log.warning("%s: the rollout of update %d is sampled anew", found, update + 1)
        if isinstance(found, tuple):
            self._next = found[2]
        if any(self._everyone([failed])):
            self._drop()
        return (found[0], found[1]) if isinstance(found, tuple) else (update, None)

    def _drop(self) -> None:
        """Forgets what was sampled ahead: all processes take new weights together."""
        self.settle()
        self._played, self._ahead = SimpleQueue(), 0
        assert self._next is not None
        self._collector.restore(self._next)

    def _begin(self, update: int) -> None:
        """Begins as many rollouts as may be sampled by the weights of this update."""
        last = min(update + self._bound, self._config.train.updates - 1)
        updates = range(update + 1, last + 1)
        self._ahead = len(updates)
        self._thread = Thread(target=self._play, args=(update, updates), name="rollouts", daemon=True)
        self._thread.start()

    def _play(self, version: int, updates: Sequence[int]) -> None:
        for update in updates:
            rng = np.random.default_rng([self._config.seed, self._rank, update, SAMPLING])
            try:
                draft = self._collector.play(partial(self._answer, rng))
                self._played.put((version, draft, self._collector.state()))
            except Exception as error:
                self._played.put(error)
                return

    def _answer(self, rng: np.random.Generator, prompts: Sequence[Prompt]) -> list[Reply]:
        return self._engine.sample(prompts, rng.integers(2**31, size=len(prompts)).tolist())

    def settle(self) -> None:
        """Waits until nothing is being sampled, so that others may use the engine."""
        if self._thread is not None:
            self._thread.join()

    def state(self) -> dict[str, Any]:
        """Where the environments stand between what was learnt from and what was not, as JSON values."""
        return self._collector.state() if self._next is None else self._next

    def metrics(self) -> Mapping[str, float]:
        """What the log says of the latest rollout."""
        return self._metrics

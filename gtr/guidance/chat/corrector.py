"""The corrector that is a model. It keeps one plan per episode (paper section 3.2).

A turn waits for nothing but the plan of its episode: as soon as one verdict has chosen it, all later turns of the
episode are asked about at the same time. So neither order nor timing of answers changes what is asked.
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, final

from gtr.config import Config
from gtr.guidance.chat.guide import ModelGuide, Work
from gtr.guidance.chat.questions import Corrections
from gtr.guidance.corrector import Case
from gtr.tasks.task import Task
from gtr.types import Judgement, Verdict

UNPLANNED = ""
"""Promised where later turns need not wait for a plan: the game has none, or nothing can help any more."""
Promise = asyncio.Future[str | None]
"""The plan that an episode follows from some turn on, once it is known; None while none was chosen."""


@final
class ModelCorrector(ModelGuide):
    """Judges and rewrites thoughts by asking a model."""

    def __init__(self, config: Config, task: Task, folder: Path | None = None, rank: int = 0, ranks: int = 1) -> None:
        self._plans = bool(task.corrector_spec().plan)
        self._corrections = Corrections(task, config.corrector)
        self._chains: dict[int, tuple[int, Promise]] = {}
        """By environment: the episode and its plan."""
        super().__init__(config, task, folder, rank, ranks)

    def state(self) -> Mapping[str, object]:
        """The plans of open episodes. Money and verdicts need no checkpoint: their files are always up to date."""
        return self._call(self._promised())

    async def _promised(self) -> dict[str, object]:
        return {str(env): [episode, await promise] for env, (episode, promise) in self._chains.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._call(self._restore(state))

    async def _restore(self, state: Mapping[str, Any]) -> None:
        for env, (episode, target) in state.items():
            promise = self._promise()
            promise.set_result(target)
            self._chains[int(env)] = episode, promise

    def _promise(self) -> Promise:
        return self._loop.create_future()

    def _begun(self, cases: Sequence[Case]) -> Sequence[Work]:
        return [self._linked(case) for case in cases]

    def _linked(self, case: Case) -> Work:
        """A case behind the one before it in its episode."""
        episode, before = self._chains.get(case.env, (-1, None))
        plan = self._promise()
        if not self._plans:
            plan.set_result(UNPLANNED)
        self._chains[case.env] = case.episode, plan
        return self._judge(case, before if episode == case.episode else None, plan)

    async def _judge(self, case: Case, before: Promise | None, plan: Promise) -> Verdict:
        kept = await before if before is not None else None
        if kept == UNPLANNED or (kept and self._task.fits(case.observation, kept)):
            _keep(plan, kept)
        else:
            kept = None
        try:
            verdict = await self._desk.verdict(case, self._corrections.question(case, kept or None))
            _keep(plan, UNPLANNED if verdict.judgement is Judgement.UNSOLVABLE else verdict.target)
            return verdict
        finally:
            _keep(plan, None)


def _keep(plan: Promise, target: str | None) -> None:
    """Keeps a promise, if it was not kept before."""
    if not plan.done():
        plan.set_result(target)

"""A corrector that is asked about a share of the turns only."""

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from itertools import compress
from typing import Any, final

from gtr.guidance.corrector import Case, Corrector, ask
from gtr.types import Judgement, Verdict


def asks(share: float, seed: int, rank: int, case: Case) -> bool:
    """Whether a turn is among the share that is asked about: drawn by its place, so the same after a resume."""
    name = repr((seed, rank, case.env, case.episode, case.index))
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6]) / 2**48 < share


@final
class SharedCorrector(Corrector):
    """Asks another corrector about a share of the turns; the others are SKIPPED."""

    def __init__(self, corrector: Corrector, share: float, seed: int, rank: int) -> None:
        self._corrector, self._share, self._seed, self._rank = corrector, share, seed, rank

    def judge(self, cases: Sequence[Case]) -> list["Future[Verdict]"]:
        asked = [asks(self._share, self._seed, self._rank, case) for case in cases]
        answers = iter(ask(self._corrector, list(compress(cases, asked))))
        return [next(answers) if chosen else _skipped() for chosen in asked]

    def __str__(self) -> str:
        return str(self._corrector)

    def metrics(self) -> Mapping[str, float]:
        return self._corrector.metrics()

    def state(self) -> Mapping[str, object]:
        return self._corrector.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        self._corrector.restore(state)

    def close(self) -> None:
        self._corrector.close()


def _skipped() -> "Future[Verdict]":
    future: Future[Verdict] = Future()
    future.set_result(Verdict(Judgement.SKIPPED))
    return future

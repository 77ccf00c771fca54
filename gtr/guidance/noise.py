"""A noisy oracle: exact verdicts made wrong at known rates, so that weak correctors can be studied without a model."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from gtr.config import NoiseConfig
from gtr.errors import CorrectorError
from gtr.guidance.corrector import Case
from gtr.guidance.mistakes import QUESTION, ErrorKind, expert_states, mistaken, possible
from gtr.policy.pictures import image_hash
from gtr.tasks.expert import ExpertState
from gtr.tasks.task import Task
from gtr.types import Expert, Judgement, ReplyStatus, Verdict

NOISE_SEED = 20_250_310
"""Added to the run's seed: mistakes repeat nothing that a run draws."""
OTHERS = 64
"""States that wrong thoughts are borrowed from."""
WEIGHTS = {ErrorKind.MISREAD: "misread", ErrorKind.PLAN: "plan", ErrorKind.STEP: "step"}


class Noise:
    """The mistakes of `NoiseConfig`: the same for the same seed and prompt, whenever it is asked.

    Where no other state lends a thought that is wrong in the way drawn, and in no other, there is no mistake.

    Raises:
        CorrectorError: the settings ask for wrong corrections, but for none of a kind that the task's thoughts can be.
    """

    def __init__(self, config: NoiseConfig, task: Task, seed: int) -> None:
        self._config, self._task, self._seed = config, task, seed
        self._others: list[ExpertState] = []
        self._shares: dict[ErrorKind, float] = {}
        if config.spoil or config.wrong:
            self._others = list(expert_states(task, np.random.default_rng([NOISE_SEED, seed]), OTHERS))
            self._shares = self._kinds()

    def _kinds(self) -> dict[ErrorKind, float]:
        """How often a wrong correction is of each kind."""
        kinds = possible(self._task, self._others[0]) if self._others else ()
        parts = {kind: float(getattr(self._config, WEIGHTS[kind])) for kind in kinds}
        total = sum(parts.values())
        if not total:
            known = ", ".join(f"noise.{WEIGHTS[kind]}" for kind in kinds)
            raise CorrectorError(
                f"noise.spoil {self._config.spoil:g} and noise.wrong {self._config.wrong:g} ask for wrong corrections: "
                + (f"set one of {known} above 0" if known else f"task '{self._task.name}' has no check to fail")
            )
        return {kind: part / total for kind, part in parts.items()}

    def verdict(self, case: Case, exact: Verdict, kept: str | None) -> Verdict:
        """The oracle's verdict, wrong where this state's draw says so; `kept` is the target before it."""
        rng = self._drawn(case)
        judged, kind, action = rng.random(3)
        if exact.judgement is Judgement.CORRECT:
            return self._wrong(case, exact, rng) if judged < self._config.spoil else exact
        if judged < self._config.miss and case.parsed.status is ReplyStatus.COMPLETE:
            return Verdict(Judgement.CORRECT, answers=dict.fromkeys(exact.answers, True), target=kept)
        if exact.judgement is not Judgement.INCORRECT:
            return exact
        if kind < self._config.wrong:
            return self._wrong(case, exact, rng)
        return self._misplayed(case, exact, rng) if action < self._config.wrong_action else exact

    def score(self, case: Case, exact: Verdict) -> Verdict:
        """A judge's score: worthless for a right thought that is spoilt, perfect for a wrong one that is missed."""
        if exact.score is None or case.parsed.status is not ReplyStatus.COMPLETE:
            return exact
        (judged,) = self._drawn(case).random(1)
        right = exact.score == 1
        return replace(exact, score=float(not right)) if judged < self._share(right) else exact

    def _share(self, right: bool) -> float:
        return self._config.spoil if right else self._config.miss

    def _drawn(self, case: Case) -> np.random.Generator:
        key = f"{image_hash(case.prompt.image)} {case.prompt.text}".encode()
        return np.random.default_rng([NOISE_SEED, self._seed, *key])

    def _wrong(self, case: Case, exact: Verdict, rng: np.random.Generator) -> Verdict:
        """A wrong correction, with the action that it announces."""
        expert = self._task.expert(case.truth, exact.target)
        if expert is None:
            return exact
        kind = list(self._shares)[int(rng.choice(len(self._shares), p=list(self._shares.values())))]
        state = ExpertState(case.observation, case.truth, expert)
        tries = (mistaken(self._task, kind, state, self._others[i], rng) for i in rng.permutation(len(self._others)))
        thought = next((one for one in tries if one is not None), None)
        if thought is None:
            return exact
        answers = {**exact.answers, QUESTION[kind]: False} if exact.answers else {}
        return Verdict(Judgement.INCORRECT, thought, self._announced(case, thought, expert), answers, exact.target)

    def _announced(self, case: Case, thought: Mapping[str, Any], expert: Expert) -> str:
        return self._task.announced_action(thought, case.observation) or expert.action

    def _misplayed(self, case: Case, exact: Verdict, rng: np.random.Generator) -> Verdict:
        """The right correction beside another action."""
        right = exact.action or ""
        others = [one for one in self._task.actions(case.observation) if not self._task.same_action(one, right)]
        return replace(exact, action=str(rng.choice(others))) if others else exact

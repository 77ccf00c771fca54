"""The oracle corrector: the task's own expert judges every thought. Exact, free, and without a network."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any, final

from gtr.guidance.corrector import Case, Corrector
from gtr.guidance.noise import Noise
from gtr.tasks.task import Task
from gtr.types import Judgement, ReplyStatus, Verdict


@final
class OracleCorrector(Corrector):
    """Judges by `Task.check` and rewrites by `Task.expert`, keeping one target per episode (paper section 3.2).

    A thought whose own plan works is right, whatever plan the expert would have chosen, and the plan becomes the
    episode's target. `forget_target` reproduces a slip of the reference code: after an environment's first episode
    a first thought judged right leaves the episode without a target. `noise` makes verdicts wrong on purpose.
    """

    def __init__(self, task: Task, forget_target: bool = False, noise: Noise | None = None) -> None:
        self._task = task
        self._forget = forget_target
        self._noise = noise
        self._targets: dict[int, tuple[int, str | None]] = {}
        """By environment: the episode and its target."""

    def judge(self, cases: Sequence[Case]) -> list["Future[Verdict]"]:
        futures: list[Future[Verdict]] = []
        for case in cases:
            future: Future[Verdict] = Future()
            future.set_result(self._judge(case))
            futures.append(future)
        return futures

    def _judge(self, case: Case) -> Verdict:
        episode, target = self._targets.get(case.env, (-1, None))
        target = target if episode == case.episode else None
        verdict = self._verdict(case, target)
        if self._noise is not None:
            verdict = self._noise.verdict(case, verdict, target)
        self._targets[case.env] = (case.episode, verdict.target)
        return verdict

    def _verdict(self, case: Case, target: str | None) -> Verdict:
        complete = case.parsed.status is ReplyStatus.COMPLETE
        stated = self._task.stated_plan(case.truth, case.parsed) if complete else None
        answers = self._task.check(case.truth, case.parsed, target) if complete else {}
        if answers and all(answers.values()):
            return self._right(case, answers, stated or target)
        expert = self._task.expert(case.truth, stated or target)
        if expert is None:
            return Verdict(Judgement.UNSOLVABLE, answers=answers, target=target, stop=True)
        return Verdict(Judgement.INCORRECT, expert.thought, expert.action, answers, expert.target)

    def _right(self, case: Case, answers: Mapping[str, bool], target: str | None) -> Verdict:
        if self._forget and case.episode > 0 and case.index == 0:
            return Verdict(Judgement.CORRECT, answers=answers, stop=True)
        return Verdict(Judgement.CORRECT, answers=answers, target=target)

    def state(self) -> Mapping[str, object]:
        return {str(env): list(value) for env, value in self._targets.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._targets = {int(env): (episode, target) for env, (episode, target) in state.items()}

"""A corrector of one's own for NumberLine: does the move follow from the numbers? Train with it by its path:

    gtr train gtr --task numberline --guidance.corrector examples/own_corrector.py:OwnCorrector
    python examples/own_corrector.py      # how good is it?

It is built with the run's settings and the task, sees cases and returns one future per case; what it knows and how
slowly it answers is its own affair.
"""

from concurrent.futures import ThreadPoolExecutor

from gtr import preset, tasks
from gtr.errors import CorrectorError
from gtr.guidance.benchmark import benchmark, benchmark_cases
from gtr.guidance.corrector import Case, Corrector
from gtr.types import Judgement, ReplyStatus, Verdict


class OwnCorrector(Corrector):
    """It does not look at the picture, so it catches wrong moves and lets misread numbers pass."""

    def __init__(self, config, task):
        if task.name != "numberline":
            raise CorrectorError(f"OwnCorrector judges numberline alone, not {task.name}: give --task numberline")
        self._pool = ThreadPoolExecutor(4)

    def judge(self, cases):
        return [self._pool.submit(self._one, case) for case in cases]

    def _one(self, case: Case) -> Verdict:
        if case.parsed.status is not ReplyStatus.COMPLETE:
            return Verdict(Judgement.ABSENT)
        goal, current, said = (case.parsed.fields[key] for key in ("target", "current", "thoughts"))
        right = f"so the next action is {'+' if goal > current else '-'}"
        if right in said:
            return Verdict(Judgement.CORRECT)
        return Verdict(Judgement.INCORRECT, {"target": goal, "current": current, "thoughts": right})


if __name__ == "__main__":
    settings = preset("gtr", "numberline", "7b")
    game = tasks.load(settings.task)
    for score in benchmark(OwnCorrector(settings, game), game, benchmark_cases(game, 20, seed=0)):
        print(f"{score.kind:12} found {score.found.estimate:.2f}, fixed or unspoilt {score.fixed.estimate:.2f}")

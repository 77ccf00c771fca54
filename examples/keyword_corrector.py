"""A corrector of one's own: sends back thoughts that announce no action. Run: python examples/keyword_corrector.py

A corrector sees cases and returns one future per case; what it knows and how slowly it answers is its own affair.
"""

from concurrent.futures import ThreadPoolExecutor

from gtr import tasks
from gtr.config import TaskConfig
from gtr.guidance.corrector import Case, Corrector
from gtr.guidance.trial import samples, trial
from gtr.types import Judgement, Verdict


class KeywordCorrector(Corrector):
    """Wrong is what does not say "next"; the rewriting adds the words that are missing."""

    def __init__(self):
        self._pool = ThreadPoolExecutor(4)

    def judge(self, cases):
        return [self._pool.submit(self._one, case) for case in cases]

    def _one(self, case: Case) -> Verdict:
        fields = dict(case.parsed.fields)
        if "next" in str(fields.get("thoughts")):
            return Verdict(Judgement.RIGHT)
        fields.pop("action", None)
        return Verdict(Judgement.WRONG, {**fields, "thoughts": f"{fields.get('thoughts')}, so the next action is +"})

    def close(self):
        self._pool.shutdown()


if __name__ == "__main__":
    game = tasks.load(TaskConfig("numberline"))
    for score in trial(KeywordCorrector(), game, samples(game, 20, seed=0)):
        print(f"{score.fault:12} found {score.found.estimate:.2f}, mended or unspoilt {score.mended.estimate:.2f}")

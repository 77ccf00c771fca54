"""Guidance: who judges thoughts, and what is learnt from the verdicts."""

from gtr.config import GuidanceConfig
from gtr.guidance.corrector import Corrector
from gtr.guidance.oracle import OracleCorrector
from gtr.tasks.task import Task


def make_corrector(config: GuidanceConfig, task: Task) -> Corrector | None:
    """The corrector that the settings name; None is plain RL."""
    if config.corrector == "none":
        return None
    return OracleCorrector(task, config.forget_target)

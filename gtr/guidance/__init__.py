"""Guidance: who judges thoughts, and what is learnt from the verdicts."""

from pathlib import Path

from gtr.config import Config
from gtr.errors import CorrectorError
from gtr.guidance.corrector import Corrector
from gtr.guidance.oracle import OracleCorrector
from gtr.tasks.task import Task

EXTRA = ("openai", "pydantic", "tenacity")
"""What `gtr[chat]` brings."""


def make_corrector(
    config: Config, task: Task, folder: Path | None = None, rank: int = 0, ranks: int = 1
) -> Corrector | None:
    """The corrector that the settings name; None is plain RL. `folder` is the run's, for ledger and verdicts.

    Raises:
        CorrectorError: its libraries are not installed, or what it should replay does not exist.
    """
    if config.guidance.corrector == "none":
        return None
    if config.guidance.corrector == "oracle":
        return OracleCorrector(task, config.guidance.forget_target)
    try:
        from gtr.guidance.chat.corrector import ChatCorrector
    except ModuleNotFoundError as error:
        if error.name not in EXTRA:
            raise
        raise CorrectorError(
            f"guidance.corrector chat needs {error.name}, which is not installed: pip install 'gtr[chat]'"
        ) from None
    return ChatCorrector(config, task, folder, rank, ranks)

"""Guidance: who judges thoughts, and what is learnt from the verdicts."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gtr.config import Config
from gtr.errors import CorrectorError
from gtr.guidance.corrector import Corrector
from gtr.guidance.judge import OracleJudge
from gtr.guidance.oracle import OracleCorrector
from gtr.tasks.task import Task

EXTRA = ("openai", "pydantic", "tenacity")
"""What `gtr[chat]` brings."""


@contextmanager
def needs_chat(what: str) -> Iterator[None]:
    """Around an import of `gtr.guidance.chat`: says how to install what is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in EXTRA:
            raise
        raise CorrectorError(f"{what} needs {error.name}, which is not installed: pip install 'gtr[chat]'") from None


def make_corrector(
    config: Config, task: Task, folder: Path | None = None, rank: int = 0, ranks: int = 1
) -> Corrector | None:
    """The corrector that the settings name; None is plain RL. `folder` is the run's, for ledger and verdicts.

    Raises:
        CorrectorError: its libraries are not installed, or what it should replay does not exist.
    """
    guidance = config.guidance
    if guidance.corrector == "none":
        return None
    if guidance.corrector == "oracle":
        if guidance.judge != "off":
            return OracleJudge(task, guidance.judge == "compare")
        return OracleCorrector(task, guidance.forget_target)
    with needs_chat(f"guidance.corrector {guidance.corrector}"):
        from gtr.guidance.chat.correctors import ModelCorrector, ModelJudge
    kind = ModelCorrector if guidance.judge == "off" else ModelJudge
    return kind(config, task, folder, rank, ranks)

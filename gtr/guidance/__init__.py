"""Guidance: who judges thoughts, and what is learnt from the verdicts."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gtr.config import Config, CorrectorConfig
from gtr.config.section import is_path
from gtr.errors import CorrectorError, to_install
from gtr.guidance.corrector import Corrector
from gtr.guidance.judge import OracleJudge
from gtr.guidance.noise import Noise
from gtr.guidance.oracle import OracleCorrector
from gtr.guidance.sharing import SharedCorrector
from gtr.imports import built, load_class
from gtr.policy.models import check_model
from gtr.tasks.task import Task

ORACLES = ("oracle", "noisy")
"""Correctors that are the task's own expert."""
EXTRA = ("openai", "pydantic", "tenacity")
"""What `guided-thought[chat]` brings."""


@contextmanager
def needs_chat(what: str) -> Iterator[None]:
    """Around an import of `gtr.guidance.chat`: says how to install what is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in EXTRA:
            raise
        raise CorrectorError(f"{what} needs {error.name}, which is not installed: {to_install('chat')}") from None


def corrector_class(path: str) -> type[Corrector]:
    """A user's own corrector by its import path; its code is run. CorrectorError where there is no such class."""
    return load_class(path, Corrector, "corrector", CorrectorError)  # type: ignore[type-abstract]


def ready(config: Config) -> None:
    """Finds out before anything rests on it whether the model that the settings name as corrector can answer.

    Raises:
        CorrectorError: an API that does not answer, and is not to be waited for or done without; no such model.
    """
    asked = config.corrector
    if config.guidance.corrector == "local":
        check_model(asked.model, "corrector.model", CorrectorError)
    elif config.guidance.corrector == "chat" and asked.replay is None and asked.when_down == "stop":
        api_ready(asked)


def api_ready(config: CorrectorConfig, what: str = "guidance.corrector chat") -> None:
    """Asks an API one short question; raises `CorrectorError` where no answer comes, or its library is missing."""
    with needs_chat(what):
        from gtr.guidance.chat.client import ready as ask
    ask(config)


def make_corrector(
    config: Config, task: Task, folder: Path | None = None, rank: int = 0, ranks: int = 1
) -> Corrector | None:
    """The corrector that the settings name; None is plain RL. `folder` is the run's, for ledger and verdicts.

    A class of the user's own is built with the config and the task.

    Raises:
        CorrectorError: its libraries are not installed, what it should replay does not exist, or a class of the user's
            own cannot be imported.
        ContractError: it cannot be built.
    """
    guidance, share = config.guidance, config.corrector.ask_share
    if guidance.corrector == "none":
        return None
    if guidance.corrector in ORACLES or is_path(guidance.corrector):
        here = _oracle(config, task) if guidance.corrector in ORACLES else _own(guidance.corrector, config, task)
        return SharedCorrector(here, share, config.seed, rank) if share < 1 else here
    with needs_chat(f"guidance.corrector {guidance.corrector}"):
        from gtr.guidance.chat.correctors import ModelCorrector, ModelJudge
    kind = ModelCorrector if guidance.judge == "off" else ModelJudge
    return kind(config, task, folder, rank, ranks)


def _oracle(config: Config, task: Task) -> Corrector:
    guidance = config.guidance
    noise = Noise(config.noise, task, config.seed) if guidance.corrector == "noisy" else None
    if guidance.judge != "off":
        return OracleJudge(task, guidance.judge == "compare", noise)
    return OracleCorrector(task, guidance.forget_target, noise)


def _own(path: str, config: Config, task: Task) -> Corrector:
    return built(path, corrector_class(path), "(config, task)", config, task)

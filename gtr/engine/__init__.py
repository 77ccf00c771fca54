"""Who samples replies for the trainer: its own model, or servers that hold a copy of its weights."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from gtr.config import EngineConfig
from gtr.engine.base import Engine
from gtr.engine.local import LocalEngine
from gtr.errors import EngineError, to_install

if TYPE_CHECKING:
    from gtr.engine.teacher import ServedTeacher
    from gtr.policy.policy import Policy

EXTRA = ("httpx", "tenacity")
"""What `guided-thought[vllm]` brings."""


def make_engine(config: EngineConfig, policy: "Policy", folder: Path) -> Engine:
    """The engine that the settings name.

    Args:
        folder: where weights for servers are left, unless `engine.exchange` names another.

    Raises:
        EngineError: its libraries are not installed, or a server cannot be reached.
    """
    if config.name == "local":
        return LocalEngine(policy)
    with _needs_vllm("engine.name vllm"):
        from gtr.engine.vllm import VllmEngine
    return VllmEngine(config, policy, Path(config.exchange) if config.exchange else folder)


def served_teacher(address: str, agent: "Policy", config: EngineConfig) -> "ServedTeacher":
    """The teacher that a server at an address serves; its patience is the engine's.

    Raises:
        EngineError: its libraries are not installed, it cannot be reached, or it reads otherwise than the agent.
    """
    with _needs_vllm(f"algo.teacher {address}"):
        from gtr.engine.teacher import ServedTeacher
    return ServedTeacher(address, agent, config)


@contextmanager
def _needs_vllm(what: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in EXTRA:
            raise
        raise EngineError(f"{what} needs {error.name}, which is not installed: {to_install('vllm')}") from None


__all__ = ["Engine", "LocalEngine", "make_engine", "served_teacher"]

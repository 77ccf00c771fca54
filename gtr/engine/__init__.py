"""Who samples replies for the trainer: its own model, or servers that hold a copy of its weights."""

from pathlib import Path
from typing import TYPE_CHECKING

from gtr.config import EngineConfig
from gtr.engine.base import Engine
from gtr.engine.local import LocalEngine
from gtr.errors import EngineError, to_install

if TYPE_CHECKING:
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
    try:
        from gtr.engine.vllm import VllmEngine
    except ModuleNotFoundError as error:
        if error.name not in EXTRA:
            raise
        raise EngineError(
            f"engine.name vllm needs {error.name}, which is not installed: {to_install('vllm')}"
        ) from None
    return VllmEngine(config, policy, Path(config.exchange) if config.exchange else folder)


__all__ = ["Engine", "LocalEngine", "make_engine"]

"""What an algorithm is: a rollout turned into rows of per-token weights, which a learner that knows no method executes.

An algorithm of your own is a file with one class; `--algo file.py:Class` trains it. Most are a `PPO` with other
advantages (see `gtr.algo.grpo`). Files of this package import no torch.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from gtr.algo.cloning import ThoughtCloning
from gtr.config import AlgoConfig, Config
from gtr.guidance import make_corrector
from gtr.guidance.corrector import Corrector
from gtr.tasks.task import Task
from gtr.types import Rollout, RolloutSpec, Sample

if TYPE_CHECKING:
    from torch import Tensor

    from gtr.policy.policy import Policy
    from gtr.policy.reference import ReferencePolicy

Everyone = Callable[[Sequence[float]], Sequence[float]]
"""Numbers of this process to those of all processes, in the order of the processes."""


@dataclass(frozen=True)
class Term:
    """One loss as an algorithm asks for it."""

    weight: float
    """How much it counts in the sum of all losses; with 0 it is measured and teaches nothing."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of the loss's function (see `gtr.losses.LOSSES`)."""


class Algorithm(ABC):
    """Credit assignment and guidance of one method. Stateful: it lives as long as its run."""

    Settings: ClassVar[type[AlgoConfig]] = AlgoConfig
    """The flags --algo.*: a frozen dataclass whose field docstrings are the help."""
    guided = False
    """Whether its preset comes with a corrector; any algorithm may be given one by guidance.corrector."""

    def __init__(
        self,
        config: Config,
        task: Task,
        policy: "Policy",
        everyone: Everyone = list,
        reference: "ReferencePolicy | None" = None,
    ) -> None:
        self.config, self.task, self.policy, self.everyone, self.reference = config, task, policy, everyone, reference
        self.settings: AlgoConfig = config.algo
        self.cloning = ThoughtCloning(config.guidance, task, policy)
        self.update = 0
        """Number of the update at hand, from 0."""

    def corrector(self, folder: Path, rank: int, ranks: int) -> Corrector | None:
        """Who judges the thoughts of the rollout; by default whom `guidance.corrector` names. None is plain RL."""
        return make_corrector(self.config, self.task, folder, rank, ranks)

    @property
    def rollout(self) -> RolloutSpec:
        """What it needs of a rollout: pieces of a fixed length, or whole episodes in groups of one start state."""
        return RolloutSpec()

    @property
    def needs_reference(self) -> bool:
        """Whether `reference` must be there: the agent as it was at the start."""
        return False

    @property
    def value_gradient(self) -> bool:
        """Whether the critic's loss also shapes the model below its head, or stops at the head."""
        return True

    @abstractmethod
    def samples(self, rollout: Rollout, update: int) -> list[Sample]:
        """What is learnt from in every epoch of an update."""

    @abstractmethod
    def losses(self) -> Mapping[str, Term]:
        """The losses of this update, by their name in `gtr.losses.LOSSES`, in the order in which they are summed."""

    def beside(self, count: int, rng: np.random.Generator) -> Sequence[Sample]:
        """At most `count` samples that are learnt from beside one optimiser step: by default corrected thoughts."""
        return self.cloning.draw(count, rng, self.update)

    def updated(self, update: int) -> None:
        """Called when the weights have changed, with the number of updates done: where a teacher follows the agent."""

    def metrics(self) -> Mapping[str, float]:
        """What the log says of the algorithm itself."""
        return {"update/lessons": float(len(self.cloning.buffer))}

    def state(self) -> Mapping[str, Any]:
        """What a checkpoint must hold besides the thought buffer, as JSON values."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Takes back what `state` gave."""

    def tensors(self) -> "Mapping[str, Tensor]":
        """What it must hold besides, as tensors by name."""
        return {}

    def restore_tensors(self, tensors: "Mapping[str, Tensor]") -> None:
        """Takes back what `tensors` gave, after `restore`."""

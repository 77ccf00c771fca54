"""RLOO (arXiv 2402.14740): an episode's return less the mean return of the others of its start state."""

from dataclasses import dataclass

from gtr.algo.credit import Baseline, Scale
from gtr.algo.grpo import GRPO, GRPOSettings


@dataclass(frozen=True)
class RLOOSettings(GRPOSettings):
    """RLOO's."""

    baseline: Baseline = "leave_one_out"
    """What is subtracted."""
    scale: Scale = "none"
    """What is divided by."""


class RLOO(GRPO):
    """Leave-one-out advantages of whole episodes."""

    Settings = RLOOSettings

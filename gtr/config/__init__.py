"""Every setting of a run, one frozen dataclass per section. Field docstrings are the ``--help``.

Importing this package imports neither torch nor transformers. "paper" means arXiv 2503.08525; "code" its public code.
"""

from dataclasses import dataclass, field

from gtr.config.algo import AlgoConfig
from gtr.config.engine import EngineConfig
from gtr.config.guidance import CorrectorConfig, GuidanceConfig, NoiseConfig
from gtr.config.policy import PolicyConfig, SftConfig
from gtr.config.section import Section, Seed, Text
from gtr.config.task import TaskConfig
from gtr.config.training import ReportConfig, TrainConfig

__all__ = (
    "AlgoConfig", "Config", "CorrectorConfig", "EngineConfig", "GuidanceConfig", "NoiseConfig", "PolicyConfig",
    "ReportConfig",
    "SftConfig", "TaskConfig", "TrainConfig",
)  # fmt: skip


@dataclass(frozen=True)
class Config(Section):
    """One run."""

    preset: Text = "gtr"
    """The method this started from (kept for tables; changing it changes nothing else)."""
    seed: Seed = 1
    """Seed of the run: environments, sampling and minibatches (code: 1)."""
    runs: Text = "runs"
    """Folder that holds run folders."""
    name: Text | None = None
    """Name of the run folder; by default preset-task-seed, numbered on when taken."""
    task: TaskConfig = field(default_factory=TaskConfig)
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    sft: SftConfig = field(default_factory=SftConfig)
    guidance: GuidanceConfig = field(default_factory=GuidanceConfig)
    noise: NoiseConfig = field(default_factory=NoiseConfig)
    corrector: CorrectorConfig = field(default_factory=CorrectorConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    algo: AlgoConfig = field(default_factory=AlgoConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    report: ReportConfig = field(default_factory=ReportConfig)

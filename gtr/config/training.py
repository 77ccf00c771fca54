"""Settings of the loop, and of what is written down."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Le, Lt

from gtr.config.section import BelowOne, Section, Seed, Text


@dataclass(frozen=True)
class TrainConfig(Section):
    """The loop: how much is collected and how it is learnt."""

    updates: Annotated[int, Ge(1), Le(10_000_000)] = 15
    """Number of rollouts, each followed by one update."""
    envs: Annotated[int, Ge(1), Le(65_536)] = 32
    """Environments stepped together in each process."""
    turns: Annotated[int, Ge(1), Le(1_000_000)] = 32
    """Turns that each environment plays per update."""
    recovery: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Share of episodes that begin where one of the latest failures lies: before the action that lost an episode, or
    where a corrector stopped one (as LaMOuR recovers from states off the course). The panel's never do."""
    epochs: Annotated[int, Ge(1), Le(10_000)] = 4
    """Passes over the rollout per update (code: 4)."""
    minibatch: Annotated[int, Ge(1), Le(1_000_000)] = 32
    """Turns per forward pass."""
    accumulation: Annotated[int, Ge(1), Le(1_000_000)] = 1
    """Forward passes per optimiser step; 8 of 1 equal 1 of 8."""
    lr: Annotated[float, Ge(1e-12), Le(10)] = 1e-5
    """Learning rate at the first update (code: 1e-5)."""
    lr_final: Annotated[float, Ge(0), Le(10)] = 1e-9
    """Learning rate at the last update, cosine in between (code)."""
    lr_updates: Annotated[int, Ge(1), Le(10_000_000)] | None = None
    """Updates after which the cosine arrives at `lr_final` and turns back, whatever the run's length (code: 25); None
    arrives at the last update."""
    value_lr: Annotated[float, Ge(1e-12), Le(10)] | None = None
    """Learning rate of the value head at the first update, falling alike; None takes `lr`."""
    adam_eps: Annotated[float, Ge(1e-30), Le(1)] = 1e-7
    """Adam's epsilon (code: 1e-7)."""
    adam_betas: tuple[BelowOne, BelowOne] = (0.9, 0.999)
    """Adam's decay rates."""
    weight_decay: Annotated[float, Ge(0), Le(1000)] = 0.0
    """Decoupled weight decay."""
    grad_norm: Annotated[float, Ge(1e-9), Le(1e9)] = 0.01
    """Largest norm of the gradient (code: 0.01)."""
    clip_together: bool = False
    """Clip by one norm over model and value head (code), or each by its own: the critic's gradient is often the larger
    by far and would scale the policy's away."""
    eval_every: Annotated[int, Ge(0), Le(10_000_000)] = 0
    """Updates between evaluations on the fixed panel; 0 evaluates at the start and the end only."""
    eval_episodes: Annotated[int, Ge(1), Le(1_000_000)] = 100
    """Start states in that panel."""
    eval_seed: Seed = 0
    """Seed of that panel. Settings are chosen on panel 0: results are better reported on another."""
    shard: Literal["none", "full", "hybrid"] = "none"
    """How several processes share the agent: each holds all of it (DDP), or a share of every weight, gradient and
    moment (FSDP2) among all processes, or among those of one machine whose copies other machines hold."""
    threads: Annotated[int, Ge(1), Le(4096)] = 1
    """Torch threads on a CPU; one per process and several processes is fastest there."""


@dataclass(frozen=True)
class ReportConfig(Section):
    """What is measured and written down."""

    trackers: tuple[Literal["tensorboard", "wandb", "trackio"], ...] = ("tensorboard",)
    """Where curves and thoughts are shown besides the run folder, any of tensorboard, wandb and trackio; the flag
    without a name switches it off."""
    project: Text = "gtr"
    """Name of the project at trackers that have projects."""
    turns_every: Annotated[int, Ge(1), Le(10_000_000)] = 1
    """Updates between transcripts of turns with their images."""
    keep_checkpoints: Annotated[int, Ge(1), Le(1_000_000)] = 2
    """Most recent checkpoints kept for resuming; the last one is always kept."""
    probe_turns: Annotated[int, Ge(0), Le(1_000_000)] = 16
    """Turns per update on which the metrics that need extra forward passes are measured; 0 turns them off."""
    stop_on_alarm: bool = False
    """End the run when the collapse alarm rings."""

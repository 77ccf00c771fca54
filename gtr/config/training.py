"""Settings of what is learnt, of the loop, and of what is written down."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Le

from gtr.config.section import BelowOne, Reward, Section, Share, Text, Weight

Clip = Annotated[float, Ge(1e-6), Le(1000)]


@dataclass(frozen=True)
class PolicySettings(Section):
    """What every policy-gradient algorithm can be told; each has its own `Settings` with the defaults of its source."""

    policy_weight: Weight = 1.0
    """Weight of the clipped policy loss; 0 with value_weight 0 is SFT-only."""
    thought_weight: Share = 0.0
    """lambda: weight of the thought's log-prob in the ratio. 0 is PPO on action tokens (paper); 0.5 on cards, 0.2 on
    household tasks (code)."""
    action_tokens: Literal["value", "field"] = "value"
    """What counts as the action: its value alone, or everything from its key to the end of the reply (code). With
    "field", every negative advantage also pushes down the JSON around the action."""
    ratio: Literal["turn", "token", "turn_mean"] = "turn"
    """One importance ratio per turn (code), one per token (VL-DAC), or per turn the geometric mean of its tokens'
    (GSPO, ReMA)."""
    clip: Clip = 0.1
    """Clip range of the importance ratio (code: 0.1)."""
    clip_high: Clip | None = None
    """Clip range above 1 (DAPO, StarPO-S: 0.28); None takes `clip`."""
    dual_clip: Annotated[float, Ge(1), Le(1e6)] | None = None
    """Bounds the loss of negative advantages to so many times their size (verl, ReMA: 3); None does not."""
    ratio_cap: Annotated[float, Ge(1), Le(1e6)] | None = None
    """Ratio above which the clipped one is taken whatever the advantage's sign (VL-DAC's code: 10); None has none."""
    entropy_weight: Weight = 0.0
    """Weight of the entropy bonus (code: parsed, 0.01, and never used)."""
    kl_weight: Weight = 0.0
    """Weight of the KL divergence to the starting agent over all reply tokens (K3; VL-DAC: 0.04)."""
    format_reward: Annotated[float, Ge(0), Le(1e6)] = 0.0
    """Bonus for a reply with all required keys (code: 5)."""
    format_reward_in: Literal["reward", "return"] = "reward"
    """Add the bonus to the reward, or to the return after GAE (code)."""
    length_reward: Reward = 0.0
    """Reward of a turn whose thought has `length_words` words; shorter ones earn their share (paper's ablation, which
    fails)."""
    length_words: Annotated[int, Ge(1), Le(100_000)] = 50
    """Words of a thought that earn the whole length reward."""


@dataclass(frozen=True)
class PPOConfig(PolicySettings):
    """The RL half (paper section 3.3; RL4VLM)."""

    value_weight: Weight = 0.5
    """Weight of the value loss (code: 0.5)."""
    value_clip: Annotated[float, Ge(0), Le(1e6)] = 0.1
    """Clip range of the value's change; 0 turns it off."""
    value_gradient: Literal["flow", "stop"] = "flow"
    """Whether the critic's loss also shapes the model below its head (code), or stops at the head (VL-DAC)."""
    gamma: Share = 0.9
    """Discount per turn (code: 0.9)."""
    gae_lambda: Share = 0.95
    """Lambda of generalised advantage estimation over turns (code: 0.95)."""
    normalise: bool = True
    """Normalise advantages over the rollout to mean 0 and standard deviation 1."""
    normalise_floor: Annotated[float, Ge(1e-12), Le(1e6)] = 1e-5
    """Smallest standard deviation of advantages, in the unit of the reward, that is scaled up to 1: where no episode
    succeeded, normalising with a tiny floor turns noise into a gradient."""
    stopped_is: Literal["termination", "truncation"] = "termination"
    """How GAE sees an episode that the corrector stopped."""
    value_updates: Annotated[int, Ge(0), Le(10_000_000)] = 0
    """Updates at the start in which the critic alone is trained (VL-DAC: 2)."""


@dataclass(frozen=True)
class TrainConfig(Section):
    """The loop: how much is collected and how it is learnt."""

    updates: Annotated[int, Ge(1), Le(10_000_000)] = 15
    """Number of rollouts, each followed by one update."""
    envs: Annotated[int, Ge(1), Le(65_536)] = 32
    """Environments stepped together in each process."""
    turns: Annotated[int, Ge(1), Le(1_000_000)] = 32
    """Turns that each environment plays per update."""
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
    eval_every: Annotated[int, Ge(0), Le(10_000_000)] = 0
    """Updates between evaluations on the fixed panel; 0 evaluates at the start and the end only."""
    eval_episodes: Annotated[int, Ge(1), Le(1_000_000)] = 100
    """Start states in that panel."""
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

"""Every setting of a run, one frozen dataclass per room. Field docstrings are the ``--help``.

Importing this file imports neither torch nor transformers. "paper" means arXiv 2503.08525; "code" its public code.
"""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class TaskConfig:
    """Which game is played, how it looks, and how it is described to the agent."""

    name: str = "points24"
    """numberline, ezpoints, points24, blackjack, alfworld, or your Task: package.module:Class or file.py:Class."""
    prompt: Literal["paper", "compact"] = "paper"
    """Full rules (paper), or a few words, for tiny models whose time goes into tokens."""
    thought: bool = True
    """Whether the agent writes a thought before its action (False: the no-thought baseline, arXiv 2503.16188)."""
    image_size: int = 300
    """Side of the square picture in pixels."""
    deck: Literal["classic", "dark", "sketch"] = "classic"
    """How the cards look; another deck at evaluation is the "new look" split."""
    faces: Literal["ten", "rank"] = "ten"
    """J, Q, K count 10, or 11, 12, 13 (the "new rules" split)."""
    hands: int | None = None
    """Number of distinct hands in play, the difficulty knob; None deals freely, unsolvable hands included (code)."""
    max_turns: int | None = None
    """Turns until an episode is truncated; None takes the task's own limit."""
    loopholes: bool = False
    """Accept what the reference environment accepts by accident: **, // and glued digits in formulas."""
    illegal: Literal["penalise", "random"] = "penalise"
    """What an illegal or unreadable reply does: cost `illegal_reward` and change nothing, or play at random (code)."""
    illegal_reward: float = -1.0
    """Reward of a turn whose reply is not a legal action."""
    options: dict[str, str] = field(default_factory=dict)
    """Free settings for tasks of your own."""


@dataclass(frozen=True)
class PolicyConfig:
    """The agent: any Hugging Face image-text-to-text model with a value head."""

    model: str = "tiny-llava"
    """A local folder, a hub id, or one of the built-in tiny models: tiny-llava, tiny-llava-next, tiny-qwen2.5-vl."""
    finetune: Literal["full", "lora"] = "full"
    """Train every weight, or LoRA adapters on all linear layers (code: LoRA)."""
    lora_rank: int = 128
    """Rank of the LoRA adapters (code: 128)."""
    lora_alpha: int = 256
    """Scale of the LoRA adapters (code: 256)."""
    lora_dropout: float = 0.05
    """Dropout before the LoRA adapters in SFT (code: 0.05); off in RL, where samples and scores must be of one
    distribution."""
    freeze_vision: bool = False
    """Keep the vision tower as it is."""
    dtype: Literal["auto", "float32", "bfloat16", "mixed"] = "auto"
    """Weights' type; mixed computes in bfloat16 from float32 weights. auto is, on GPUs that have it, bfloat16 under
    LoRA (adapters in float32) and mixed where every weight is trained; else float32 (bf16 is 80 times slower on
    CPUs)."""
    gradient_checkpointing: bool = False
    """Trade time for memory in updates."""
    value_hidden: tuple[int, ...] = (1024, 512)
    """Hidden widths of the value head on the last prompt token's last hidden state (code: 1024, 512)."""
    temperature: float = 0.2
    """Sampling temperature, applied alike in scoring (code: 0.2)."""
    repetition_penalty: float = 1.0
    """Decoding penalty that scoring does not see; anything but 1 makes the two distributions differ (code: 1.2)."""
    max_new_tokens: int = 256
    """Token limit of one reply."""


@dataclass(frozen=True)
class SftConfig:
    """SFT initialisation: where the agent stands before RL. Stops by measured competence, never by time."""

    enabled: bool = False
    """Whether `gtr train` makes (or takes from the cache) an SFT-initialised agent first."""
    target: float = 0.1
    """Success on held-out starts, sampled as in training, at which SFT stops."""
    reading: float = 0.98
    """Share of held-out pictures read exactly at which the vision warm-up and reading stages stop."""
    max_steps: int = 3000
    """Optimiser steps after which full-reply SFT gives up reaching the target, with a warning."""
    check_every: int = 20
    """Steps between two measurements of competence; halved when one finds the agent far past the target."""
    check_episodes: int = 128
    """Episodes per measurement."""
    batch: int = 32
    """Replies per optimiser step."""
    lr: float = 2e-3
    """Learning rate at the first step."""
    seed: int = 0
    """Seed of the data and the weights; independent of the run's seed so that runs share one starting agent."""


@dataclass(frozen=True)
class GuidanceConfig:
    """Guided thought: who corrects, and what is learnt from corrections (paper section 3)."""

    corrector: Literal["none", "oracle", "chat", "local"] = "oracle"
    """none is plain RL (RL4VLM); oracle is the task's own expert: exact and free; chat is a model behind an
    OpenAI-compatible API (paper: GPT-4o), local a Hugging Face model in this process; both are set by corrector.*."""
    judge: Literal["off", "score", "compare"] = "off"
    """Make the corrector a judge: nothing is cloned, and its score of each thought becomes a reward (paper's ablation,
    which fails). compare: it says which of two thoughts is better (RL-VLM-F)."""
    judge_reward: float = 1.0
    """Reward of a turn whose thought the judge finds perfect; a worthless one gets its opposite."""
    memory: Literal["run", "rollout"] = "run"
    """DAgger: lessons of the whole run, or (no_dagger) of the current rollout only."""
    clone: Literal["thought", "thought_and_action"] = "thought"
    """What is cloned; the paper finds that cloning actions too is worse."""
    token_weights: Literal["all", "edits"] = "all"
    """Clone all tokens of a corrected thought alike, or those that the correction kept half as much (RLMEC)."""
    weight: float = 1.0
    """Weight of the thought cloning loss (paper: 1); 0 leaves the corrector's stops alone, a control."""
    anneal_updates: int = 0
    """Updates over which the weight falls linearly to 0; 0 keeps it (paper ablation: collapse comes back)."""
    correct_malformed: bool = True
    """Also correct replies that cannot be read (code: no; then they never heal)."""
    stop_early: bool = True
    """End an episode when it leaves the corrector's plan or cannot succeed any more (code: yes; not on ALFWorld)."""
    stop_reward: float = -1.0
    """Reward of the turn on which the corrector ends the episode (code: -1 on Points24). On ALFWorld the game itself
    cuts episodes (task.options cut_reward; code: -3)."""
    forget_target: bool = False
    """Reproduce the code's slip: after an environment's first episode a first thought judged right has no target
    and is stopped."""


@dataclass(frozen=True)
class CorrectorConfig:
    """A model as corrector (guidance.corrector chat or local) or, behind an API, as an agent in `gtr eval`."""

    model: str = "gpt-4o"
    """The model's name at its server (paper: GPT-4o); for local a folder or hub id."""
    device: str = "auto"
    """Where a local model runs: cpu, cuda, cuda:1, ...; auto takes a GPU if there is one."""
    batch: int = 8
    """Questions that a local model answers at a time."""
    base_url: str | None = None
    """Address of the server up to /v1; None takes the environment's OPENAI_BASE_URL, else OpenAI."""
    key_env: str = "OPENAI_API_KEY"
    """Name of the environment variable that holds the key; the key itself is never written anywhere."""
    temperature: float = 0.4
    """Sampling temperature (code: 0.4)."""
    max_tokens: int = 800
    """Token limit of one answer."""
    detail: Literal["auto", "low", "high"] = "auto"
    """Resolution at which the server looks at the picture, where it has a choice."""
    structured: Literal["auto", "json_schema", "json_object", "prompt"] = "auto"
    """How answers are kept to their form; auto asks the server once what it can do."""
    tools: Literal["auto", "call", "prompt", "off"] = "auto"
    """The task's tools by function calling, by asking for their arguments first (prompt), or not at all (ablation)."""
    tool_rounds: int = 2
    """Requests of one question that may call tools."""
    minimum_edit: bool = False
    """Tell the corrector to change no more of the thought than it must."""
    ask: Literal["always", "doubted"] = "always"
    """Ask about every turn (paper), or only where the task's own free check does not find the thought right."""
    ask_share: float = 1.0
    """Share of those turns asked about."""
    in_flight: int = 128
    """Requests under way at a time."""
    requests_per_minute: int = 0
    """Cap, retries included; 0 sets none."""
    tokens_per_minute: int = 0
    """Cap on tokens in and out together; 0 sets none."""
    timeout: float = 60.0
    """Seconds that one request may take in all."""
    retries: int = 5
    """Further tries after lost connections, timeouts, 429 and 5xx, with growing pauses that honour Retry-After."""
    breaker: int = 10
    """Failed requests in a row after which the server counts as down and is only probed."""
    probe_seconds: float = 15.0
    """Pause between probes of a server that is down."""
    patience: float = 600.0
    """Seconds a server may be down, or tell us to wait, until `when_down` decides."""
    when_down: Literal["stop", "wait", "continue"] = "stop"
    """A server that stays down ends the run at its last checkpoint, is waited for, or leaves turns without lessons."""
    budget_usd: float | None = None
    """Dollars after which nothing more is asked, earlier spending on this run included; None sets no limit."""
    at_budget: Literal["continue", "stop"] = "continue"
    """A spent budget leaves further turns without lessons, or ends the run at its last checkpoint."""
    price_in: float | None = None
    """Dollars per million tokens sent; None takes the built-in price table."""
    price_out: float | None = None
    """Dollars per million tokens received; None takes the built-in price table."""
    replay: str | None = None
    """Run folder whose recorded verdicts are used instead of asking anybody."""


@dataclass(frozen=True)
class PolicySettings:
    """What every policy-gradient algorithm can be told; each has its own `Settings` with the defaults of its source."""

    policy_weight: float = 1.0
    """Weight of the clipped policy loss; 0 with value_weight 0 is SFT-only."""
    thought_weight: float = 0.0
    """lambda: weight of the thought's log-prob in the ratio. 0 is PPO on action tokens (paper); 0.5 on cards, 0.2 on
    ALFWorld (code)."""
    action_tokens: Literal["value", "field"] = "value"
    """What counts as the action: its value alone, or everything from its key to the end of the reply (code). With
    "field", every negative advantage also pushes down the JSON around the action."""
    ratio: Literal["turn", "token", "turn_mean"] = "turn"
    """One importance ratio per turn (code), one per token (VL-DAC), or per turn the geometric mean of its tokens'
    (GSPO, ReMA)."""
    clip: float = 0.1
    """Clip range of the importance ratio (code: 0.1)."""
    clip_high: float | None = None
    """Clip range above 1 (DAPO, StarPO-S: 0.28); None takes `clip`."""
    dual_clip: float | None = None
    """Bounds the loss of negative advantages to so many times their size (verl, ReMA: 3); None does not."""
    ratio_cap: float | None = None
    """Ratio above which the clipped one is taken whatever the advantage's sign (VL-DAC's code: 10); None has none."""
    entropy_weight: float = 0.0
    """Weight of the entropy bonus (code: parsed, 0.01, and never used)."""
    kl_weight: float = 0.0
    """Weight of the KL divergence to the starting agent over all reply tokens (K3; VL-DAC: 0.04)."""
    format_reward: float = 0.0
    """Bonus for a reply with all required keys (code: 5)."""
    format_reward_in: Literal["reward", "return"] = "reward"
    """Add the bonus to the reward, or to the return after GAE (code)."""
    length_reward: float = 0.0
    """Reward of a turn whose thought has `length_words` words; shorter ones earn their share (paper's ablation, which
    fails)."""
    length_words: int = 50
    """Words of a thought that earn the whole length reward."""


@dataclass(frozen=True)
class PPOConfig(PolicySettings):
    """The RL half (paper section 3.3; RL4VLM)."""

    value_weight: float = 0.5
    """Weight of the value loss (code: 0.5)."""
    value_clip: float = 0.1
    """Clip range of the value's change; 0 turns it off."""
    value_gradient: Literal["flow", "stop"] = "flow"
    """Whether the critic's loss also shapes the model below its head (code), or stops at the head (VL-DAC)."""
    gamma: float = 0.9
    """Discount per turn (code: 0.9)."""
    gae_lambda: float = 0.95
    """Lambda of generalised advantage estimation over turns (code: 0.95)."""
    normalise: bool = True
    """Normalise advantages over the rollout to mean 0 and standard deviation 1."""
    normalise_floor: float = 1e-5
    """Smallest standard deviation of advantages, in the unit of the reward, that is scaled up to 1: where no episode
    succeeded, normalising with a tiny floor turns noise into a gradient."""
    stopped_is: Literal["termination", "truncation"] = "termination"
    """How GAE sees an episode that the corrector stopped."""
    value_updates: int = 0
    """Updates at the start in which the critic alone is trained (VL-DAC: 2)."""


@dataclass(frozen=True)
class TrainConfig:
    """The loop: how much is collected and how it is learnt."""

    updates: int = 15
    """Number of rollouts, each followed by one update."""
    envs: int = 32
    """Environments stepped together in each process."""
    turns: int = 32
    """Turns that each environment plays per update."""
    epochs: int = 4
    """Passes over the rollout per update (code: 4)."""
    minibatch: int = 32
    """Turns per forward pass."""
    accumulation: int = 1
    """Forward passes per optimiser step; 8 of 1 equal 1 of 8."""
    lr: float = 1e-5
    """Learning rate at the first update (code: 1e-5)."""
    lr_final: float = 1e-9
    """Learning rate at the last update, cosine in between (code)."""
    value_lr: float | None = None
    """Learning rate of the value head at the first update, falling alike; None takes `lr`."""
    adam_eps: float = 1e-7
    """Adam's epsilon (code: 1e-7)."""
    adam_betas: tuple[float, float] = (0.9, 0.999)
    """Adam's decay rates."""
    weight_decay: float = 0.0
    """Decoupled weight decay."""
    grad_norm: float = 0.01
    """Largest norm of the gradient (code: 0.01)."""
    eval_every: int = 0
    """Updates between evaluations on the fixed panel; 0 evaluates at the start and the end only."""
    eval_episodes: int = 100
    """Start states in that panel."""
    threads: int = 1
    """Torch threads on a CPU; one per process and several processes is fastest there."""


@dataclass(frozen=True)
class ReportConfig:
    """What is measured and written down."""

    trackers: tuple[Literal["tensorboard", "wandb", "trackio"], ...] = ("tensorboard",)
    """Where curves and thoughts are shown besides the run folder, any of tensorboard, wandb and trackio; the flag
    without a name switches it off."""
    project: str = "gtr"
    """Name of the project at trackers that have projects."""
    turns_every: int = 1
    """Updates between transcripts of turns with their images."""
    keep_checkpoints: int = 2
    """Most recent checkpoints kept for resuming; the last one is always kept."""
    probe_turns: int = 16
    """Turns per update on which the metrics that need extra forward passes are measured; 0 turns them off."""
    stop_on_alarm: bool = False
    """End the run when the collapse alarm rings."""


@dataclass(frozen=True)
class Config:
    """One run."""

    preset: str = "gtr"
    """The method this started from (kept for tables; changing it changes nothing else)."""
    seed: int = 1
    """Seed of the run: environments, sampling and minibatches (code: 1)."""
    runs: str = "runs"
    """Folder that holds run folders."""
    name: str | None = None
    """Name of the run folder; by default preset-task-seed, numbered on when taken."""
    task: TaskConfig = field(default_factory=TaskConfig)
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    sft: SftConfig = field(default_factory=SftConfig)
    guidance: GuidanceConfig = field(default_factory=GuidanceConfig)
    corrector: CorrectorConfig = field(default_factory=CorrectorConfig)
    ppo: PPOConfig = field(default_factory=PPOConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    report: ReportConfig = field(default_factory=ReportConfig)

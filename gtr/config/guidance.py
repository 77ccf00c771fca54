"""Settings of guided thought, and of the models that guide."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Le

from gtr.config.section import Known, Reward, Section, Share, Text, Weight

Stop = Literal["unsolvable", "illegal", "loss", "plan", "no_plan"]


@dataclass(frozen=True)
class GuidanceConfig(Section):
    """Guided thought: who corrects, and what is learnt from corrections (paper section 3)."""

    corrector: Annotated[str, Known(("none", "oracle", "noisy", "chat", "local"))] = "oracle"
    """none is plain RL (RL4VLM); oracle is the task's own expert: exact and free; noisy the same with the mistakes of
    noise.*; chat is a model behind an
    OpenAI-compatible API (paper: GPT-4o), local a Hugging Face model in this process; both are set by corrector.*.
    Or a Corrector class of yours: package.module:Class or file.py:Class."""
    judge: Literal["off", "score", "compare"] = "off"
    """Make the corrector a judge: nothing is cloned, and its score of each thought becomes a reward (paper's ablation,
    which fails). compare: it says which of two thoughts is better (RL-VLM-F)."""
    judge_reward: Reward = 1.0
    """Reward of a turn whose thought the judge finds perfect; a worthless one gets its opposite."""
    memory: Literal["run", "rollout"] = "run"
    """DAgger: lessons of the whole run, or (no_dagger) of the current rollout only."""
    draw: Literal["corrected", "turns"] = "corrected"
    """What is drawn beside each turn that is learnt from: a corrected thought; or any turn of the run, which teaches
    nothing if it was not corrected, so that cloning weighs less as thoughts get right (code)."""
    clone: Literal["thought", "announced_action", "thought_and_action"] = "thought"
    """What is cloned: the corrected thought; also the action that this thought announces, where a task can read it; or
    also the corrector's own action, which the paper finds to be worse."""
    token_weights: Literal["all", "edits"] = "all"
    """Clone all tokens of a corrected thought alike, or those that the correction kept half as much (RLMEC)."""
    weight: Weight = 1.0
    """Weight of the thought cloning loss (paper: 1); 0 leaves the corrector's stops alone, a control."""
    anneal_updates: Annotated[int, Ge(0), Le(10_000_000)] = 0
    """Updates over which the weight falls linearly to 0; 0 keeps it (paper ablation: collapse comes back)."""
    correct_malformed: bool = True
    """Also correct replies that cannot be read (code: no; then they never heal)."""
    stop_early: bool = True
    """End an episode when it leaves the corrector's plan or cannot succeed any more (code: yes, but for games that cut
    their episodes themselves)."""
    stop_on: tuple[Stop, ...] = ("unsolvable", "illegal", "plan")
    """With stop_early, what ends an episode, any of: unsolvable (the corrector gives it up), illegal (a reply names no
    legal action), loss (a negative reward), plan (the corrector's plan is left, or where it has none, nothing right can
    follow), no_plan (there is none yet). Code: unsolvable and loss, on Points24 plan and no_plan too."""
    stop_reward: Reward = -1.0
    """Reward of the turn on which the corrector ends the episode (code: -1)."""
    forget_target: bool = False
    """Reproduce the code's slip: after an environment's first episode a first thought judged right has no target
    and is stopped."""


@dataclass(frozen=True)
class NoiseConfig(Section):
    """Mistakes of a noisy oracle (guidance.corrector noisy): how good must a corrector be?

    Whether and how it errs in a state is drawn from the run's seed and from the prompt with its picture: asked about
    them again, it errs again. Where it ends episodes it stays exact.
    """

    spoil: Share = 0.0
    """Share of right thoughts that are judged wrong and given a wrong correction."""
    miss: Share = 0.0
    """Share of wrong thoughts that are passed as right."""
    wrong: Share = 0.0
    """Share of corrections of wrong thoughts that are wrong themselves."""
    misread: Weight = 1.0
    """Of wrong corrections, the part that states another picture; relative to `plan` and `step`, as far as the game's
    thoughts can have these mistakes."""
    plan: Weight = 1.0
    """The part that states the plan of another state."""
    step: Weight = 1.0
    """The part that announces another action than its plan calls for."""
    wrong_action: Share = 0.0
    """Share of right corrections whose own action is another than they announce; guidance.clone decides whether it is
    learnt from."""


@dataclass(frozen=True)
class CorrectorConfig(Section):
    """A model as corrector (guidance.corrector chat or local) or, behind an API, as an agent in `gtr eval`."""

    model: Text = "gpt-4o"
    """The model's name at its server (paper: GPT-4o); for local a folder or hub id."""
    device: Text = "auto"
    """Where a local model runs: cpu, cuda, cuda:1, ...; auto takes a GPU if there is one."""
    batch: Annotated[int, Ge(1), Le(65_536)] = 8
    """Questions that a local model answers at a time."""
    base_url: str | None = None
    """Address of the server up to /v1; None takes the environment's OPENAI_BASE_URL, else OpenAI."""
    key_env: str = "OPENAI_API_KEY"
    """Name of the environment variable that holds the key; the key itself is never written anywhere."""
    temperature: Annotated[float, Ge(0), Le(100)] = 0.4
    """Sampling temperature (code: 0.4)."""
    max_tokens: Annotated[int, Ge(1), Le(1_000_000)] = 800
    """Token limit of one answer."""
    detail: Literal["auto", "low", "high"] = "auto"
    """Resolution at which the server looks at the picture, where it has a choice."""
    structured: Literal["auto", "json_schema", "json_object", "prompt"] = "auto"
    """How answers are kept to their form; auto asks the server once what it can do."""
    tools: Literal["auto", "call", "prompt", "off"] = "auto"
    """The task's tools by function calling, by asking for their arguments first (prompt), or not at all (ablation)."""
    tool_rounds: Annotated[int, Ge(1), Le(100)] = 2
    """Requests of one question that may call tools."""
    minimum_edit: bool = False
    """Tell the corrector to change no more of the thought than it must."""
    ask: Literal["always", "doubted"] = "always"
    """Ask about every turn (paper), or only where the task's own free check does not find the thought right."""
    ask_share: Share = 1.0
    """Share of those turns asked about; an oracle, or a corrector of yours, is asked about so many of all."""
    in_flight: Annotated[int, Ge(1), Le(10_000)] = 128
    """Requests under way at a time."""
    requests_per_minute: Annotated[int, Ge(0), Le(1_000_000_000)] = 0
    """Cap, retries included; 0 sets none."""
    tokens_per_minute: Annotated[int, Ge(0), Le(1_000_000_000_000)] = 0
    """Cap on tokens in and out together; 0 sets none."""
    timeout: Annotated[float, Ge(1e-3), Le(1e6)] = 60.0
    """Seconds that one request may take in all."""
    retries: Annotated[int, Ge(0), Le(1_000)] = 5
    """Further tries after lost connections, timeouts, 429 and 5xx, with growing pauses that honour Retry-After."""
    breaker: Annotated[int, Ge(1), Le(1_000_000)] = 10
    """Failed requests in a row after which the server counts as down and is only probed."""
    probe_seconds: Annotated[float, Ge(1e-3), Le(1e6)] = 15.0
    """Pause between probes of a server that is down."""
    patience: Annotated[float, Ge(0), Le(1e9)] = 600.0
    """Seconds a server may be down, or tell us to wait, until `when_down` decides."""
    when_down: Literal["stop", "wait", "continue"] = "stop"
    """A server that stays down ends the run at its last checkpoint, is waited for, or leaves turns without lessons."""
    budget_usd: Annotated[float, Ge(0), Le(1e9)] | None = None
    """Dollars after which nothing more is asked, earlier spending on this run included; None sets no limit."""
    at_budget: Literal["continue", "stop"] = "continue"
    """A spent budget leaves further turns without lessons, or ends the run at its last checkpoint."""
    price_in: Annotated[float, Ge(0), Le(1e6)] | None = None
    """Dollars per million tokens sent; None takes the built-in price table."""
    price_out: Annotated[float, Ge(0), Le(1e6)] | None = None
    """Dollars per million tokens received; None takes the built-in price table."""
    replay: Text | None = None
    """Run folder whose recorded verdicts are used instead of asking anybody."""

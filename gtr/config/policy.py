"""Settings of the agent, and of where it stands before RL."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Le, MaxLen

from gtr.config.section import BelowOne, Section, Seed, Share, Text


@dataclass(frozen=True)
class PolicyConfig(Section):
    """The agent: any Hugging Face image-text-to-text model with a value head."""

    model: Text = "tiny-llava"
    """A local folder, a hub id, or one of the built-in tiny models: tiny-llava, tiny-llava-next, tiny-qwen2.5-vl."""
    finetune: Literal["full", "lora"] = "full"
    """Train every weight, or LoRA adapters on linear layers (code: LoRA)."""
    lora_rank: Annotated[int, Ge(1), Le(65_536)] = 128
    """Rank of the LoRA adapters (code: 128)."""
    lora_alpha: Annotated[int, Ge(1), Le(1_000_000)] = 256
    """Scale of the LoRA adapters (code: 256)."""
    lora_target: Literal["all", "language"] = "all"
    """Where LoRA adapters are: on all linear layers (code), or on the language model's alone."""
    lora_dropout: BelowOne = 0.05
    """Dropout before the LoRA adapters in SFT (code: 0.05); off in RL, where samples and scores must be of one
    distribution."""
    tiles: Literal["all", "one"] = "all"
    """How LLaVA-NeXT sees a picture: whole and in tiles, at 300 pixels 1,176 tokens; or whole alone, 576 (code). Other
    families are left as they are."""
    freeze_vision: bool = False
    """Keep the vision tower as it is."""
    dtype: Literal["auto", "float32", "bfloat16", "mixed"] = "auto"
    """Weights' type; mixed computes in bfloat16 from float32 weights. auto is, on GPUs that have it, bfloat16 under
    LoRA (adapters in float32) and mixed where every weight is trained; else float32 (bf16 is 80 times slower on
    CPUs)."""
    load_in_4bit: bool = False
    """Hold the language model's linear layers in 4 bits (NF4, bitsandbytes) under LoRA: QLoRA (arXiv 2305.14314)."""
    gradient_checkpointing: bool = False
    """Trade time for memory in updates."""
    share_prefix: bool = True
    """Read text of 32 tokens and more that all prompts of a batch begin with once for all of them. Rounds otherwise
    than reading each prompt whole."""
    value_hidden: Annotated[tuple[Annotated[int, Ge(1), Le(65_536)], ...], MaxLen(16)] = (1024, 512)
    """Hidden widths of the value head on the last prompt token's last hidden state (code: 1024, 512)."""
    temperature: Annotated[float, Ge(1e-4), Le(100)] = 0.2
    """Sampling temperature, applied alike in scoring (code: 0.2)."""
    repetition_penalty: Annotated[float, Ge(0.01), Le(100)] = 1.0
    """Decoding penalty that scoring does not see; anything but 1 makes the two distributions differ (code: 1.2)."""
    penalised: Literal["prompt_and_reply", "reply"] = "prompt_and_reply"
    """Tokens whose repetition is penalised; the code samples from embeddings, and so sees the reply's alone."""
    max_new_tokens: Annotated[int, Ge(1), Le(131_072)] = 256
    """Token limit of one reply."""


@dataclass(frozen=True)
class SftConfig(Section):
    """SFT initialisation: where the agent stands before RL. Stops by measured competence, never by time."""

    enabled: bool = False
    """Whether `gtr train` makes (or takes from the cache) an SFT-initialised agent first."""
    target: Share | None = None
    """Success on held-out starts, sampled as in training, at which SFT stops; None: a tenth of the way from random play
    to the expert's."""
    reading: Share = 0.98
    """Share of held-out pictures read exactly at which the vision warm-up and reading stages stop."""
    max_steps: Annotated[int, Ge(1), Le(10_000_000)] = 3000
    """Optimiser steps after which full-reply SFT gives up reaching the target, with a warning."""
    check_every: Annotated[int, Ge(1), Le(1_000_000)] = 20
    """Steps between two measurements of competence; halved when one finds the agent far past the target."""
    check_episodes: Annotated[int, Ge(1), Le(1_000_000)] = 128
    """Episodes per measurement."""
    batch: Annotated[int, Ge(1), Le(65_536)] = 32
    """Replies per optimiser step."""
    lr: Annotated[float, Ge(1e-12), Le(10)] = 2e-3
    """Learning rate at the first step."""
    seed: Seed = 0
    """Seed of the data and the weights; independent of the run's seed so that runs share one starting agent."""

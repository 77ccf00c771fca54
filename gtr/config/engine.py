"""Settings of who samples replies, and of what becomes of the difference between sampler and trainer."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Le, MinLen

from gtr.config.section import Section, Text

Seconds = Annotated[float, Ge(0.1), Le(86_400)]
Factor = Annotated[float, Ge(1), Le(1e6)]


@dataclass(frozen=True)
class EngineConfig(Section):
    """Who samples replies: the trainer itself, or servers of an inference engine (docs/ENGINES.md)."""

    name: Literal["local", "vllm"] = "local"
    """local samples with the trainer's own weights; vllm asks vLLM servers, each started by `gtr serve-engine`."""
    servers: Annotated[tuple[Text, ...], MinLen(1)] = ("http://127.0.0.1:8000",)
    """Addresses of the vLLM servers; requests go to the least busy one."""
    sync: Literal["full", "adapter"] = "full"
    """How new weights reach the servers: all of them, or the language model's LoRA adapter alone (policy.finetune lora,
    policy.lora_target language)."""
    exchange: Text | None = None
    """Folder through which weights travel, which the servers must see under the same path; None takes the run's."""
    in_flight: Annotated[int, Ge(1), Le(65_536)] = 64
    """Requests under way at a time, all servers together, in each process."""
    max_staleness: Annotated[int, Ge(0), Le(1000)] = 0
    """Updates that the weights a rollout is sampled by may lie behind those that learn from it: above 0, so many
    rollouts are sampled while the trainer learns (name vllm). 0 samples and learns in turn."""
    timeout: Seconds = 120.0
    """Seconds after which a request without an answer is given up and made anew."""
    sync_timeout: Seconds = 1800.0
    """Seconds that a server may take to load new weights."""
    retries: Annotated[int, Ge(0), Le(1000)] = 4
    """Further tries of a request that failed, each at the server that is then the least busy one."""
    patience: Annotated[float, Ge(0), Le(86_400)] = 60.0
    """Seconds to wait for a server to come back when none is left, before the run ends at its last checkpoint."""
    tolerance: Annotated[float, Ge(1e-6), Le(100)] | None = None
    """Mean difference in nats between a server's log-probabilities and the trainer's, over the tokens of a probe, above
    which the run ends: the server does not hold the trainer's weights. None takes 0.001 where the trainer computes in
    float32, whose rounding stays below 1e-4, and 0.05 in bfloat16."""
    correction: Literal["off", "token", "sequence"] = "token"
    """Importance weight of policy losses where another engine samples: each token's p_trainer / p_sampler, their
    product over the reply's weighted tokens, or none."""
    correction_mode: Literal["truncate", "mask"] = "truncate"
    """Weights beyond `correction_cap` (or below `correction_floor`) are brought back to it, or count as 0."""
    correction_cap: Factor = 2.0
    """Largest importance weight (verl: 2; TRL: 3)."""
    correction_floor: Annotated[float, Ge(0), Le(1)] = 0.0
    """Smallest importance weight (IcePop: 0.5, with cap 5 and mask)."""

"""What a run will need: memory of each GPU, of the host, and disk, computed before anything is loaded.

Activations are estimates, held against measured ones by a test; all else is arithmetic.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gtr import tasks
from gtr.config import Config
from gtr.policy.pictures import to_png
from gtr.policy.shapes import Shape, shape_of

GIB = 1 << 30
RESERVED = 1.5 * GIB
"""What CUDA, its libraries and the allocator's gaps take of a GPU; an allowance, not measured."""
CHARACTERS = 3.5
"""Of a prompt's text, per token."""
PACKED = (4 + 0.127) / 8
"""Bytes of a weight in 4 bits with doubly quantised scales (QLoRA, arXiv 2305.14314)."""
LINE = 4096
"""Bytes of a turn's line in a packed transcript, and of a lesson."""
SAVED_HIDDEN, SAVED_INNER = 8.0, 3.0
"""Tensors as wide as the hidden state, and as the MLP, that a decoder layer keeps of each token for its gradient."""
ENDS = 3.0
"""Tensors as wide as the hidden state that are kept of each token before the first layer and after the last."""
LORA_INPUTS = 4.0
"""Copies of inputs in float32, as wide as the hidden state, that adapters keep besides."""
LOGITS = 4.0
"""Tensors of reply x vocabulary in float32: logits, masked and scaled ones, their softmax, a gradient."""


@dataclass(frozen=True)
class Plan:
    """Bytes by what they are for. `sampling` and `learning` are of one GPU, at different times."""

    sampling: dict[str, float]
    learning: dict[str, float]
    host: dict[str, float]
    disk: dict[str, float]
    prompt: int
    """Tokens of a prompt."""
    shape: Shape

    def peak(self) -> float:
        """Of one GPU, in bytes."""
        return max(sum(self.sampling.values()), sum(self.learning.values())) + RESERVED


def make_plan(config: Config, gpus: int) -> Plan:
    """The plan of a run on so many GPUs, one process each; sharded as `train.shard` says ("hybrid": 8 to a node)."""
    shape = shape_of(config.policy, config.task.image_size)
    task = tasks.load(config.task)
    with_picture = task.make_env()
    image, info = with_picture.reset(seed=0)
    seen = task.observe(np.asarray(image), info)
    png = len(to_png(seen.image))
    past = config.task.history_turns
    turn = shape.picture_tokens + round(len(task.prompt(seen)) / CHARACTERS)
    prompt = turn + past * (turn + config.policy.max_new_tokens)
    shares = {"none": 1, "full": gpus, "hybrid": min(gpus, 8)}[config.train.shard]
    held = _held(config, shape, shares)
    turns = config.train.updates * config.train.envs * config.train.turns
    _, width = widths(config)
    cache = shape.layers * shape.cached * width * (prompt + config.policy.max_new_tokens) * config.train.envs
    return Plan(
        sampling={**held, "cache of keys and values": cache, "logits": 4.0 * shape.vocabulary * config.train.envs * 3},
        learning={**_sharded_weights(held, shape, shares), **activations(config, shape, prompt)},
        host={"pictures of the thought buffer": float(turns * png), "lessons": float(turns * LINE // 4)},
        disk={
            "checkpoints": _checkpoint(config, shape) * (1 + config.report.keep_checkpoints),
            "pictures": float(turns * png * gpus),
            "transcripts and lessons": float(turns * LINE * (1 + gpus) // 2),
        },
        prompt=prompt,
        shape=shape,
    )


def widths(config: Config) -> tuple[int, int]:
    """Bytes of a weight of the base, and of a number that is computed with, as on a GPU that has bfloat16."""
    chosen = config.policy.dtype
    if chosen == "auto":
        chosen = "bfloat16" if config.policy.finetune == "lora" else "mixed"
    return (2 if chosen == "bfloat16" else 4), (4 if chosen == "float32" else 2)


def _held(config: Config, shape: Shape, shares: int) -> dict[str, float]:
    """What a GPU holds all the time while it samples: all weights, its shares of the rest."""
    width, _ = widths(config)
    learning = 4 if config.policy.finetune == "lora" else width
    packed = shape.packable if config.policy.load_in_4bit else 0
    weights = width * (shape.weights - packed) + PACKED * packed + 4.0 * shape.added
    return {
        "weights": weights + (weights / shares if shares > 1 else 0.0),
        "gradients": learning * shape.trained / shares,
        "moments": 2 * learning * shape.trained / shares,
    }


def _sharded_weights(held: dict[str, float], shape: Shape, shares: int) -> dict[str, float]:
    """As held while learning: a share of the weights, two layers of it whole, and the embeddings."""
    if shares == 1:
        return held
    whole = held["weights"] * shares / (shares + 1)
    per_weight = whole / (shape.weights + shape.added)
    open_layers = 2 * (whole - per_weight * 2 * shape.vocabulary * shape.hidden) / shape.layers
    root = per_weight * 2 * shape.vocabulary * shape.hidden
    return {**held, "weights": whole / shares + open_layers + root}


def activations(config: Config, shape: Shape, prompt: int) -> dict[str, float]:
    """What one forward pass keeps for its gradient: rows of a minibatch, and as many corrected thoughts beside."""
    _, width = widths(config)
    rows = config.train.minibatch * (2 if config.guidance.corrector != "none" else 1)
    tokens = rows * (prompt + config.policy.max_new_tokens)
    lora = LORA_INPUTS * shape.hidden * 4 if config.policy.finetune == "lora" else 0.0
    layer = tokens * (width * (SAVED_HIDDEN * shape.hidden + SAVED_INNER * shape.inner + shape.queries) + lora)
    ends = ENDS * tokens * width * shape.hidden
    kept = tokens * width * shape.hidden * shape.layers + layer
    return {
        "activations": ends + (kept if config.policy.gradient_checkpointing else layer * shape.layers),
        "logits": LOGITS * 4 * rows * config.policy.max_new_tokens * shape.vocabulary,
    }


def _checkpoint(config: Config, shape: Shape) -> float:
    width, _ = widths(config)
    model = 4 * shape.added + (0 if config.policy.finetune == "lora" else width * shape.weights)
    return float(model + 2 * (4 if config.policy.finetune == "lora" else width) * shape.trained)


def knobs(config: Config, plan: Plan, memory: float, gpus: int) -> Iterator[str]:
    """Settings that would make room, the mildest first, where a GPU of `memory` bytes is too small."""
    if sum(plan.learning.values()) + RESERVED > memory:
        if not config.policy.gradient_checkpointing:
            yield "--policy.gradient-checkpointing True: a layer's activations at a time, for a third more time"
        if config.train.minibatch > 1:
            yield "--train.minibatch 1, and --train.accumulation higher by as much: the same step in smaller passes"
        if gpus > 1 and config.train.shard == "none":
            yield "--train.shard full: gradients and moments in shares"
        if config.policy.finetune == "full":
            yield "--policy.finetune lora: adapters alone have gradients and moments"
    if sum(plan.sampling.values()) + RESERVED > memory:
        if config.train.envs > 1:
            yield f"--train.envs {config.train.envs // 2}, and more turns: a smaller cache of keys and values"
        if gpus > 1 and config.train.shard == "none":
            yield "--train.shard full: gradients and moments in shares"
        yield "--policy.tiles one, or a smaller model: fewer tokens, fewer weights"

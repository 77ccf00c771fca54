"""Scales: what agent is trained on what machine. Sources: "paper" is arXiv 2503.08525, "code" its public code."""

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from gtr import algo, tasks
from gtr.algo.policy_gradient import PolicySettings
from gtr.algo.ppo import PPOSettings
from gtr.config import AlgoConfig, Config, GuidanceConfig, PolicyConfig, SftConfig, TrainConfig


def scale_7b(task: str) -> Config:
    """The paper's settings: LLaVA-v1.6-mistral-7B with LoRA on one large GPU (code).

    But for its start, one epoch of SFT: that is another's data and hours of work, and must be asked for.
    """
    game = tasks.find(task)
    paper = game.published
    return Config(
        task=game.Settings(name=task, prompt="paper", image_size=300),
        policy=PolicyConfig(
            model="llava-hf/llava-v1.6-mistral-7b-hf",
            finetune="lora",
            gradient_checkpointing=True,
            temperature=0.2,
            max_new_tokens=256,
        ),
        sft=SftConfig(lr=2e-4),
        guidance=GuidanceConfig(stop_early=game.published.stop_early),
        train=TrainConfig(
            updates=paper.updates,
            envs=paper.turns_per_update // 32,
            turns=32,
            epochs=4,
            minibatch=1,
            accumulation=128,
            lr=1e-5,
            lr_final=1e-9,
        ),
    )


def scale_3b(task: str) -> Config:
    """As `scale_7b`, for Qwen2.5-VL-3B, which follows instructions: it needs no SFT to begin from."""
    return _with_model(scale_7b(task), "Qwen/Qwen2.5-VL-3B-Instruct")


def scale_2b(task: str) -> Config:
    """As `scale_3b`, for Qwen3-VL-2B."""
    return _with_model(scale_7b(task), "Qwen/Qwen3-VL-2B-Instruct")


def _with_model(config: Config, model: str) -> Config:
    return replace(config, policy=replace(config.policy, model=model))


def scale_tiny(task: str) -> Config:
    """A tiny LLaVA, initialised on the spot and trained on CPU cores in minutes."""
    game = tasks.find(task)
    tiny = game.tiny
    return Config(
        task=game.Settings(name=task, prompt="compact", image_size=96, **tiny.settings),
        policy=PolicyConfig(
            model="tiny-llava",
            freeze_vision=True,
            value_hidden=(128,),
            temperature=tiny.temperature,
            max_new_tokens=48,
        ),
        sft=SftConfig(enabled=True, target=tiny.sft_target, reading=tiny.reading, check_episodes=tiny.check_episodes),
        guidance=GuidanceConfig(stop_early=game.published.stop_early),
        train=TrainConfig(
            updates=tiny.updates,
            envs=32,
            turns=12,
            epochs=2,
            minibatch=64,
            lr=tiny.lr,
            lr_final=tiny.lr / 10,
            value_lr=2e-3,
            grad_norm=0.5,
            eval_every=4,
        ),
    )


SCALES: Mapping[str, Callable[[str], Config]] = {
    "tiny": scale_tiny,
    "2b": scale_2b,
    "3b": scale_3b,
    "7b": scale_7b,
}
ALGO_AT: Mapping[str, Mapping[str, Any]] = {
    # The critic trains its head alone, and fast: returns of up to 10 would otherwise drown the other gradients.
    "tiny": {"clip": 0.2, "value_clip": 0.0, "value_gradient": "stop", "normalise_floor": 1.0},
    **{name: {"clip": 0.1, "value_clip": 0.1} for name in ("2b", "3b", "7b")},
}
"""By scale, settings of policy-gradient algorithms."""


def algorithm_at(name: str, scale: str) -> AlgoConfig:
    """An algorithm's settings at a scale; the scale's hold where the algorithm has no default of its own."""
    kind = algo.find(name).Settings
    shared = (AlgoConfig, PolicySettings, PPOSettings)
    classes = [one for one in kind.__mro__ if is_dataclass(one) and one not in shared]
    own = {key for one in classes for key in vars(one).get("__annotations__", {})}
    open_ones = {one.name for one in fields(kind)} - own
    return kind(name=name, **{key: value for key, value in ALGO_AT[scale].items() if key in open_ones})

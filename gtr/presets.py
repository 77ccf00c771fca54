"""Algorithms as settings: a method changes a few settings of a scale. Importing this file imports no torch.

    build("rl4vlm", task="ezpoints", scale="tiny")   ->   Config

`SCALES` say what agent is trained on what machine, `METHODS` how it learns. Sources: "paper" is arXiv 2503.08525,
"code" its public code, "RL4VLM" arXiv 2405.10292.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from gtr.checks import validate
from gtr.config import Config, GuidanceConfig, PolicyConfig, PPOConfig, SftConfig, TaskConfig, TrainConfig
from gtr.errors import ConfigError, nearest

TASKS = ("numberline", "ezpoints", "points24", "blackjack", "alfworld")
"""The games that come with gtr; anything with a colon is the import path of a user's own task."""

RL4VLM_LAMBDA = 0.5
"""Weight of the thought's log-prob in the ratio on card games (RL4VLM; code)."""
ALFWORLD_LAMBDA = 0.2
"""The same on ALFWorld (code)."""


@dataclass(frozen=True)
class PaperTask:
    """What the code sets per game: 15,000 environment steps (ALFWorld 5,000), cut into rollouts of this many turns."""

    turns_per_update: int
    updates: int


PAPER_TASKS: Mapping[str, PaperTask] = {
    "numberline": PaperTask(turns_per_update=512, updates=30),
    "ezpoints": PaperTask(turns_per_update=1024, updates=15),
    "points24": PaperTask(turns_per_update=1024, updates=15),
    "blackjack": PaperTask(turns_per_update=512, updates=30),
    "alfworld": PaperTask(turns_per_update=1024, updates=5),
}


@dataclass(frozen=True)
class TinyTask:
    """What a tiny agent needs per game to start where the paper's agent starts, and to be trained in minutes."""

    hands: int | None = None
    sft_target: float = 0.1
    check_episodes: int = 128
    updates: int = 30
    temperature: float = 0.6
    lr: float = 2e-4
    options: Mapping[str, str] = field(default_factory=dict)


# The point games start where the paper's agent does: thoughts can be read and mostly say what is seen, yet hardly an
# episode is won. Where success is common from the start, outcomes alone teach enough, and there is nothing to guide.
TINY_TASKS: Mapping[str, TinyTask] = {
    "numberline": TinyTask(sft_target=0.3),
    "ezpoints": TinyTask(sft_target=0.01, check_episodes=256, updates=12, lr=5e-4),
    "points24": TinyTask(hands=32, sft_target=0.008, check_episodes=256, updates=24, lr=3e-4),
    "blackjack": TinyTask(sft_target=0.3),
    # One kind of task in small rooms that are easy to see: an agent of this size learns no household. It starts above
    # what random players reach (.08): an agent at .1 mostly names actions that the game refuses.
    "alfworld": TinyTask(
        sft_target=0.25,
        updates=16,
        options={
            "kinds": "pick",
            "games": "24",
            "rooms": "2",
            "space": "4",
            "clutter": "2",
            "labels": "off",
            "history": "4",
            "limit": "12",
            "workers": "off",
        },
    ),
}


# -- scales -------------------------------------------------------------------------------------------------------


def scale_7b(task: str) -> Config:
    """The paper's settings: LLaVA-v1.6-mistral-7B with LoRA on one large GPU (code)."""
    paper = PAPER_TASKS.get(task, PAPER_TASKS["points24"])
    return Config(
        task=TaskConfig(name=task, prompt="paper", image_size=300),
        policy=PolicyConfig(
            model="llava-hf/llava-v1.6-mistral-7b-hf",
            finetune="lora",
            gradient_checkpointing=True,
            temperature=0.2,
            max_new_tokens=256,
        ),
        sft=SftConfig(lr=2e-4),
        guidance=guidance_of(task),
        ppo=PPOConfig(clip=0.1, value_clip=0.1),
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


def scale_tiny(task: str) -> Config:
    """A tiny LLaVA, initialised on the spot and trained on CPU cores in minutes."""
    tiny = TINY_TASKS.get(task, TinyTask())
    return Config(
        task=TaskConfig(name=task, prompt="compact", image_size=96, hands=tiny.hands, options=dict(tiny.options)),
        policy=PolicyConfig(
            model="tiny-llava",
            freeze_vision=True,
            value_hidden=(128,),
            temperature=tiny.temperature,
            max_new_tokens=48,
        ),
        sft=SftConfig(enabled=True, target=tiny.sft_target, check_episodes=tiny.check_episodes),
        guidance=guidance_of(task),
        # The critic trains its head alone, and fast: returns of up to 10 would otherwise drown the other gradients.
        ppo=PPOConfig(clip=0.2, value_clip=0.0, value_gradient="stop", normalise_floor=1.0),
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


def guidance_of(task: str) -> GuidanceConfig:
    """How a game's episodes are corrected: a household's are cut by the game itself, never by the corrector (code)."""
    return GuidanceConfig(stop_early=task != "alfworld")


SCALES: Mapping[str, Callable[[str], Config]] = {"tiny": scale_tiny, "7b": scale_7b}


# -- methods ------------------------------------------------------------------------------------------------------


def rl4vlm_lambda(config: Config) -> float:
    """Weight of the thought's log-prob in the ratio as the code sets it for a game."""
    return ALFWORLD_LAMBDA if config.task.name == "alfworld" else RL4VLM_LAMBDA


def gtr(config: Config) -> Config:
    """Guided thought reinforcement: PPO on action tokens, cloning of corrected thoughts with DAgger (paper)."""
    return config


def reference(config: Config) -> Config:
    """GTR as its public code does it, slips included where they are a choice; for comparison with reported figures."""
    household = config.task.name == "alfworld"
    options = {**config.task.options, "match": "substring"} if household else config.task.options
    return replace(
        config,
        task=replace(config.task, loopholes=True, illegal="random", options=options),
        policy=replace(config.policy, repetition_penalty=1.2),
        guidance=replace(config.guidance, correct_malformed=False, forget_target=True),
        ppo=replace(
            config.ppo,
            thought_weight=rl4vlm_lambda(config),
            action_tokens="field",
            value_gradient="flow",
            format_reward=5.0,
            format_reward_in="return",
        ),
    )


def rl4vlm(config: Config) -> Config:
    """Plain PPO on thought and action, guided by the outcome alone (RL4VLM)."""
    return replace(
        config,
        guidance=replace(config.guidance, corrector="none"),
        ppo=replace(config.ppo, thought_weight=rl4vlm_lambda(config), action_tokens="field"),
    )


def sft_only(config: Config) -> Config:
    """Thought cloning without RL (paper's ablation)."""
    return replace(config, ppo=replace(config.ppo, policy_weight=0.0, value_weight=0.0))


def no_dagger(config: Config) -> Config:
    """GTR that forgets each rollout's corrections (paper's ablation: early gain, then it stalls)."""
    return replace(config, guidance=replace(config.guidance, memory="rollout"))


def clone_actions(config: Config) -> Config:
    """GTR that clones the corrector's action too (paper's ablation: worse)."""
    return replace(config, guidance=replace(config.guidance, clone="thought_and_action"))


def annealed_cloning(config: Config) -> Config:
    """GTR whose guidance fades out over the first half of the run (paper's ablation: collapse comes back)."""
    return replace(config, guidance=replace(config.guidance, anneal_updates=max(1, config.train.updates // 2)))


def judge_reward(config: Config) -> Config:
    """PPO on thought and action with a judge's score of each thought as a further reward (paper's ablation: fails)."""
    return replace(rl4vlm(config), guidance=replace(config.guidance, judge="score", stop_early=False))


def no_thought(config: Config) -> Config:
    """PPO on an agent that answers with the action alone (arXiv 2503.16188)."""
    return replace(
        config,
        task=replace(config.task, thought=False),
        guidance=replace(config.guidance, corrector="none"),
        ppo=replace(config.ppo, thought_weight=0.0),
    )


METHODS: Mapping[str, Callable[[Config], Config]] = {
    "gtr": gtr,
    "reference": reference,
    "rl4vlm": rl4vlm,
    "sft_only": sft_only,
    "no_dagger": no_dagger,
    "clone_actions": clone_actions,
    "annealed_cloning": annealed_cloning,
    "judge_reward": judge_reward,
    "no_thought": no_thought,
}


def build(method: str, task: str = "points24", scale: str = "tiny", updates: int | None = None) -> Config:
    """The settings of a method on a task at a scale; a run may still override any of them.

    `updates`, where given, is the run's length: a method may depend on it.

    Raises `ConfigError` naming the nearest right one for an unknown method, task or scale.
    """
    if method not in METHODS:
        raise ConfigError(f"unknown preset {method!r}: {nearest(method, METHODS)}")
    if scale not in SCALES:
        raise ConfigError(f"unknown scale {scale!r}: {nearest(scale, SCALES)}")
    if task not in TASKS and ":" not in task:
        raise ConfigError(
            f"unknown task {task!r}: {nearest(task, TASKS)}; or a Task of yours: package.module:Class or file.py:Class"
        )
    config = SCALES[scale](task)
    if updates is not None:
        config = replace(config, train=replace(config.train, updates=updates))
    config = replace(METHODS[method](config), preset=method)
    validate(config)
    return config

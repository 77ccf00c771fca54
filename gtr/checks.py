"""Settings that cannot work, found before anything is started: each message names the key, the value and the remedy."""

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gtr.config import Config, CorrectorConfig
from gtr.config_io import changed_keys, config_from_dict, config_keys, config_to_dict
from gtr.errors import ConfigError, PolicyError, nearest

AT_LEAST_ONE = (
    "policy.lora_rank",
    "policy.lora_alpha",
    "policy.max_new_tokens",
    "sft.max_steps",
    "sft.check_every",
    "sft.check_episodes",
    "sft.batch",
    "train.updates",
    "train.envs",
    "train.turns",
    "train.epochs",
    "train.minibatch",
    "train.accumulation",
    "train.eval_episodes",
    "train.threads",
    "report.turns_every",
    "report.keep_checkpoints",
    "corrector.max_tokens",
    "corrector.tool_rounds",
    "corrector.in_flight",
    "corrector.batch",
    "corrector.breaker",
)
NOT_NEGATIVE = (
    "seed",
    "sft.seed",
    "guidance.weight",
    "guidance.anneal_updates",
    "ppo.policy_weight",
    "ppo.value_weight",
    "ppo.value_clip",
    "ppo.entropy_weight",
    "ppo.format_reward",
    "train.lr_final",
    "train.weight_decay",
    "train.eval_every",
    "report.probe_turns",
    "corrector.temperature",
    "corrector.requests_per_minute",
    "corrector.tokens_per_minute",
    "corrector.retries",
    "corrector.patience",
)
ABOVE_ZERO = (
    "policy.temperature",
    "policy.repetition_penalty",
    "sft.lr",
    "ppo.clip",
    "ppo.normalise_floor",
    "train.lr",
    "train.adam_eps",
    "train.grad_norm",
    "corrector.timeout",
    "corrector.probe_seconds",
)
SHARES = (
    "corrector.ask_share",
    "sft.target",
    "sft.reading",
    "ppo.gamma",
    "ppo.gae_lambda",
    "ppo.thought_weight",
)
"""Keys whose value lies in 0..1, both ends allowed."""

BUILT_IN_MODELS = ("tiny-llava", "tiny-llava-next", "tiny-qwen2.5-vl")

LIMITS = (
    "device",
    "batch",
    "in_flight",
    "requests_per_minute",
    "tokens_per_minute",
    "timeout",
    "retries",
    "breaker",
    "probe_seconds",
    "patience",
    "when_down",
    "budget_usd",
    "at_budget",
    "price_in",
    "price_out",
    "key_env",
)
"""Settings of the corrector that say how much and how fast is asked, not what."""
MAY_CHANGE = (
    *("train.updates", "train.threads", "train.eval_every", "runs", "report."),
    *(f"corrector.{name}" for name in LIMITS),
)
"""Settings that a resumed run may change: they leave what was learnt so far as it is."""

SMALLEST_IMAGE = 32
SMALLEST_FLOAT = math.ulp(0.0)


def validate(config: Config) -> None:
    """Raises `ConfigError` for the first setting, or pair of settings, that cannot work."""
    config_from_dict(config_to_dict(config))
    for problem in _problems(config):
        raise ConfigError(problem)


def check_resume(begun: Config, asked: Config) -> None:
    """Raises `ConfigError` naming the settings that differ though a run that has begun must keep them."""
    frozen = [key for key in changed_keys(begun, asked) if not key.startswith(MAY_CHANGE)]
    if frozen:
        raise ConfigError(f"{', '.join(frozen)} cannot change in a run that has begun: start a new run instead")


def check_model(model: str) -> None:
    """PolicyError for what can be no model: asking a hub for a mistyped folder costs a minute without a network."""
    known = model in BUILT_IN_MODELS or Path(model).is_dir() or re.fullmatch(r"\w[\w.-]*/[\w.-]+", model)
    if not known:
        hint = nearest(model, BUILT_IN_MODELS)
        raise PolicyError(f"policy.model: '{model}' is no folder here and no hub id (owner/name). {hint}")


def setting(config: Config, key: str) -> Any:
    """The value of a dotted key such as ``train.minibatch``."""
    value: Any = config
    for name in key.split("."):
        value = getattr(value, name)
    return value


def _problems(config: Config) -> Iterator[str]:
    yield from _ranges(config)
    yield from _task(config)
    yield from _policy(config)
    yield from _corrector(config.corrector)
    yield from _together(config)


def _ranges(config: Config) -> Iterator[str]:
    for key in config_keys():
        value = setting(config, key)
        if isinstance(value, float) and not math.isfinite(value):
            yield f"{key} is {value}: give a finite number"
    for keys, lowest, highest, remedy in (
        (AT_LEAST_ONE, 1.0, math.inf, "give 1 or more"),
        (NOT_NEGATIVE, 0.0, math.inf, "give 0 or more"),
        (ABOVE_ZERO, SMALLEST_FLOAT, math.inf, "give more than 0"),
        (SHARES, 0.0, 1.0, "give a number from 0 to 1"),
    ):
        for key in keys:
            if not lowest <= setting(config, key) <= highest:
                yield f"{key} is {setting(config, key)}: {remedy}"


def _task(config: Config) -> Iterator[str]:
    task = config.task
    if not task.name.strip():
        yield "task.name is empty: give a game's name (`gtr tasks` lists them) or package.module:Class"
    if task.image_size < SMALLEST_IMAGE:
        yield f"task.image_size is {task.image_size}: give {SMALLEST_IMAGE} pixels or more, or nothing can be read"
    if task.hands is not None and task.hands < 1:
        yield f"task.hands is {task.hands}: give 1 or more hands, or None to deal freely"
    if task.max_turns is not None and task.max_turns < 1:
        yield f"task.max_turns is {task.max_turns}: give 1 or more turns, or None for the task's own limit"


def _policy(config: Config) -> Iterator[str]:
    policy, train = config.policy, config.train
    if not policy.model.strip():
        yield "policy.model is empty: give tiny-llava, a local folder or a hub id"
    if not 0 <= policy.lora_dropout < 1:
        yield f"policy.lora_dropout is {policy.lora_dropout}: give a number from 0 to below 1"
    if any(width < 1 for width in policy.value_hidden):
        yield f"policy.value_hidden is {policy.value_hidden}: every width must be 1 or more"
    if not all(0 <= beta < 1 for beta in train.adam_betas):
        yield f"train.adam_betas is {train.adam_betas}: give two numbers from 0 to below 1"


def _corrector(corrector: CorrectorConfig) -> Iterator[str]:
    if not corrector.model.strip():
        yield "corrector.model is empty: give the model's name at the server, for example gpt-4o"
    if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", corrector.key_env) or corrector.key_env.startswith("sk_"):
        yield (
            "corrector.key_env must be the *name* of an environment variable, for example OPENAI_API_KEY; what you "
            "gave is not shown here in case it is the key itself"
        )
    if corrector.base_url is not None and not re.fullmatch(r"https?://[^\s/@?]+(/[^\s@?]*)?", corrector.base_url):
        yield (
            "corrector.base_url must read like http://localhost:8000/v1, without a name, password or key in it "
            "(keys come from the environment variable that corrector.key_env names)"
        )
    for key in ("budget_usd", "price_in", "price_out"):
        value = getattr(corrector, key)
        if value is not None and not value >= 0:
            yield f"corrector.{key} is {value}: give 0 or more, or None"


def _together(config: Config) -> Iterator[str]:
    """Settings that are right alone and wrong together."""
    train, ppo, guidance = config.train, config.ppo, config.guidance
    turns = train.envs * train.turns
    if train.minibatch > turns:
        yield (
            f"train.minibatch is {train.minibatch}, but an update has only train.envs x train.turns = {turns} turns: "
            f"give {turns} or less"
        )
    if train.lr_final > train.lr:
        yield f"train.lr_final is {train.lr_final}, above train.lr {train.lr}: give {train.lr} or less"
    if train.value_lr is not None and train.value_lr <= 0:
        yield f"train.value_lr is {train.value_lr}: give more than 0, or None for train.lr"
    guided = guidance.corrector != "none"
    if guided and not config.task.thought:
        yield (
            f"guidance.corrector is {guidance.corrector!r}, but task.thought is False, so there is no thought to "
            "correct: set guidance.corrector none"
        )
    if guidance.judge != "off" and not guided:
        yield (
            f"guidance.judge is {guidance.judge}, but guidance.corrector is none: name who judges, "
            "guidance.corrector oracle, chat or local"
        )
    local = guidance.corrector == "local"
    for key, known in (("structured", ("auto", "prompt")), ("tools", ("auto", "prompt", "off"))):
        asked = setting(config, f"corrector.{key}")
        if local and asked not in known:
            yield (
                f"corrector.{key} is {asked}, which takes a server, but guidance.corrector is local: "
                f"set corrector.{key} to {' or '.join(known)}"
            )
    learns_by_ppo = ppo.policy_weight > 0 or ppo.value_weight > 0 or ppo.entropy_weight > 0
    if not learns_by_ppo and not (guided and guidance.weight > 0 and guidance.judge == "off"):
        yield (
            "ppo.policy_weight, ppo.value_weight and ppo.entropy_weight are 0 and nothing is cloned "
            f"(guidance.corrector {guidance.corrector}, guidance.weight {guidance.weight}): nothing would be learnt; "
            "set ppo.policy_weight 1 or guidance.corrector oracle with guidance.weight 1"
        )

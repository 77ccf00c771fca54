"""Settings that are right alone and wrong together, and those that a run which has begun must keep.

What a setting may be by itself stands at its field; `gtr.config.reading` holds it to that.
"""

import re
from collections.abc import Iterator
from dataclasses import asdict, fields
from urllib.parse import urlsplit

from gtr.config import Config, CorrectorConfig
from gtr.config.io import changed_keys, settings_of
from gtr.config.reading import read
from gtr.config.section import Section, is_path
from gtr.errors import ConfigError

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
SERVING = ("servers", "exchange", "in_flight", "timeout", "sync_timeout", "retries", "patience", "tolerance")
"""Settings of the engine that say where and how fast is sampled, not what."""
MAY_CHANGE = (
    *("train.updates", "train.threads", "train.eval_every", "train.shard", "runs", "report.", "algo.teacher"),
    *(f"corrector.{name}" for name in LIMITS),
    *(f"engine.{name}" for name in SERVING),
)
"""Settings that a resumed run may change: they leave what was learnt so far as it is."""
LABEL = r"(?!xn--)[\w-]{1,63}"
"""Of a name on the network. What stands for other letters than these (xn--) is refused: libraries stumble over it."""
HOST = re.compile(rf"{LABEL}(\.{LABEL})*\.?|[0-9a-f.]*:[0-9a-f:.]+", re.ASCII)


def validate(config: Config) -> None:
    """Raises `ConfigError` for the first setting, or pair of settings, that cannot work."""
    for one in fields(config):
        if isinstance(section := getattr(config, one.name), Section):
            read(type(section), asdict(section), f"{one.name}.")
    read(Config, {key: value for key, value in settings_of(config).items() if "." not in key})
    for problem in _problems(config):
        raise ConfigError(problem)


def check_resume(begun: Config, asked: Config) -> None:
    """Raises `ConfigError` naming the settings that differ though a run that has begun must keep them."""
    frozen = [key for key in changed_keys(begun, asked) if not key.startswith(MAY_CHANGE)]
    if frozen:
        raise ConfigError(f"{', '.join(frozen)} cannot change in a run that has begun: start a new run instead")


def _problems(config: Config) -> Iterator[str]:
    yield from _name(config.name)
    yield from _corrector(config.corrector)
    yield from _engine(config)
    yield from _quantised(config)
    yield from _together(config)


def _engine(config: Config) -> Iterator[str]:
    engine, policy = config.engine, config.policy
    teacher = str(settings_of(config).get("algo.teacher", ""))
    named = [("engine.servers", one) for one in engine.servers]
    for key, address in [*named, *([("algo.teacher", teacher)] if "://" in teacher else [])]:
        if not (re.fullmatch(r"https?://[^/]+(/v1)?/?", address) and _is_address(address)):
            yield f"{key} holds {address!r}: write addresses like http://127.0.0.1:8000"
    if engine.max_staleness and engine.name == "local":
        yield (
            f"engine.max_staleness is {engine.max_staleness}, but engine.name is local, which samples by the very "
            "weights that learn: set engine.name vllm, or engine.max_staleness 0"
        )
    language = policy.finetune == "lora" and policy.lora_target == "language"
    if engine.name == "vllm" and engine.sync == "adapter" and not language:
        yield (
            f"engine.sync is adapter, but policy.finetune is {policy.finetune} and policy.lora_target "
            f"{policy.lora_target}: set lora and language, or engine.sync full"
        )


def _quantised(config: Config) -> Iterator[str]:
    if not config.policy.load_in_4bit:
        return
    if config.policy.finetune != "lora":
        yield "policy.load_in_4bit is True, but weights of 4 bits cannot be trained: set policy.finetune lora"
    if config.train.shard != "none":
        yield (
            f"policy.load_in_4bit is True, but train.shard {config.train.shard} cannot share packed weights out: set "
            "train.shard none, where each process holds all of them"
        )
    if config.engine.name == "vllm" and config.engine.sync == "full":
        yield (
            "policy.load_in_4bit is True, but engine.sync full hands over whole weights, and packed ones are none: set "
            "engine.sync adapter and policy.lora_target language, with servers of the same base, or engine.name local"
        )


def _name(name: str | None) -> Iterator[str]:
    if name is not None and (name in (".", "..") or not re.fullmatch(r"[^/\\\0-\x1f]{1,200}", name)):
        yield f"name is {name[:80]!r}: give the name of a folder below `runs`, without / and of at most 200 letters"


def _corrector(corrector: CorrectorConfig) -> Iterator[str]:
    if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", corrector.key_env) or corrector.key_env.startswith("sk_"):
        yield (
            "corrector.key_env must be the *name* of an environment variable, for example OPENAI_API_KEY; what you "
            "gave is not shown here in case it is the key itself"
        )
    if corrector.base_url is not None and not _is_address(corrector.base_url):
        yield (
            "corrector.base_url must read like http://localhost:8000/v1, without a name, password or key in it "
            "(keys come from the environment variable that corrector.key_env names)"
        )


def _is_address(text: str) -> bool:
    """Whether a server can be asked at an address."""
    try:
        found = urlsplit(text)
        host = HOST.fullmatch(found.hostname or "")
        return host is not None and found.port != 0 and bool(re.fullmatch(r"https?://[^@?#\s]+", text, re.ASCII))
    except ValueError:
        return False


def _together(config: Config) -> Iterator[str]:
    """Settings that are right alone and wrong together."""
    train, guidance = config.train, config.guidance
    turns = train.envs * train.turns
    if train.minibatch > turns:
        yield (
            f"train.minibatch is {train.minibatch}, but an update has only train.envs x train.turns = {turns} turns: "
            f"give {turns} or less"
        )
    if train.lr_final > train.lr:
        yield f"train.lr_final is {train.lr_final}, above train.lr {train.lr}: give {train.lr} or less"
    guided = guidance.corrector != "none"
    if guided and not config.task.thought:
        yield (
            f"guidance.corrector is {guidance.corrector!r}, but task.thought is False, so there is no thought to "
            "correct: set guidance.corrector none"
        )
    if guidance.judge != "off" and not guided:
        yield (
            f"guidance.judge is {guidance.judge}, but guidance.corrector is none: name who judges, "
            "guidance.corrector oracle, noisy, chat or local"
        )
    if guidance.judge != "off" and is_path(guidance.corrector):
        yield (
            f"guidance.judge is {guidance.judge}, but guidance.corrector is a class of yours, {guidance.corrector}: "
            "let oracle, noisy, chat or local judge, or set guidance.judge off"
        )
    errs = [key for key in ("spoil", "miss", "wrong", "wrong_action") if getattr(config.noise, key)]
    if errs and guidance.corrector != "noisy":
        yield (
            f"noise.{errs[0]} is {getattr(config.noise, errs[0])}, but guidance.corrector is {guidance.corrector}, "
            "which it says nothing about: set guidance.corrector noisy"
        )
    local = guidance.corrector == "local"
    for key, known in (("structured", ("auto", "prompt")), ("tools", ("auto", "prompt", "off"))):
        asked = settings_of(config)[f"corrector.{key}"]
        if local and asked not in known:
            yield (
                f"corrector.{key} is {asked}, which takes a server, but guidance.corrector is local: "
                f"set corrector.{key} to {' or '.join(known)}"
            )
    flat = settings_of(config)
    learns = flat.get("algo.policy_weight", 1) or flat.get("algo.value_weight") or flat.get("algo.entropy_weight")
    if not learns and not (guided and guidance.weight > 0 and guidance.judge == "off"):
        yield (
            "algo.policy_weight, algo.value_weight and algo.entropy_weight are 0 and nothing is cloned "
            f"(guidance.corrector {guidance.corrector}, guidance.weight {guidance.weight}): nothing would be learnt; "
            "set algo.policy_weight 1 or guidance.corrector oracle with guidance.weight 1"
        )
    group = flat.get("algo.group", 1)
    if train.envs % group:
        yield (
            f"train.envs is {train.envs}, but algo.group {group} deals each start state to so many environments: give "
            f"a multiple of {group}"
        )

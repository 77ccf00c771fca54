"""Presets: an algorithm with its settings, on a game, at a scale. Importing this file imports no torch.

    build("rl4vlm", task="ezpoints", scale="tiny")   ->   Config

`METHODS` say by which algorithm an agent is trained and with which of its settings changed, `gtr.config.scales` what
agent on what machine; what a game needs, it says itself (`gtr.tasks.defaults`). Any preset may be followed by
``+gtr``: the same beside GTR's guidance. Sources: "paper" is arXiv 2503.08525, "code" its public code, "RL4VLM"
arXiv 2405.10292.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from gtr import algo, tasks
from gtr.config import AlgoConfig, Config
from gtr.config.checks import validate
from gtr.config.files import over, read_file
from gtr.config.io import CODE, check_code
from gtr.config.scales import SCALES, algorithm_at
from gtr.config.section import is_path
from gtr.errors import ConfigError, nearest
from gtr.tasks.defaults import Published


def published(config: Config) -> Published:
    """How the paper's code plays the config's game."""
    return tasks.find(config.task.name).published


def _algo(config: Config, **values: Any) -> AlgoConfig:
    """The algorithm's settings with some changed, which it must have."""
    known = {one.name for one in fields(config.algo)}
    for key in values:
        if key not in known:
            raise ConfigError(f"the preset sets algo.{key}, which {config.algo.name} does not have: choose another")
    return replace(config.algo, **values)


def reference(config: Config) -> Config:
    """GTR as its public code does it, slips included where they are a choice (docs/REFERENCE.md has each)."""
    code, own = published(config), type(config.task)()
    # A scale that plays another game than the paper's has its reasons.
    rules = {key: value for key, value in code.reference.items() if getattr(config.task, key) == getattr(own, key)}
    return replace(
        config,
        task=replace(config.task, illegal="lenient", **rules),
        policy=replace(config.policy, repetition_penalty=1.2, penalised="reply", tiles="one"),
        train=replace(config.train, lr_updates=25, clip_together=True),
        guidance=replace(
            config.guidance, correct_malformed=False, forget_target=True, draw="turns", stop_on=code.stop_on
        ),
        algo=_algo(
            config,
            thought_weight=code.thought_weight,
            action_tokens="field",
            value_gradient="flow",
            value_weight=0.25,
            ratio_cap=10.0,
            truncated_is=code.truncated_is,
            format_reward=5.0,
            format_reward_in="return",
        ),
    )


def rl4vlm(config: Config) -> Config:
    """Plain PPO on thought and action, guided by the outcome alone, with the game's lambda (RL4VLM)."""
    return replace(config, algo=_algo(config, thought_weight=published(config).thought_weight))


def sft_only(config: Config) -> Config:
    """Thought cloning without RL (paper's ablation)."""
    return replace(config, algo=_algo(config, policy_weight=0.0, value_weight=0.0))


def no_dagger(config: Config) -> Config:
    """GTR that forgets each rollout's corrections (paper's ablation: early gain, then it stalls)."""
    return replace(config, guidance=replace(config.guidance, memory="rollout"))


def clone_actions(config: Config) -> Config:
    """GTR that clones the corrector's action too (paper's ablation: worse)."""
    return replace(config, guidance=replace(config.guidance, clone="thought_and_action"))


def announced_actions(config: Config) -> Config:
    """GTR that also clones the action that each corrected thought announces: actions learn to follow thoughts."""
    return replace(config, guidance=replace(config.guidance, clone="announced_action"))


def annealed_cloning(config: Config) -> Config:
    """GTR whose guidance fades out over the first half of the run (paper's ablation: collapse comes back)."""
    return replace(config, guidance=replace(config.guidance, anneal_updates=max(1, config.train.updates // 2)))


def judge_reward(config: Config) -> Config:
    """PPO on thought and action with a judge's score of each thought as a further reward (paper's ablation: fails)."""
    guidance = replace(config.guidance, corrector="oracle", judge="score", stop_early=False)
    return replace(rl4vlm(config), guidance=guidance)


def length_reward(config: Config) -> Config:
    """PPO on thought and action with a reward for long thoughts (paper's ablation: fails)."""
    return replace(rl4vlm(config), algo=_algo(rl4vlm(config), length_reward=1.0))


def stops_only(config: Config) -> Config:
    """GTR whose corrector ends episodes and teaches nothing: the control that tells its stops from its corrections."""
    return replace(config, guidance=replace(config.guidance, weight=0.0))


def no_thought(config: Config) -> Config:
    """PPO on an agent that answers with the action alone (arXiv 2503.16188)."""
    return replace(config, task=replace(config.task, thought=False))


def turbo_kl_unclipped(config: Config) -> Config:
    """Turbo-KL by the plain difference of log-probabilities (its paper's ablation: bad)."""
    return replace(rl4vlm(config), algo=_algo(rl4vlm(config), divergence="k1"))


def turbo_kl_per_token(config: Config) -> Config:
    """Turbo-KL as its author's later port has it: per token of the whole reply, off the advantage, not clipped."""
    return replace(
        config,
        algo=_algo(config, per_token=True, divergence="k1", tokens="all", ratio="token", thought_weight=1.0),
    )


def turbo_kl_base(config: Config) -> Config:
    """Turbo-KL whose teacher stays the agent of the start (its paper's ablation: no gain)."""
    return replace(rl4vlm(config), algo=_algo(rl4vlm(config), teacher="base"))


def turbo_hybrid(config: Config) -> Config:
    """GTR's corrector on a quarter of the turns, the merged teacher's thoughts on the others."""
    guidance = replace(config.guidance, corrector="oracle")
    return replace(config, guidance=guidance, corrector=replace(config.corrector, ask_share=0.25))


def rejection_sft(config: Config) -> Config:
    """SFT on the agent's own won episodes, and nothing else (GTR-Turbo's ablation: fails)."""
    return replace(rl4vlm(config), algo=_algo(rl4vlm(config), rl_updates=0))


@dataclass(frozen=True)
class Preset:
    """A row of `METHODS`."""

    algo: str
    """Its algorithm."""
    change: Callable[[Config], Config] = lambda config: config
    """What it changes in that algorithm's settings."""
    whole_rollouts: bool = False
    """At the paper's scale, plays no more than the published environment steps, rounded down to whole rollouts."""


METHODS: Mapping[str, Preset] = {
    **{name: Preset(name) for name in algo.ALGORITHMS},
    "rl4vlm": Preset("rl4vlm", rl4vlm),
    "iterate": Preset("iterate", rl4vlm),
    "rejection_sft": Preset("iterate", rejection_sft),
    "turbo_kl": Preset("turbo_kl", rl4vlm),
    "turbo_kl_unclipped": Preset("turbo_kl", turbo_kl_unclipped),
    "turbo_kl_per_token": Preset("turbo_kl", turbo_kl_per_token),
    "turbo_kl_base": Preset("turbo_kl", turbo_kl_base),
    "turbo_hybrid": Preset("turbo_sft", turbo_hybrid),
    "reference": Preset("gtr", reference, whole_rollouts=True),
    "sft_only": Preset("gtr", sft_only),
    "no_dagger": Preset("gtr", no_dagger),
    "clone_actions": Preset("gtr", clone_actions),
    "announced_actions": Preset("gtr", announced_actions),
    "annealed_cloning": Preset("gtr", annealed_cloning),
    "stops_only": Preset("gtr", stops_only),
    "judge_reward": Preset("rl4vlm", judge_reward),
    "length_reward": Preset("rl4vlm", length_reward),
    "no_thought": Preset("ppo", no_thought),
}
GUIDED = "+gtr"
"""After a preset's name: beside the guidance of GTR."""


def build(method: str, task: str = tasks.DEFAULT, scale: str = "tiny", updates: int | None = None) -> Config:
    """The settings of a method on a task at a scale; a run may still override any of them.

    `updates`, where given, is the run's length: a method may depend on it.

    Raises:
        ConfigError: an unknown method, task or scale; the message names the nearest right one.
        TaskError: a task of the user's own that cannot be imported.
    """
    config = _built(method, task, scale, updates)
    validate(config)
    return config


def _built(method: str, task: str, scale: str, updates: int | None, algorithm: str | None = None) -> Config:
    base = method.removesuffix(GUIDED)
    if base not in METHODS and algorithm is None:
        raise ConfigError(f"unknown preset {method!r}: {nearest(base, METHODS)}; {GUIDED} after it guides its thoughts")
    if scale not in SCALES:
        raise ConfigError(f"unknown scale {scale!r}: {nearest(scale, SCALES)}")
    if task not in tasks.TASKS and not is_path(task):
        raise ConfigError(f"unknown task {task!r}: {tasks.hint(task)}")
    row = METHODS.get(base, Preset(algorithm or base))
    name = algorithm or row.algo
    config = SCALES[scale](task)
    if updates is None and row.whole_rollouts and scale != "tiny":
        updates = published(config).steps // published(config).turns_per_update
    if updates is not None:
        config = replace(config, train=replace(config.train, updates=updates))
    guided = algo.find(row.algo).guided or method != base
    guidance = replace(config.guidance, corrector="oracle" if guided else "none")
    config = row.change(replace(config, algo=algorithm_at(name, scale), guidance=guidance))
    return replace(config, preset=method)


def preset(
    method: str | None = None,
    task: str | None = None,
    scale: str = "tiny",
    file: Path | str | None = None,
    code: Collection[str] = (),
    algo: str | None = None,
    **settings: Any,
) -> Config:
    """A preset, over it the settings of a file, over that those given by dotted keys.

        preset("gtr", "ezpoints", **{"train.updates": 3, "algo.clip": 0.2})
        preset(file="runs/gtr-ezpoints-1/config.json", seed=2)

    Args:
        method: by default the file's, else ``gtr``.
        task: by default the file's, else `gtr.tasks.DEFAULT`.
        scale: a key of `SCALES`.
        file: TOML, YAML or JSON, whole or in part; a run's ``config.json`` too.
        algo: an algorithm in place of the preset's: a built-in name, or the import path of your own.
        code: import paths of classes of the user's own that the file names: it is data, and runs none by itself. Those
            that are named here, as `task` or among the settings, need no such leave.

    Raises:
        ConfigError: an unknown name or key, or a value that cannot work.
        TaskError: a task of the user's own that cannot be imported.
    """
    values = {} if file is None else read_file(Path(file))
    given = _tables(settings)
    named = [*code, *(str(one) for one in (task, algo, *settings.values()) if isinstance(one, str))]
    check_code({key: setting_in(values, key) for key in CODE}, named, file)
    other = algo or setting_in(values, "algo.name")
    method = str(method or setting_in(values, "preset") or (_label(algo) if algo else "gtr"))
    task = str(task or setting_in(values, "task.name") or tasks.DEFAULT)
    lengths = [setting_in(one, "train.updates") for one in (given, values)]
    config = _built(method, task, scale, next((one for one in lengths if isinstance(one, int)), None), other)
    if file is not None:
        try:
            config = over(config, {**_named(values, "task", task), "preset": method}, named)
        except ConfigError as error:
            raise ConfigError(f"{file}: {error}") from error
    config = over(config, given, named)
    validate(config)
    return config


def _named(values: Mapping[str, Any], section: str, name: str) -> Mapping[str, Any]:
    """The file's tables, those of a section under the name that was chosen."""
    own = values.get(section, {})
    return {**values, section: {**own, "name": name}} if isinstance(own, Mapping) else values


def _label(algorithm: str) -> str:
    """An algorithm's name as a preset's: of an import path the class."""
    return algorithm.rpartition(":")[2].lower()


def _tables(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted keys as nested tables."""
    tables: dict[str, Any] = {}
    for key, value in settings.items():
        section, _, name = key.rpartition(".")
        (tables.setdefault(section, {}) if section else tables)[name] = value
    return tables


def setting_in(values: Mapping[str, Any], key: str) -> Any:
    """A setting in tables by its dotted key; None where it is not there."""
    found: Any = values
    for part in key.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found

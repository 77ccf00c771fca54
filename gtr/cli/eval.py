"""``gtr eval``: agents on a fixed panel of start states, one row each."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Annotated

import tyro
from annotated_types import Ge, Le
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress

from gtr import tasks
from gtr.agents import API_AGENTS
from gtr.cli.argv import Scale, check_file, check_folder, flag_value, leading, named_code, parse
from gtr.config import Config, CorrectorConfig, PolicyConfig, TaskConfig
from gtr.config.checks import validate
from gtr.config.io import check_code
from gtr.config.presets import build
from gtr.config.section import Seed
from gtr.errors import ConfigError
from gtr.policy.models import check_model
from gtr.report.folder import read_config

PLAYERS = ("random", "expert")


@dataclass(frozen=True)
class Overrides:
    """The sections of a Config that an evaluation may change."""

    task: TaskConfig = field(default_factory=TaskConfig)
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    corrector: CorrectorConfig = field(default_factory=CorrectorConfig)


@dataclass(frozen=True)
class EvalOptions:
    """Play a fixed panel of start states, untruncated, and print one row per agent."""

    agents: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="AGENT [AGENT ...]")] = ()
    """Run folders, models (a local folder or a hub id), random, expert, or a model behind an
    OpenAI-compatible API: openai:MODEL, and openai+tool:MODEL with the task's tools; set by corrector.*."""
    task: str = tasks.DEFAULT
    """The game; by default that of the first run folder among the agents. A game of your own must be named here: its
    code is run."""
    scale: Scale = "tiny"
    """Settings for agents that are not run folders."""
    split: tuple[str, ...] = ("same",)
    """Panels, a table each: as trained (same), or the game's other splits, such as new-look; `gtr tasks` lists them."""
    episodes: Annotated[int, Ge(1), Le(1_000_000)] = 100
    """Start states in the panel."""
    seed: Seed = 0
    """Seed of the panel and of sampling."""
    greedy: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Take the likeliest token (the default)."""
    sample: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Sample at the agent's temperature instead."""
    json: Path | None = None
    """Also write the results to this file."""
    out: Path = Path("runs/evals")
    """Folder in which what was played is kept, a folder for each agent, to look at with `gtr show`."""
    overrides: Annotated[Overrides, tyro.conf.arg(name=""), tyro.conf.FlagConversionOff] = field(
        default_factory=Overrides
    )


def evaluate(arguments: Sequence[str]) -> None:
    """AGENT ...              success of runs, models, random, expert on a fixed panel"""
    chosen, configs = parse_eval(arguments)
    from gtr.evaluate import evaluate as play
    from gtr.evaluate import print_table, write_json

    results = []
    for split, (agent, config) in product(chosen.split, zip(chosen.agents, configs, strict=True)):
        with episodes_played(f"{agent}, {split}", chosen.episodes) as ended:
            how = (split, chosen.episodes, chosen.seed, not chosen.sample, chosen.out, ended)
            results.append(play(agent, config, *how))
    print_table(results)
    print(f"look at what was played with: gtr show {chosen.out}")
    if chosen.json is not None:
        write_json(results, chosen.json)


@contextmanager
def episodes_played(agent: str, total: int) -> Iterator[Callable[[], object]]:
    """Shows how many episodes an agent has played; what it gives is called after each."""
    console = Console(stderr=True)
    if not console.is_terminal:
        console.print(f"playing {total} episodes: {agent}", markup=False, highlight=False, soft_wrap=True)
    with Progress(*Progress.get_default_columns(), console=console, disable=not console.is_terminal) as bar:
        row = bar.add_task(escape(agent), total=total)
        yield lambda: bar.advance(row)


def parse_eval(arguments: Sequence[str]) -> tuple[EvalOptions, list[Config]]:
    """The options of ``gtr eval``, and for each agent the settings to play with: its own, on the common task."""
    names, named = leading(arguments), named_code(arguments)
    if not names and not {"-h", "--help"} & set(arguments):
        raise ConfigError("write the agents first: gtr eval AGENT [AGENT ...]: run folders, models, random, expert")
    own = {name: read_config(Path(name), named) for name in names if _is_run(Path(name))}
    for name in names:
        if name not in PLAYERS and not name.startswith(API_AGENTS):
            check_model(name, "gtr eval", ConfigError)
    base = _base(arguments, own)
    check_code({"task.name": base.task.name}, named, names[0] if names else "the command")
    default = EvalOptions(tuple(names), base.task.name, overrides=Overrides(base.task, base.policy, base.corrector))
    options = parse(EvalOptions, arguments, default, "eval", flags=True)
    if options.greedy and options.sample:
        raise ConfigError("--greedy and --sample exclude each other: give one")
    changed = options.overrides
    if changed.task.name != base.task.name:
        raise ConfigError(f"--task.name {changed.task.name}: choose the game by --task")
    if not options.split:
        raise ConfigError("--split is empty: name one of the game's splits, or leave it out")
    for split in options.split:
        tasks.load(changed.task).for_split(split)
    check_file("--json", options.json)
    check_folder("--out", options.out)
    configs = [_with(own.get(name, base), changed, base) for name in options.agents]
    for config in configs:
        validate(config)
    for name in options.agents:
        if name not in own and name not in ("random", "expert") and not name.startswith("openai"):
            check_model(name)
    return options, configs


def _is_run(folder: Path) -> bool:
    """A model's folder has a config.json too; a run's has a checkpoints folder beside it."""
    return os.path.isfile(folder / "config.json") and os.path.isdir(folder / "checkpoints")


def _base(arguments: Sequence[str], own: Mapping[str, Config]) -> Config:
    """The settings under what the user wrote: the first run's own, on another game if --task names one."""
    task, run = flag_value(arguments, "--task"), next(iter(own.values()), None)
    if run is not None and task in (None, run.task.name):
        return run
    fresh = build("gtr", task or tasks.DEFAULT, flag_value(arguments, "--scale") or "tiny")
    if run is None:
        return fresh
    seen = run.task
    there = replace(fresh.task, prompt=seen.prompt, image_size=seen.image_size, thought=seen.thought)
    return replace(run, task=there)


def _with(own: Config, changed: Overrides, base: Config) -> Config:
    """An agent's own policy settings, unless the user changed them, on the task all agents share."""
    policy = own.policy if changed.policy == base.policy else changed.policy
    return replace(own, task=changed.task, policy=policy, corrector=changed.corrector)

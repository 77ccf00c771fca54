"""``gtr train`` and ``gtr sft``: a preset, over it a file, over that the flags; or a run that goes on."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import tyro

from gtr import tasks
from gtr.cli.argv import Scale, check_folder, flag_value, is_flag, named_code, parse
from gtr.config import Config
from gtr.config.checks import check_resume, validate
from gtr.config.io import changed, check_code, config_to_dict, settings_of
from gtr.config.presets import METHODS, preset
from gtr.config.section import is_path
from gtr.errors import ConfigError, nearest
from gtr.guidance import corrector_class
from gtr.policy.models import check_model
from gtr.report.files import encode
from gtr.report.folder import read_config, run_name
from gtr.report.trackers import require

DRY_RUN = "--dry-run"


@dataclass(frozen=True)
class TrainOptions:
    """Train an agent: `gtr train PRESET`, or go on with a run: `gtr train --resume RUN_FOLDER`.

    With --dry-run nothing is trained: the plan is told, and all settings are printed as a file for --config.
    """

    method: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="PRESET")] = "gtr"
    """An algorithm (gtr, rl4vlm, ppo, grpo, rloo, gspo, reinforce_pp, dapo, gigpo, hgpo, starpo_s, vl_dac, bilevel_gae,
    turn_ppo), a teacher (turbo_kl, turbo_sft, turbo_hybrid, opd; turbo_kl_unclipped, turbo_kl_per_token,
    turbo_kl_base), the agent's own best episodes (iterate, rejection_sft), GTR as its code does it (reference), an
    ablation (sft_only, no_dagger, clone_actions, announced_actions, annealed_cloning, stops_only, judge_reward,
    length_reward, no_thought), or any of them beside GTR's guidance, such as grpo+gtr; with --config, by default the
    file's."""
    task: str = tasks.DEFAULT
    """The game, which chooses the preset's defaults and the flags --task.*: one of `gtr tasks`, or the import path of a
    Task of yours (package.module:Class, file.py:Class)."""
    algo: str | None = None
    """An algorithm in place of the preset's, which brings the flags --algo.*: a name, or the import path of an
    Algorithm of yours (package.module:Class, file.py:Class)."""
    scale: Scale = "tiny"
    """A tiny agent on CPU cores, or the paper's settings on a large GPU."""
    file: Annotated[Path | None, tyro.conf.arg(name="config", metavar="FILE")] = None
    """Settings in a file (.toml, .yaml, .json), over the preset's and under the flags; also a run's config.json."""
    resume: Path | None = None
    """Run folder to go on with; its settings are kept, but --train.updates may be raised."""
    config: Annotated[Config, tyro.conf.arg(name="")] = field(default_factory=Config)


@dataclass(frozen=True)
class SftOptions(TrainOptions):
    """Make the agent that `gtr train` with the same settings starts from, by supervised fine-tuning on the game's
    expert, and print the folder it is kept in."""

    resume: Annotated[Path | None, tyro.conf.Suppress] = None


def train(arguments: Sequence[str]) -> None:
    """PRESET ...             train an agent, or go on with --resume RUN_FOLDER"""
    words = [word for word in arguments if word != DRY_RUN]
    chosen = parse_train(words)
    check_begin(chosen)
    if len(words) < len(arguments):
        print(plan(chosen), file=sys.stderr)
        print(encode(config_to_dict(chosen.config), indent=2).decode(), end="")
        return
    from gtr.train import train as run

    folder = run(chosen.config, chosen.resume)
    print(f"{folder}\nlook at it with: gtr show {folder}\nevaluate it with: gtr eval {folder}")


def plan(chosen: TrainOptions) -> str:
    """What a run with these settings would do, in a few lines."""
    config, loop = chosen.config, chosen.config.train
    turns, guide = loop.envs * loop.turns, config.guidance.corrector
    start = f"SFT of {config.policy.model}" if config.sft.enabled else config.policy.model
    where = chosen.resume or Path(config.runs) / run_name(config)
    batch = loop.minibatch * loop.accumulation
    steps = -(-turns * loop.epochs // batch)
    every = f", and every {loop.eval_every} updates" if loop.eval_every else ""
    return "\n".join(
        [
            f"folder     {where}" + ("" if chosen.resume else ", numbered on where it is taken"),
            f"task       {config.task.name}, pictures of {config.task.image_size} pixels",
            f"start      {start}" if chosen.resume is None else "start      the last checkpoint",
            f"method     {config.algo.name}, thoughts corrected by {guide}",
            f"updates    {loop.updates} of {turns} turns: {loop.updates * turns:,} turns by one process",
            f"learning   {loop.epochs} epochs, at most {steps} optimiser steps of {batch} turns",
            f"panel      {loop.eval_episodes} starts at the start and the end{every}",
        ]
    )


def sft(arguments: Sequence[str]) -> None:
    """PRESET ...             make the agent that training starts from, and print where it is"""
    chosen = parse_train(arguments, command="sft")
    check_begin(chosen)
    from gtr.sft import initialise

    print(initialise(chosen.config))


def parse_train(
    arguments: Sequence[str], command: str = "train", said: Mapping[str, object] | None = None
) -> TrainOptions:
    """The options of ``gtr train`` and ``gtr sft``, with the preset's defaults under what the user wrote.

    `said` are the settings that the flags give, where they were read before: reading flags takes its time. Raises
    `GtrError`; a key that does not exist ends the program with a message naming the nearest right one.
    """
    resume = flag_value(arguments, "--resume")
    default = _begun(arguments, Path(resume)) if resume is not None and command == "train" else _new(arguments, command)
    kind = TrainOptions if command == "train" else SftOptions
    begun = kind(**vars(default))
    if said is None:
        options = parse(kind, arguments, begun, command)
    else:
        options = replace(begun, config=changed(begun.config, said))
    config = options.config
    if config.task.name != default.task:
        raise ConfigError(f"--task.name {config.task.name}: choose the game by --task, which brings its settings along")
    if config.algo.name != default.config.algo.name:
        raise ConfigError(f"--algo.name {config.algo.name}: choose it by --algo, which brings its settings along")
    if options.resume is not None:
        check_resume(default.config, config)
    validate(config)
    if options.resume is None:
        check_folder("--runs", Path(config.runs) / (config.name or ""))
    require(config.report.trackers)
    return options


def check_begin(options: TrainOptions) -> None:
    """Raises `GtrError` for a task, a corrector or a model that is not there, before anything heavy begins."""
    config = options.config
    tasks.load(config.task).ready()
    if is_path(config.guidance.corrector):
        corrector_class(config.guidance.corrector)
    if options.resume is None:
        check_model(config.policy.model)


def _new(arguments: Sequence[str], command: str) -> TrainOptions:
    """The defaults of a new run: the preset's, and over them the file's."""
    path = flag_value(arguments, "--config")
    file = None if path is None else Path(path)
    method = arguments[0] if arguments and not is_flag(arguments[0]) else None
    algo = flag_value(arguments, "--algo")
    if method is None and file is None and algo is None and not {"-h", "--help"} & set(arguments):
        raise ConfigError(f"write the preset first: gtr {command} PRESET ... . {nearest('', METHODS)}")
    length = flag_value(arguments, "--train.updates") or ""
    known = {"train.updates": int(length)} if length.isdecimal() and len(length) < 9 else {}
    task, scale = flag_value(arguments, "--task"), flag_value(arguments, "--scale") or "tiny"
    base = preset(method, task, scale, file, named_code(arguments), algo, **known)
    return TrainOptions(base.preset, base.task.name, algo, "tiny", file, None, base)


def _begun(arguments: Sequence[str], folder: Path) -> TrainOptions:
    """The settings of a run that goes on."""
    named = named_code(arguments)
    base = read_config(folder, named)
    check_code(settings_of(base), named, folder)
    if not is_flag(arguments[0]):
        raise ConfigError(f"--resume goes on with the preset of {folder} ({base.preset}): leave out {arguments[0]!r}")
    for flag, own in {"--task": base.task.name, "--algo": base.algo.name, "--scale": "", "--config": ""}.items():
        word = flag_value(arguments, flag)
        if word is not None and not (is_path(word) and word == own):
            raise ConfigError(f"--resume goes on with the settings of {folder}: leave out {flag}")
    return TrainOptions(base.preset, base.task.name, flag_value(arguments, "--algo"), "tiny", None, folder, base)

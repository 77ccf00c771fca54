"""From the words of a command line to its options and settings, checked before anything heavy begins."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import tyro

from gtr import tasks
from gtr.checks import check_model, check_resume, validate
from gtr.config import Config
from gtr.errors import ConfigError, nearest
from gtr.options import (
    CompareOptions,
    CorrectorEvalOptions,
    CorrectorRooms,
    EvalOptions,
    Overrides,
    PlayOptions,
    ShowOptions,
    TrainOptions,
    train_words,
)
from gtr.presets import METHODS, TASKS, build
from gtr.report.folder import read_config
from gtr.report.trackers import require
from gtr.words import leading, peek, split_options

T = TypeVar("T")
COMPARE_FLAGS = ("--task", "--scale", "--seeds", "--out", "--from", "--jobs", "-h", "--help")
"""Flags of `gtr compare` itself; all others are settings of its runs."""


def parse_train(arguments: Sequence[str], command: str = "train") -> TrainOptions:
    """The options of ``gtr train`` and ``gtr sft``, with the preset's defaults under what the user wrote.

    Raises `ConfigError`; a key that does not exist ends the program with a message naming the nearest right one.
    """
    resume = peek(arguments, "--resume")
    if resume is not None and command == "train":
        return _parse_resume(arguments, Path(resume))
    method = arguments[0] if arguments and not arguments[0].startswith("-") else None
    if method is None and not {"-h", "--help"} & set(arguments):
        raise ConfigError(f"write the preset first: gtr {command} PRESET ... . {nearest('', METHODS)}")
    task, scale = peek(arguments, "--task") or "points24", peek(arguments, "--scale") or "tiny"
    length = peek(arguments, "--train.updates") or ""
    base = build(method or "gtr", task, scale, int(length) if length.isdecimal() else None)
    options = _cli(TrainOptions, arguments, TrainOptions(method or "gtr", task, "tiny", None, base), command)
    validate(options.config)
    require(options.config.report.trackers)
    return options


def check_begin(options: TrainOptions) -> None:
    """Raises `GtrError` for a task or a model that is not there, before anything heavy is imported or written."""
    tasks.load(options.config.task)
    if options.resume is None:
        check_model(options.config.policy.model)


def _parse_resume(arguments: Sequence[str], folder: Path) -> TrainOptions:
    base = read_config(folder)
    if not arguments[0].startswith("-"):
        raise ConfigError(f"--resume goes on with the preset of {folder} ({base.preset}): leave out {arguments[0]!r}")
    for flag in ("--task", "--scale"):
        if peek(arguments, flag) is not None:
            raise ConfigError(f"--resume goes on with the settings of {folder}: leave out {flag}")
    options = _cli(TrainOptions, arguments, TrainOptions(base.preset, base.task.name, "tiny", folder, base), "train")
    check_resume(base, options.config)
    validate(options.config)
    require(options.config.report.trackers)
    return options


def parse_eval(arguments: Sequence[str]) -> tuple[EvalOptions, list[Config]]:
    """The options of ``gtr eval``, and for each agent the settings to play with: its own, on the common task."""
    names = leading(arguments)
    if not names and not {"-h", "--help"} & set(arguments):
        raise ConfigError("write the agents first: gtr eval AGENT [AGENT ...]: run folders, models, random, expert")
    own = {name: read_config(Path(name)) for name in names if (Path(name) / "config.json").is_file() and _is_run(name)}
    base = _eval_base(arguments, next(iter(own.values()), None))
    default = EvalOptions(tuple(names), base.task.name, overrides=Overrides(base.task, base.policy, base.corrector))
    options = _cli(EvalOptions, arguments, default, "eval", flags=True)
    if options.greedy and options.sample:
        raise ConfigError("--greedy and --sample exclude each other: give one")
    if options.episodes < 1 or options.seed < 0:
        raise ConfigError(f"--episodes {options.episodes} --seed {options.seed}: give 1 or more, and 0 or more")
    _writable(options.json)
    changed = options.overrides
    configs = [_with(own.get(name, base), changed, base) for name in options.agents]
    for config in configs:
        validate(config)
    return options, configs


def _writable(json: Path | None) -> None:
    """Said before the work, not after it."""
    if json is not None and not json.parent.is_dir():
        raise ConfigError(f"--json {json}: the folder {json.parent} does not exist; make it first")


def _is_run(name: str) -> bool:
    """A model's folder has a config.json too; a run's has a checkpoints folder beside it."""
    return (Path(name) / "checkpoints").is_dir()


def _eval_base(arguments: Sequence[str], run: Config | None) -> Config:
    """The settings under what the user wrote: the first run's own, on another game if --task names one."""
    task, scale = peek(arguments, "--task"), peek(arguments, "--scale")
    if run is not None and task in (None, run.task.name):
        return run
    fresh = build("gtr", task or "points24", scale or "tiny")
    if run is None:
        return fresh
    seen = run.task
    there = replace(fresh.task, prompt=seen.prompt, image_size=seen.image_size, thought=seen.thought)
    return replace(run, task=there)


def _with(own: Config, changed: Overrides, base: Config) -> Config:
    """An agent's own policy settings, unless the user changed them, on the task all agents share."""
    policy = own.policy if changed.policy == base.policy else changed.policy
    return replace(own, task=changed.task, policy=policy, corrector=changed.corrector)


def parse_corrector_eval(arguments: Sequence[str]) -> tuple[CorrectorEvalOptions, Config]:
    """The options of ``gtr corrector-eval`` and the settings of the corrector to examine."""
    base = build("gtr", peek(arguments, "--task") or "points24", "7b")
    default = CorrectorEvalOptions(base.task.name, rooms=CorrectorRooms(base.task, base.corrector))
    options = _cli(CorrectorEvalOptions, arguments, default, "corrector-eval")
    if options.thoughts < 1 or options.seed < 0:
        raise ConfigError(f"--thoughts {options.thoughts} --seed {options.seed}: give 1 or more, and 0 or more")
    _writable(options.json)
    guidance = replace(base.guidance, corrector=options.who)
    config = replace(base, task=options.rooms.task, corrector=options.rooms.corrector, guidance=guidance)
    validate(config)
    return options, config


def parse_play(arguments: Sequence[str]) -> tuple[PlayOptions, Config]:
    """The options of ``gtr play`` and the settings of the game."""
    names = leading(arguments)
    if len(names) != 1 and not {"-h", "--help"} & set(arguments):
        raise ConfigError(f"write one game first: gtr play TASK ... . {nearest('', TASKS)}")
    task = names[0] if names else "points24"
    base = build("gtr", task, peek(arguments, "--scale") or "7b")
    options = _cli(PlayOptions, arguments, PlayOptions(task, settings=base.task), "play", flags=True)
    if options.episodes < 1 or options.seed < 0:
        raise ConfigError(f"--episodes {options.episodes} --seed {options.seed}: give 1 or more, and 0 or more")
    config = replace(base, task=options.settings, seed=options.seed)
    validate(config)
    return options, config


def parse_compare(arguments: Sequence[str]) -> tuple[CompareOptions, list[str]]:
    """The options of ``gtr compare`` and the words that every run gets besides; those are checked here too."""
    own, overrides = split_options(arguments, COMPARE_FLAGS)
    if peek(arguments, "--from") is not None:
        return _parse_report(own, overrides), []
    options = _cli(CompareOptions, own, CompareOptions(), "compare")
    if not options.methods:
        raise ConfigError(f"write the methods first: gtr compare METHOD METHOD ... . {nearest('', METHODS)}")
    for values, name in ((options.methods, "methods"), (options.seeds, "seeds")):
        if len(set(values)) != len(values):
            raise ConfigError(f"the {name} {', '.join(map(str, values))} repeat themselves: name each once")
    if not options.seeds or min(options.seeds) < 0 or (options.jobs is not None and options.jobs < 1):
        raise ConfigError(f"--seeds {options.seeds} --jobs {options.jobs}: give seeds of 0 or more, and 1 job or more")
    for flag in ("--seed", "--runs", "--name", "--preset", "--resume"):
        if peek(overrides, flag) is not None:
            raise ConfigError(f"{flag} is set by the comparison itself: leave it out (seeds are given by --seeds)")
    for method in options.methods:
        check_begin(parse_train(train_words(options, method, overrides)))
    return options, overrides


def _parse_report(own: Sequence[str], overrides: Sequence[str]) -> CompareOptions:
    """A comparison of runs that exist: nothing about training can be said any more."""
    options = _cli(CompareOptions, own, CompareOptions(out=Path("runs/report")), "compare")
    flags = [flag for flag in ("--task", "--scale", "--seeds", "--jobs") if peek(own, flag) is not None]
    words = " ".join([*options.methods, *flags, *overrides])
    if words:
        raise ConfigError(f"--from reports on runs as they are: leave out {words}, or leave out --from to train")
    if not options.folders:
        raise ConfigError("write the run folders after --from: gtr compare --from RUN RUN ... --out FOLDER")
    return options


def parse_show(arguments: Sequence[str]) -> ShowOptions:
    """The options of ``gtr show``."""
    options = _cli(ShowOptions, arguments, ShowOptions(), "show", flags=True)
    if not options.runs:
        raise ConfigError("write the run folders first: gtr show RUN [RUN ...]")
    if not 0 <= options.port < 65536 or options.turns < 0:
        raise ConfigError(f"--port {options.port} --turns {options.turns}: give 0 to 65535, and 0 or more")
    if options.export is not None and (options.export.is_dir() or not options.export.parent.is_dir()):
        raise ConfigError(f"--export {options.export}: name a file in a folder that exists, such as report.html")
    return options


def _cli(kind: type[T], arguments: Sequence[str], default: T, command: str, flags: bool = False) -> T:
    markers = () if flags else (tyro.conf.FlagConversionOff,)
    return tyro.cli(
        kind, args=list(arguments), default=default, prog=f"gtr {command}", use_underscores=True, config=markers
    )


def parse_nothing(arguments: Sequence[str], command: str, description: str) -> None:
    """For commands without options: shows the help, refuses anything else."""
    tyro.cli(_nothing, args=list(arguments), prog=f"gtr {command}", description=description)


def _nothing() -> None:
    """No options."""

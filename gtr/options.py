"""Arguments of the commands as dataclasses: their field docstrings are the ``--help``. Imports no torch."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import tyro

from gtr import tasks
from gtr.checks import check_model, check_resume, validate
from gtr.config import Config, CorrectorConfig, PolicyConfig, TaskConfig
from gtr.errors import ConfigError, nearest
from gtr.presets import METHODS, TASKS, build
from gtr.report.folder import read_config
from gtr.report.trackers import require
from gtr.words import leading, peek, split_options

T = TypeVar("T")
COMPARE_FLAGS = ("--task", "--scale", "--seeds", "--out", "--from", "--jobs", "-h", "--help")
"""Flags of `gtr compare` itself; all others are settings of its runs."""
Split = Literal["same", "new-look", "new-rules", "seen", "unseen"]


@dataclass(frozen=True)
class TrainOptions:
    """Train an agent: `gtr train PRESET`, or go on with a run: `gtr train --resume RUN_FOLDER`."""

    method: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="PRESET")] = "gtr"
    """gtr, reference, rl4vlm, sft_only, no_dagger, clone_actions, annealed_cloning, judge_reward or no_thought."""
    task: str = "points24"
    """The game, which chooses the preset's defaults: numberline, ezpoints, points24, blackjack, alfworld, or the
    import path of a Task of yours (package.module:Class, file.py:Class)."""
    scale: Literal["tiny", "7b"] = "tiny"
    """A tiny agent on CPU cores, or the paper's settings on a large GPU."""
    resume: Path | None = None
    """Run folder to go on with; its settings are kept, but --train.updates may be raised."""
    config: Annotated[Config, tyro.conf.arg(name="")] = field(default_factory=Config)


@dataclass(frozen=True)
class Overrides:
    """The rooms of a Config that an evaluation may change."""

    task: TaskConfig = field(default_factory=TaskConfig)
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    corrector: CorrectorConfig = field(default_factory=CorrectorConfig)


@dataclass(frozen=True)
class CorrectorRooms:
    """The rooms of a Config that an examination of a corrector may change."""

    task: TaskConfig = field(default_factory=TaskConfig)
    corrector: CorrectorConfig = field(default_factory=CorrectorConfig)


@dataclass(frozen=True)
class CorrectorEvalOptions:
    """Put right and wrong thoughts of known kinds before a corrector: what does it catch, pass, fix and spoil?"""

    task: str = "points24"
    """The game."""
    who: Literal["chat", "local", "oracle"] = "chat"
    """The model that corrector.* names, behind an API or loaded here, or the oracle itself (to see that the examination
    is sound)."""
    thoughts: int = 40
    """Thoughts of each kind."""
    seed: int = 0
    """Seed of the panel."""
    folder: Path | None = None
    """Keep ledger and verdicts here; what was answered once is then not paid for again."""
    json: Path | None = None
    """Also write the results to this file."""
    rooms: Annotated[CorrectorRooms, tyro.conf.arg(name="")] = field(default_factory=CorrectorRooms)


@dataclass(frozen=True)
class EvalOptions:
    """Play a fixed panel of start states, untruncated, and print one row per agent."""

    agents: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="AGENT [AGENT ...]")] = ()
    """Run folders, models (a local folder or a hub id), random, expert, or a model behind an
    OpenAI-compatible API: openai:MODEL, and openai+tool:MODEL with the task's tools; set by corrector.*."""
    task: str = "points24"
    """The game; by default that of the first run folder among the agents."""
    scale: Literal["tiny", "7b"] = "tiny"
    """Settings for agents that are not run folders."""
    split: Split = "same"
    """The panel: as trained, other looks, other values of face cards; on ALFWorld games in seen or unseen rooms."""
    episodes: int = 100
    """Start states in the panel."""
    seed: int = 0
    """Seed of the panel and of sampling."""
    greedy: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Take the likeliest token (the default)."""
    sample: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Sample at the agent's temperature instead."""
    json: Path | None = None
    """Also write the results to this file."""
    overrides: Annotated[Overrides, tyro.conf.arg(name=""), tyro.conf.FlagConversionOff] = field(
        default_factory=Overrides
    )


@dataclass(frozen=True)
class CompareOptions:
    """Train methods x seeds side by side from one starting agent, and show them in one table and one picture.

    Every setting of `gtr train --help` may follow; it holds for all runs. A comparison that was interrupted goes on
    when the same command is given again. `gtr compare --from RUN RUN ...` trains nothing and reports runs that exist.
    """

    methods: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="METHOD [METHOD ...]")] = ()
    """Presets to compare (see `gtr train --help`)."""
    task: str = "points24"
    """The game."""
    scale: Literal["tiny", "7b"] = "tiny"
    """A tiny agent on CPU cores, or the paper's settings on a large GPU."""
    seeds: tuple[int, ...] = (1, 2, 3)
    """One run per method and seed."""
    out: Path = Path("runs/compare")
    """Folder for the runs, the page, the table and the pictures; runs/report with --from."""
    folders: Annotated[tuple[Path, ...], tyro.conf.arg(name="from", metavar="RUN [RUN ...]")] = ()
    """Run folders, or folders of comparisons, to report on without training; their presets and settings say which
    method each is."""
    jobs: int | None = None
    """Runs at a time; by default one per CPU core. Each uses one thread."""


@dataclass(frozen=True)
class PlayOptions:
    """Play a game yourself, from the picture and the prompt that the agent gets, and see the oracle's verdict."""

    task: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="TASK")] = ""
    """The game: numberline, ezpoints, points24, blackjack, alfworld, or the import path of a Task of yours."""
    scale: Literal["tiny", "7b"] = "7b"
    """The paper's picture and full prompt, or those of a tiny agent."""
    browser: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Play on a page in the browser instead of the terminal."""
    port: int = 8025
    """Port of that page; 0 takes a free one."""
    episodes: int = 10
    """Episodes to play."""
    seed: int = 1
    """Deals the start states that the first environment of a training run with this seed meets."""
    pictures: Path | None = None
    """Folder for the pictures; by default a new one among the temporary files."""
    settings: Annotated[TaskConfig, tyro.conf.arg(name="task"), tyro.conf.FlagConversionOff] = field(
        default_factory=TaskConfig
    )


@dataclass(frozen=True)
class ShowOptions:
    """Look at runs in the browser: curves, episodes, turns token by token, two agents side by side, how thoughts rot.

    On another machine: `ssh -L 8024:localhost:8024 MACHINE`, there `gtr show RUN --no-browser`, and open the address
    here.
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN [RUN ...]")] = ()
    """Run folders, the folder of a `gtr compare`, or any folder of run folders."""
    export: Path | None = None
    """Write one HTML file that holds everything and can be mailed, instead of serving the page."""
    turns: int = 1000
    """Training turns that the exported file holds at most, spread over the runs and updates."""
    task: str | None = None
    """The import path of a game of yours, if the runs play one: its code is run, to judge thoughts in the page."""
    host: str = "127.0.0.1"
    """Address to serve at; by default only this machine can reach the page."""
    port: int = 8024
    """Port to serve at; 0 takes any that is free."""
    no_browser: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Do not open a browser."""


# -- parsing ------------------------------------------------------------------------------------------------------


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


def train_words(options: CompareOptions, method: str, overrides: Sequence[str]) -> list[str]:
    """What follows ``gtr train`` for one method of a comparison."""
    return [method, "--task", options.task, "--scale", options.scale, *overrides]


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

"""``gtr compare``: methods x seeds side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from annotated_types import Ge, Le

from gtr import tasks
from gtr.cli.argv import Scale, check_folder, flag_value, is_flag, named_code, parse, split_options, without
from gtr.cli.train import check_begin, parse_train
from gtr.config import Config
from gtr.config.files import read_file
from gtr.config.io import CODE, check_code, settings_of
from gtr.config.presets import METHODS, setting_in
from gtr.config.section import Seed, is_path
from gtr.errors import ConfigError, nearest

if TYPE_CHECKING:
    from gtr.compare.plan import Comparison

FLAGS = (
    *("--task", "--scale", "--seeds", "--starts", "--grid", "--splits"),
    *("--out", "--from", "--jobs", "--serve", "-h", "--help"),
)
"""Flags of `gtr compare` itself; all others are settings of its runs."""


@dataclass(frozen=True)
class CompareOptions:
    """Train methods x seeds side by side from one starting agent, and show them in one table and one picture.

    Every setting of `gtr train --help`, and --config FILE, may follow; it holds for all runs. A comparison that was
    interrupted goes on when the same command is given again. `gtr compare --from RUN RUN ...` trains nothing and
    reports runs that exist.
    """

    methods: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="METHOD [METHOD ...]")] = ()
    """Presets to compare (see `gtr train --help`), or import paths of algorithms of yours."""
    task: str = tasks.DEFAULT
    """The game. With --from: the import path of a game of yours that the runs play, whose code is run to check
    thoughts."""
    scale: Scale = "tiny"
    """A tiny agent on CPU cores, or the paper's settings on a large GPU."""
    seeds: tuple[Seed, ...] = (1, 2, 3)
    """One run per method, starting agent and seed."""
    starts: tuple[Seed, ...] = ()
    """Seeds of starting agents (sft.seed), each shared by all methods; by default the one of the settings."""
    grid: Annotated[tuple[str, ...], tyro.conf.arg(metavar="KEY VALUE [VALUE ...]")] = ()
    """A setting and its values: every method is run with each, such as noise.wrong 0 .2 .4. A method without guidance
    takes no part in a grid over guidance: it is run once, and what is set of guidance, noise and corrector is left out.
    """
    splits: tuple[str, ...] = ()
    """Panels of other splits (`gtr tasks` lists them) on which starting and trained agents are played at the end."""
    out: Path = Path("runs/compare")
    """Folder for the runs, the page, the table and the pictures; runs/report with --from."""
    folders: Annotated[tuple[Path, ...], tyro.conf.arg(name="from", metavar="RUN [RUN ...]")] = ()
    """Run folders, or folders of comparisons, to report on without training; their presets and settings say which
    method each is."""
    jobs: Annotated[int, Ge(1), Le(4096)] | None = None
    """Runs at a time; by default one per CPU core. Each uses one thread."""
    serve: Annotated[int, Ge(0), Le(65_535)] | None = None
    """Serve the page of `gtr show` at this port while runs go on, from the first minute; 0 takes any that is free."""


def compare(arguments: Sequence[str]) -> None:
    """METHOD METHOD ...      methods x seeds side by side: one table, one page, pictures"""
    own, settings = split_options(arguments, FLAGS)
    if flag_value(arguments, "--from") is not None:
        chosen = parse_report(own, settings)
        from gtr.compare import report

        report(chosen.folders, chosen.out, named_code(own))
        return
    comparison = parse_compare(arguments)
    from gtr.compare import run

    run(comparison)


def parse_compare(arguments: Sequence[str]) -> "Comparison":
    """What ``gtr compare`` is to compare, every run's settings checked before anything heavy is imported."""
    own, settings = split_options(arguments, FLAGS)
    path = flag_value(settings, "--config")
    file = {} if path is None else read_file(Path(path))
    check_code({key: setting_in(file, key) for key in CODE}, named_code(arguments), path)
    game = setting_in(file, "task.name") or tasks.DEFAULT
    options = parse(CompareOptions, own, CompareOptions(task=str(game)), "compare")
    if not options.methods:
        raise ConfigError(f"write the methods first: gtr compare METHOD METHOD ... . {nearest('', METHODS)}")
    named = ("methods", "seeds", "starts", "splits")
    for values, name in ((getattr(options, name), name) for name in named):
        if len(set(values)) != len(values):
            raise ConfigError(f"the {name} {', '.join(map(str, values))} repeat themselves: name each once")
    if not options.seeds:
        raise ConfigError("--seeds is empty: give one seed or more")
    starts = ("--sft.seed",) if options.starts else ()
    for flag in ("--seed", "--runs", "--name", "--preset", "--resume", *starts):
        if flag_value(settings, flag) is not None:
            raise ConfigError(f"{flag} is set by the comparison itself: leave it out (seeds are given by --seeds)")
    check_folder("--out", options.out)
    from gtr.compare.grid import GUIDING, along, read_grid
    from gtr.compare.plan import Comparison

    said: dict[tuple[str, ...], Mapping[str, object]] = {}

    def make(method: str, changes: Mapping[str, str], guided: bool) -> Config:
        kept = settings if guided else without(settings, GUIDING)
        return _config(method, options, [*kept, *(w for k, v in changes.items() for w in (f"--{k}", v))], said)

    grid = read_grid(options.grid)
    configs = along(options.methods, grid, make)
    for config in configs.values():
        _check_dimensions(config, options)
    seeds, out, asked, jobs = options.seeds, options.out, tuple(settings), options.jobs
    begun = Comparison(configs, seeds, out, options.task, options.scale, asked, file, jobs)
    return replace(begun, starts=options.starts, grid=grid, splits=options.splits, port=options.serve)


def _check_dimensions(config: Config, options: CompareOptions) -> None:
    """Raises `ConfigError` for starting agents that are not made, and for panels that the game has not."""
    if options.starts and not config.sft.enabled:
        raise ConfigError(f"--starts: {config.preset} makes no starting agent (sft.enabled False): leave --starts out")
    for split in options.splits:
        tasks.load(config.task).for_split(split)


def _config(
    method: str, options: CompareOptions, settings: Sequence[str], said: dict[tuple[str, ...], Mapping[str, object]]
) -> Config:
    """The settings of one method's runs, as ``gtr train`` would have them; `said` is what words were read as."""
    named = ["--algo", method] if is_path(method) else [method]
    words = [*named, "--task", options.task, "--scale", options.scale, *settings]
    try:
        chosen = parse_train(words, said=said.get(tuple(settings)))
    except ConfigError:
        chosen = parse_train(words)  # What a method does not have is told as `gtr train` tells it.
    keys = {word.partition("=")[0].removeprefix("--").replace("-", "_") for word in settings if is_flag(word)}
    said[tuple(settings)] = {key: value for key, value in settings_of(chosen.config).items() if key in keys}
    check_begin(chosen)
    return chosen.config


def parse_report(own: Sequence[str], settings: Sequence[str]) -> CompareOptions:
    """A comparison of runs that exist: nothing about training can be said any more."""
    options = parse(CompareOptions, own, CompareOptions(out=Path("runs/report")), "compare")
    chosen = ("--scale", "--seeds", "--starts", "--grid", "--splits", "--jobs", "--serve")
    flags = [flag for flag in chosen if flag_value(own, flag) is not None]
    words = " ".join([*options.methods, *flags, *settings])
    if words:
        raise ConfigError(f"--from reports on runs as they are: leave out {words}, or leave out --from to train")
    if not options.folders:
        raise ConfigError("write the run folders after --from: gtr compare --from RUN RUN ... --out FOLDER")
    check_folder("--out", options.out)
    return options

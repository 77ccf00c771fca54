"""Which processes a comparison consists of.

One makes each starting agent, then one per method, starting agent and seed trains, then one per run plays it on other
panels, where any are asked for.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gtr.compare.grid import Grid
from gtr.config import Config
from gtr.config.io import CODE, config_to_dict, settings_of
from gtr.config.section import is_path
from gtr.errors import RunError
from gtr.report.files import encode, write_whole
from gtr.report.inside import Missing, Unreadable, parsed, read_named

FIRST_MODEL = Path("checkpoints", "update_00000", "model")
"""In a run's folder: the agent that it began as."""


@dataclass(frozen=True)
class Comparison:
    """What is compared, and where."""

    configs: Mapping[str, Config]
    """By method."""
    seeds: tuple[int, ...]
    out: Path
    task: str
    scale: str
    settings: tuple[str, ...] = ()
    """What the user asked of all runs besides, as words of a command line."""
    file: Mapping[str, Any] = field(default_factory=dict)
    """What the user's file of settings held."""
    jobs: int | None = None
    """Runs at a time; None is one per core."""
    starts: tuple[int, ...] = ()
    """Seeds of the starting agents (sft.seed), each shared by all methods; empty is the one of the settings."""
    grid: Grid | None = None
    """What made several methods of one among `configs`."""
    splits: tuple[str, ...] = ()
    """Panels that the trained agents and their starting agents are played on besides (see `Task.splits`)."""
    port: int | None = None
    """Where the page is served while runs go on; None is nowhere."""

    @property
    def command(self) -> list[str]:
        """The command that makes this comparison."""
        named = (one.algo.name if is_path(one.algo.name) else one.preset for one in self.configs.values())
        words = [*dict.fromkeys(named), "--task", self.task, "--scale", self.scale]
        for flag, values in (("--starts", self.starts), ("--seeds", self.seeds), ("--splits", self.splits)):
            words += [flag, *map(str, values)] if values else []
        grid = self.grid.words if self.grid is not None else ()
        return ["gtr", "compare", *words, *grid, *self.settings, "--out", str(self.out)]

    @property
    def title(self) -> str:
        """``ezpoints: rl4vlm, gtr; starting agents 11, 12; seeds 1, 2``."""
        starts = f"starting agents {', '.join(map(str, self.starts))}; " if self.starts else ""
        return f"{self.task}: {', '.join(self.configs)}; {starts}seeds {', '.join(map(str, self.seeds))}"


@dataclass(frozen=True)
class Job:
    """One process of a comparison."""

    name: str
    words: tuple[str, ...]
    """What follows ``gtr``."""
    out: Path
    """The comparison's folder."""
    folder: Path | None = None
    """The run folder it writes; None for the making of a starting agent, and for play on other panels."""
    updates: int = 0
    method: str = ""
    seed: int = 0
    config: Config | None = None
    """Its settings, which `prepare` writes into the file that `words` name."""

    @property
    def log(self) -> Path:
        """Everything the process printed, over all its starts."""
        return self.out / "logs" / f"{self.name}.log"

    @property
    def done(self) -> Path:
        """A file that exists once the process has ended well."""
        return self.out / "logs" / f"{self.name}.done"

    def command(self) -> tuple[str, ...]:
        """What follows ``gtr`` now: a run that has begun is gone on with."""
        if self.folder is not None and (self.folder / "config.json").exists():
            own = () if self.config is None else code_words(self.config)
            return ("train", "--resume", str(self.folder), *own)
        return self.words

    def prepare(self) -> None:
        """Writes the file of settings that the process reads."""
        if self.config is not None:
            write_whole(_file(self.out, self.name), encode(config_to_dict(self.config), indent=2))


@dataclass(frozen=True)
class Plan:
    """All jobs; `starts` before `runs`."""

    starts: tuple[Job, ...]
    runs: tuple[Job, ...]


def plan(comparison: Comparison) -> Plan:
    """The jobs of a comparison; methods that differ in nothing before RL share one starting agent."""
    from gtr.sft import agent_name

    out = comparison.out
    runs: list[Job] = []
    starts: dict[str, Job] = {}
    for method, shared in comparison.configs.items():
        for start in comparison.starts or (None,):
            config = replace(shared, runs=str(out / "runs"))
            if start is not None:
                config = replace(config, sft=replace(config.sft, seed=start))
            if config.sft.enabled:
                name = f"start-{agent_name(config)}"
                starts.setdefault(name, Job(name, _words("sft", out, name, config), out, method=method, config=config))
            begun = method if start is None else f"{method}-start{start}"
            runs += [_run(config, out, method, f"{begun}-seed{seed}", seed) for seed in comparison.seeds]
    return Plan(tuple(starts.values()), tuple(runs))


def played(run: Job, splits: Sequence[str]) -> Job:
    """Plays a run's last agent, and the agent that it began as, on panels of these splits."""
    assert run.folder is not None
    assert run.config is not None
    agents = (str(run.folder), str(run.folder / FIRST_MODEL))
    train, task = run.config.train, run.config.task.name
    panel = ("--split", *splits, "--episodes", str(train.eval_episodes), "--seed", str(train.eval_seed))
    own = ("--task", task) if is_path(task) else ()
    words = ("eval", *agents, *panel, *own, "--json", str(panels_file(run.folder)))
    return Job(f"panels-{run.name}", words, run.out, method=run.method, seed=run.seed)


def panels_file(run: Path) -> Path:
    """What play on other panels found, beside the folder of a comparison's runs."""
    return run.absolute().parent.parent / "panels" / f"{run.name}.json"


def _run(config: Config, out: Path, method: str, label: str, seed: int) -> Job:
    name = re.sub(r"[^A-Za-z0-9._+=-]", "-", label)
    own = replace(config, seed=seed, name=name)
    words = _words("train", out, name, own)
    return Job(name, words, out, out / "runs" / name, config.train.updates, method, seed, own)


def _words(command: str, out: Path, name: str, config: Config) -> tuple[str, ...]:
    return (command, "--config", str(_file(out, name)), *code_words(config))


def _file(out: Path, name: str) -> Path:
    return out / "configs" / f"{name}.json"


def code_words(config: Config) -> tuple[str, ...]:
    """The flags that name the classes of the user's own among the settings: a file alone runs no code."""
    values = settings_of(config)
    return tuple(word for key, flag in CODE.items() if is_path(values[key]) for word in (flag, values[key]))


def claim(comparison: Comparison) -> None:
    """Notes in the folder what is compared there; methods and seeds may be added later, nothing else may change.

    Raises `RunError` where the folder holds a comparison on another task or with other settings.
    """
    out = comparison.out
    wanted = {"task": comparison.task, "scale": comparison.scale, "settings": list(comparison.settings)}
    if comparison.splits:
        wanted |= {"splits": list(comparison.splits)}
    if comparison.file:
        wanted |= {"file": json.loads(encode(comparison.file))}
    file = out / "comparison.json"
    held = _held(file)
    if held is not None and held != wanted:
        raise RunError(
            f"{out} holds another comparison ({_said(held)}, not {_said(wanted)}): choose another folder with --out"
        )
    write_whole(file, encode(wanted, indent=1))


def _held(file: Path) -> dict[str, Any] | None:
    """What a folder's ``comparison.json`` says; None where there is none."""
    try:
        held = parsed(read_named(file), exact=True)
    except Missing:
        return None
    except Unreadable as error:
        raise RunError(f"{file} {error}: choose another folder with --out, or remove the file") from error
    if not isinstance(held, dict):
        raise RunError(f"{file} is not a record: choose another folder with --out, or remove the file")
    return held


def _said(record: Mapping[str, object]) -> str:
    settings = record.get("settings")
    words = settings if isinstance(settings, list) else []
    return " ".join([f"--task {record.get('task')} --scale {record.get('scale')}", *map(str, words)])

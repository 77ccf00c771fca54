"""Which processes a comparison consists of: one that makes each starting agent, then one per method and seed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gtr.config import Config
from gtr.config.io import CODE, config_to_dict, settings_of
from gtr.config.section import is_path
from gtr.errors import RunError
from gtr.report.files import encode, write_whole
from gtr.sft import agent_name


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
    port: int | None = None
    """Where the page is served while runs go on; None is nowhere."""

    @property
    def command(self) -> list[str]:
        """The command that makes this comparison."""
        seeds = map(str, self.seeds)
        methods = [one.algo.name if is_path(one.algo.name) else name for name, one in self.configs.items()]
        words = [*methods, "--task", self.task, "--scale", self.scale, "--seeds", *seeds, *self.settings]
        return ["gtr", "compare", *words, "--out", str(self.out)]

    @property
    def title(self) -> str:
        """``ezpoints: rl4vlm, gtr; seeds 1, 2``."""
        return f"{self.task}: {', '.join(self.configs)}; seeds {', '.join(map(str, self.seeds))}"


@dataclass(frozen=True)
class Job:
    """One process of a comparison."""

    name: str
    words: tuple[str, ...]
    """What follows ``gtr``."""
    out: Path
    """The comparison's folder."""
    folder: Path | None = None
    """The run folder it writes; None for the making of a starting agent."""
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
    out = comparison.out
    runs: list[Job] = []
    starts: dict[str, Job] = {}
    for method, shared in comparison.configs.items():
        config = replace(shared, runs=str(out / "runs"))
        if config.sft.enabled:
            name = f"start-{agent_name(config)}"
            starts.setdefault(name, Job(name, _words("sft", out, name, config), out, method=method, config=config))
        runs += [_run(config, out, method, seed) for seed in comparison.seeds]
    return Plan(tuple(starts.values()), tuple(runs))


def _run(config: Config, out: Path, method: str, seed: int) -> Job:
    name = f"{method}-seed{seed}"
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
    if comparison.file:
        wanted |= {"file": json.loads(encode(comparison.file))}
    file = out / "comparison.json"
    if file.exists():
        held = json.loads(file.read_bytes())
        if held != wanted:
            raise RunError(
                f"{out} holds another comparison ({_said(held)}, not {_said(wanted)}): choose another folder with --out"
            )
    write_whole(file, encode(wanted, indent=1))


def _said(record: Mapping[str, object]) -> str:
    settings = record["settings"]
    assert isinstance(settings, list)
    return " ".join([f"--task {record['task']} --scale {record['scale']}", *map(str, settings)])

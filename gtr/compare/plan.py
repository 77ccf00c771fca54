"""Which processes a comparison consists of: one that makes each starting agent, then one per method and seed."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gtr.errors import RunError
from gtr.options import CompareOptions, train_words
from gtr.parsing import parse_train
from gtr.report.files import encode, write_whole
from gtr.sft import agent_name


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
            return ("train", "--resume", str(self.folder))
        return self.words


@dataclass(frozen=True)
class Plan:
    """All jobs; `starts` before `runs`."""

    starts: tuple[Job, ...]
    runs: tuple[Job, ...]


def plan(options: CompareOptions, overrides: Sequence[str]) -> Plan:
    """The jobs of a comparison; methods that differ in nothing before RL share one starting agent."""
    runs = tuple(_run(options, overrides, method, seed) for method in options.methods for seed in options.seeds)
    starts: dict[str, Job] = {}
    for method in options.methods:
        words = [*train_words(options, method, overrides), "--runs", str(options.out / "runs")]
        config = parse_train(words).config
        if config.sft.enabled:
            name = agent_name(config)
            starts.setdefault(name, Job(f"start-{name}", ("sft", *words), options.out, method=method))
    return Plan(tuple(starts.values()), runs)


def _run(options: CompareOptions, overrides: Sequence[str], method: str, seed: int) -> Job:
    name = f"{method}-seed{seed}"
    place = ["--seed", str(seed), "--runs", str(options.out / "runs"), "--name", name]
    words = [*train_words(options, method, overrides), *place]
    updates = parse_train(words).config.train.updates
    return Job(name, ("train", *words), options.out, options.out / "runs" / name, updates, method, seed)


def claim(options: CompareOptions, overrides: Sequence[str]) -> None:
    """Notes in the folder what is compared there; methods and seeds may be added later, nothing else may change.

    Raises `RunError` where the folder holds a comparison on another task or with other settings.
    """
    wanted = {"task": options.task, "scale": options.scale, "settings": list(overrides)}
    file = options.out / "comparison.json"
    if file.exists():
        held = json.loads(file.read_bytes())
        if held != wanted:
            raise RunError(
                f"{options.out} holds another comparison ({_words(held)}, not {_words(wanted)}): "
                "choose another folder with --out"
            )
    write_whole(file, encode(wanted, indent=1))


def _words(record: Mapping[str, object]) -> str:
    settings = record["settings"]
    assert isinstance(settings, list)
    return " ".join([f"--task {record['task']} --scale {record['scale']}", *map(str, settings)])

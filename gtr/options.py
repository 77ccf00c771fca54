"""Arguments of the commands as dataclasses: their field docstrings are the ``--help``. Imports no torch."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from gtr.config import Config, CorrectorConfig, PolicyConfig, TaskConfig

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


def train_words(options: CompareOptions, method: str, overrides: Sequence[str]) -> list[str]:
    """What follows ``gtr train`` for one method of a comparison."""
    return [method, "--task", options.task, "--scale", options.scale, *overrides]

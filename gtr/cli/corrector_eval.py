"""``gtr corrector-eval``: how good is a corrector, before it is paid for?"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import tyro
from annotated_types import Ge, Le

from gtr import tasks
from gtr.cli.argv import check_file, check_folder, flag_value, parse
from gtr.config import Config, CorrectorConfig, NoiseConfig, TaskConfig
from gtr.config.checks import validate
from gtr.config.presets import build
from gtr.config.section import Known, Seed
from gtr.errors import ConfigError


@dataclass(frozen=True)
class Overrides:
    """The sections of a Config that an examination of a corrector may change."""

    task: TaskConfig = field(default_factory=TaskConfig)
    noise: NoiseConfig = field(default_factory=NoiseConfig)
    corrector: CorrectorConfig = field(default_factory=CorrectorConfig)


@dataclass(frozen=True)
class CorrectorEvalOptions:
    """Put right and wrong thoughts of known kinds before a corrector: what does it catch, pass, fix and spoil?

    With --agent RUN a teacher is examined instead: how often is its thought right where the agent's is wrong?
    """

    task: str = tasks.DEFAULT
    """The game."""
    who: Annotated[str, Known(("chat", "local", "oracle", "noisy"))] = "chat"
    """The model that corrector.* names, behind an API (chat) or loaded here (local), the oracle itself (to see that the
    examination is sound), the oracle with the mistakes of noise.* (noisy), or a Corrector class of yours
    (package.module:Class, file.py:Class)."""
    agent: Path | None = None
    """A run folder, whose last agent plays, with its own settings, while its teacher answers the same states."""
    teacher: str | None = None
    """With --agent, who teaches, as in --algo.teacher; by default the run's own teacher."""
    thoughts: Annotated[int, Ge(1), Le(1_000_000)] = 40
    """Thoughts of each kind; of a teacher, episodes that the agent plays."""
    seed: Seed = 0
    """Seed of the panel."""
    folder: Path | None = None
    """Keep ledger and verdicts here; what was answered once is then not paid for again."""
    json: Path | None = None
    """Also write the results to this file."""
    overrides: Annotated[Overrides, tyro.conf.arg(name="")] = field(default_factory=Overrides)


def corrector_eval(arguments: Sequence[str]) -> None:
    """how good is a corrector, and what does it cost? before a long run is paid for"""
    chosen, config = parse_corrector_eval(arguments)
    from gtr.corrector_eval import Report, TeacherReport, examine, examine_teacher, show, show_teacher, write_json

    report: Report | TeacherReport
    if chosen.agent is not None:
        report = examine_teacher(chosen.agent, chosen.teacher, chosen.thoughts, chosen.seed)
        show_teacher(report)
    else:
        report = examine(config, chosen.thoughts, chosen.seed, chosen.folder)
        show(report)
    if chosen.json is not None:
        write_json(report, chosen.json)


def parse_corrector_eval(arguments: Sequence[str]) -> tuple[CorrectorEvalOptions, Config]:
    """The options of ``gtr corrector-eval`` and the settings of the corrector to examine."""
    base = build("gtr", flag_value(arguments, "--task") or tasks.DEFAULT, "7b")
    default = CorrectorEvalOptions(base.task.name, overrides=Overrides(base.task, base.noise, base.corrector))
    options = parse(CorrectorEvalOptions, arguments, default, "corrector-eval")
    changed = options.overrides
    if changed.task.name != base.task.name:
        raise ConfigError(f"--task.name {changed.task.name}: choose the game by --task")
    if options.teacher is not None and options.agent is None:
        raise ConfigError(f"--teacher {options.teacher}: name the agent that it would teach, --agent RUN")
    check_file("--json", options.json)
    check_folder("--folder", options.folder)
    guidance = replace(base.guidance, corrector=options.who)
    config = replace(base, task=changed.task, noise=changed.noise, corrector=changed.corrector, guidance=guidance)
    validate(config)
    return options, config

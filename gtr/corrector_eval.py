"""``gtr corrector-eval``: is a corrector or a teacher good enough, and what does it cost? Before a run is paid for."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from gtr import checkpoint, tasks
from gtr.algo.teacher import TaughtPPO, TeacherSettings
from gtr.config import Config
from gtr.config.io import check_code, settings_of
from gtr.errors import ConfigError, CorrectorError, RunError
from gtr.evaluate import evaluate_policy
from gtr.evaluate.agents import load_agent
from gtr.guidance import make_corrector, ready
from gtr.guidance.benchmark import Score, benchmark_cases, judged, mistakes, scores
from gtr.guidance.teachers import Tally
from gtr.policy.loading import load_policy
from gtr.policy.policy import Policy
from gtr.policy.reference import ReferencePolicy
from gtr.report.costs import costs_line
from gtr.report.files import encode, write_whole
from gtr.report.folder import read_config
from gtr.stats import Interval, wilson
from gtr.tasks.task import Task


@dataclass(frozen=True)
class Report:
    """How one corrector did."""

    corrector: str
    task: str
    scores: Sequence[Score]
    mistakes: Mapping[str, Interval]
    """How often its corrections are wrong, by kind (see `gtr.guidance.benchmark.mistakes`)."""
    costs: Mapping[str, float]
    """The corrector's metrics, and ``usd_per_1000`` turns."""


def examine(config: Config, per_kind: int, seed: int, folder: Path | None = None) -> Report:
    """Tries the corrector that the settings name on a fixed panel of `per_kind` thoughts of each kind.

    `folder` takes its ledger and verdicts; with it, what was answered once is not paid for again.
    """
    task = tasks.load(config.task)
    put = benchmark_cases(task, per_kind, seed)
    if folder is None or not (folder / "corrector").exists():
        ready(config)
    corrector = make_corrector(config, task, folder)
    if corrector is None:
        raise ConfigError("guidance.corrector is none: there is nothing to examine")
    try:
        verdicts = judged(corrector, put)
        costs = dict(corrector.metrics())
    finally:
        corrector.close()
    found = scores(task, verdicts)
    if all(score.absent == score.thoughts for score in found):
        raise CorrectorError(f"{_who(config)} gave no verdict on any of {len(put)} thoughts: nothing can be said of it")
    asked = len(put) - costs.get("corrector/cache_hits", 0.0)
    if asked and costs:
        costs["usd_per_1000"] = 1000 * costs["corrector/usd"] / asked
    return Report(_who(config), task.name, found, mistakes(task, verdicts), costs)


def _who(config: Config) -> str:
    return config.corrector.model if config.guidance.corrector in ("chat", "local") else config.guidance.corrector


@dataclass(frozen=True)
class TeacherReport:
    """How good a teacher's thoughts are beside an agent's, in the states that the agent comes to."""

    teacher: str
    agent: str
    task: str
    found: Tally


def examine_teacher(agent: Path, teacher: str | None, episodes: int, seed: int) -> TeacherReport:
    """Lets the last agent of a run play a panel greedily, and its teacher answer every state that it came to.

    `teacher` is a value of ``algo.teacher``; by default the run's own, with its merged weights.

    Raises:
        GtrError: no such run or teacher, one of another vocabulary, or a task that cannot check thoughts.
    """
    config = read_config(agent)
    check_code(settings_of(config), (), agent)
    taught = config.algo if isinstance(config.algo, TeacherSettings) else TeacherSettings()
    if teacher is None and taught is not config.algo:
        raise ConfigError(
            f"{agent} was trained without a teacher (algo.name {config.algo.name}): name one by --teacher"
        )
    config = replace(config, algo=replace(taught, teacher=teacher or taught.teacher))
    policy, task = load_agent(str(agent), config.policy), tasks.load(config.task)
    teaching = _teaching(config, task, policy, checkpoint.found(agent / "checkpoints"))
    played = evaluate_policy(policy, "agent", config, "same", episodes, seed)[1]
    turns = [turn for one in played for turn in one]
    replies = teaching.teacher.replies(policy, [teaching.prompt(turn) for turn in turns], greedy=True)
    found = teaching.tally(turns, replies)
    if not found.states:
        raise ConfigError(f"task '{task.name}' has no expert or no check: thoughts cannot be held against it")
    return TeacherReport(teacher or f"{taught.teacher} teacher", str(agent), task.name, found)


def _teaching(config: Config, task: Task, policy: Policy, saved: Sequence[Path]) -> TaughtPPO:
    """What holds the teacher, as it was at the last of the checkpoints."""
    made = TaughtPPO(config, task, policy)
    if made.merged is not None:
        state = checkpoint.read_state(saved[-1]).get("algorithm", {})
        if "merged" not in state:
            raise RunError(f"{saved[-1]} holds no merged teacher: name another by --teacher")
        made.restore(state)
        made.restore_tensors(checkpoint.read_tensors(saved[-1]))
    elif made.needs_reference:
        made.reference = ReferencePolicy(load_policy(saved[0] / "model", config.policy))
    return made


def show_teacher(report: TeacherReport) -> None:
    """Prints a teacher's report as one table."""
    found = report.found
    grid = Table(title=f"{report.teacher} beside the agent of {report.agent} on {report.task}", caption=STATES)
    grid.add_column("thoughts")
    grid.add_column("number", justify="right")
    grid.add_column("share (95 % Wilson interval)", justify="right")
    rows = {
        "agent right": (found.agent, found.states),
        "teacher right": (found.teacher, found.states),
        "teacher right where the agent is wrong": (found.mends, found.states - found.agent),
        "teacher wrong where the agent is right": (found.agent - found.both, found.agent),
        "the same, word for word": (found.same, found.states),
    }
    for name, (count, of) in rows.items():
        grid.add_row(name, f"{count}/{of}", _share(wilson(count, of)) if of else "-")
    Console().print(grid)


STATES = "over the states that the agent came to by greedy play, where a right thought exists"


def show(report: Report) -> None:
    """Prints a report as one table and one line of costs."""
    grid = Table(title=f"{report.corrector} as corrector of {report.task}", caption=CAPTION)
    for column in ("thoughts", "number", "catch / pass", "fix / unspoilt", "no verdict"):
        grid.add_column(column, justify="left" if column == "thoughts" else "right")
    for score in report.scores:
        grid.add_row(score.kind, str(score.thoughts), _share(score.found), _share(score.fixed), str(score.absent))
    console = Console()
    console.print(grid)
    wrong = ", ".join(f"{kind} {_share(one)}" for kind, one in report.mistakes.items() if not math.isnan(one.estimate))
    console.print(f"corrections that are wrong: {wrong or 'there were none'}", highlight=False, soft_wrap=True)
    if (costs := costs_line(report.costs)) is not None:
        each = report.costs.get("usd_per_1000", 0.0)
        console.print(f"${each:.2f} per 1,000 turns; so far {costs}", highlight=False, soft_wrap=True)


CAPTION = (
    "wrong thoughts: caught (judged wrong) and fixed (the correction passes every check of the oracle); right ones: "
    "passed (judged right) and unspoilt (no false correction). 95 % Wilson intervals."
)


def _share(value: Interval) -> str:
    return f"{value.estimate:.2f} ({value.low:.2f}-{value.high:.2f})"


def write_json(report: Report | TeacherReport, path: Path) -> None:
    """Writes a report as JSON."""
    write_whole(path, encode(asdict(report), indent=1))

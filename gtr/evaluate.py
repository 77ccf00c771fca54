"""Evaluation on fixed panels of start states: the first half of the street, untruncated by correctors, no learning.

Random players, the task's expert and trained policies are agents alike, so that they are rows of one table.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, final

import numpy as np
import torch
from rich.console import Console
from rich.table import Table as RichTable

from gtr import tasks
from gtr.agent import Agent
from gtr.config import Config, PolicyConfig, TaskConfig
from gtr.errors import ConfigError, RunError
from gtr.metrics import health
from gtr.policy.policy import Policy, load_policy
from gtr.policy.seeded import seeded
from gtr.report.costs import costs_line
from gtr.rollout import Seat, Table
from gtr.stats import mean_interval, wilson
from gtr.tasks.reply import parse, write
from gtr.tasks.task import Task
from gtr.types import Ending, Prompt, Reply, Rollout, Turn

Split = Literal["same", "new-look", "new-rules", "seen", "unseen"]
API_AGENTS = ("openai:", "openai+tool:")
"""How agents begin that are asked over a network: openai:MODEL, and openai+tool:MODEL with the task's tools."""
WIDE = 160
"""Columns of a table that goes to a file or a pipe."""
PANEL_SEED = 20_250_308
"""Added to a panel's seed, so that no panel repeats the start states that a run of the same seed trains on."""


# -- panels -------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Panel:
    """A fixed list of start states of one task and split.

    Example name: ``points24-same-100-3f9a1c``, the last part a hash of the start states and pictures themselves.
    """

    name: str
    task: TaskConfig
    split: Split
    starts: Sequence[Mapping[str, Any]]
    """Arguments of `env.reset`, one per episode."""


def make_panel(task_config: TaskConfig, split: Split, episodes: int, seed: int) -> Panel:
    """A panel that the same arguments always give again."""
    config = tasks.load(task_config).under(split)
    task = tasks.load(config)
    rng = np.random.default_rng([PANEL_SEED, seed])
    starts = [task.reset_arguments(rng) for _ in range(episodes)]
    env = task.make_env()
    digest = hashlib.sha256(task.name.encode())
    for start in starts:
        image, info = env.reset(**start)
        digest.update(np.asarray(image).tobytes() + task.goal_key(task.truth(info)).encode())
    env.close()
    return Panel(f"{task.name}-{split}-{episodes}-{digest.hexdigest()[:6]}", config, split, starts)


# -- agents -------------------------------------------------------------------------------------------------------
@final
class PolicyAgent(Agent):
    """A vision-language model."""

    def __init__(self, policy: Policy, name: str, greedy: bool) -> None:
        self.policy, self.name, self.greedy = policy, name, greedy
        self.mode = "greedy" if greedy else "sampled"

    def act(self, seats: Sequence[Seat]) -> Sequence[Reply]:
        return self.policy.generate([seat.prompt for seat in seats], self.greedy)


@final
class RandomAgent(Agent):
    """Plays uniformly among the actions the game allows, without a thought."""

    name = "random"

    def __init__(self, task: Task, seed: int) -> None:
        self._task, self._rng = task, np.random.default_rng([PANEL_SEED, seed, 1])

    def act(self, seats: Sequence[Seat]) -> Sequence[Reply]:
        options = [list(self._task.actions(seat.observation)) for seat in seats]
        blank = dict.fromkeys(self._task.thought_keys, "")
        return [_written(blank, words[int(self._rng.integers(len(words)))]) for words in options]


@final
class ExpertAgent(Agent):
    """The task's own expert, which reads the truth; in a hopeless state it plays the first action there is."""

    name = "expert"

    def __init__(self, task: Task) -> None:
        self._task = task
        self._targets: dict[int, tuple[int, str | None]] = {}

    def act(self, seats: Sequence[Seat]) -> Sequence[Reply]:
        return [self._act(seat) for seat in seats]

    def _act(self, seat: Seat) -> Reply:
        episode, target = self._targets.get(seat.index, (-1, None))
        expert = self._task.expert(seat.truth, target if episode == seat.episode else None)
        if expert is None:
            return _written(dict.fromkeys(self._task.thought_keys, ""), self._task.actions(seat.observation)[0])
        self._targets[seat.index] = (seat.episode, expert.target)
        return _written(expert.thought, expert.action)


def _written(thought: Mapping[str, Any], action: str) -> Reply:
    return Reply(write(thought, action), (), (), True)


# -- playing ------------------------------------------------------------------------------------------------------
def play(agent: Agent, task: Task, panel: Panel, config: Config) -> list[list[Turn]]:
    """Plays every start of a panel to its end; returns the episodes in the panel's order.

    Replies are neither rewarded for their format nor is any episode stopped by a corrector.
    """
    config = replace(config, task=panel.task)
    table = Table(task, min(config.train.envs, len(panel.starts)), config)
    episodes: list[list[Turn]] = [[] for _ in panel.starts]
    queue = list(range(len(panel.starts)))[::-1]
    busy = list(table.seats)
    for seat in busy:
        _sit(table, seat, queue.pop(), panel)
    while busy:
        replies = agent.act(busy)
        for seat, reply in zip(list(busy), replies, strict=True):
            turn = table.unanswered(seat) if reply is None else _played(table, seat, reply)
            episodes[seat.episode].append(turn)
            if turn.ending is not Ending.RUNNING:
                if queue:
                    _sit(table, seat, queue.pop(), panel)
                else:
                    busy.remove(seat)
    table.close()
    return episodes


def _played(table: Table, seat: Seat, reply: Reply) -> Turn:
    parsed = parse(reply.text, reply.finished, table.task.thought_keys)
    return table.play(seat, reply, parsed, np.random.default_rng([PANEL_SEED, seat.episode, seat.turn]))


def _sit(table: Table, seat: Seat, number: int, panel: Panel) -> None:
    table.begin(seat, dict(panel.starts[number]), number)


# -- results ------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Group:
    """How an agent did on one kind of game."""

    episodes: int
    successes: int
    interval: tuple[float, float]
    """95 % Wilson interval of the success rate."""


@dataclass(frozen=True)
class Evaluation:
    """How an agent did on a panel."""

    agent: str
    task: str
    split: Split
    panel: str
    mode: Literal["greedy", "sampled", "scripted"]
    episodes: int
    """Episodes that ended; aborted ones are left out and counted in `aborted`."""
    aborted: int
    successes: int
    success: float
    interval: tuple[float, float]
    """95 % Wilson interval of the success rate."""
    health: Mapping[str, float] = field(default_factory=dict)
    """The thought-health metrics over the panel's turns."""
    groups: Mapping[str, Group] = field(default_factory=dict)
    """By kind of game, where the task tells kinds apart."""
    conditions: tuple[float, float, float] | None = None
    """Mean share of the goal's conditions that held at the end, with its 95 % t interval, where the task counts them.
    """

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def result_of(agent: Agent, panel: Panel, task: Task, episodes: Sequence[Sequence[Turn]]) -> Evaluation:
    """Counts what was played."""
    # An episode that broke says nothing about the agent.
    whole = [e for e in episodes if e[-1].ending is not Ending.ABORTED]
    wins = sum(e[-1].success for e in whole)
    interval = wilson(wins, len(whole))
    return Evaluation(
        agent.name,
        task.name,
        panel.split,
        panel.name,
        agent.mode,
        len(whole),
        len(episodes) - len(whole),
        wins,
        wins / len(whole) if whole else float("nan"),
        (interval.low, interval.high),
        health(Rollout(episodes), task, 0),
        _groups(whole, task),
        _conditions(whole),
    )


def _groups(episodes: Sequence[Sequence[Turn]], task: Task) -> dict[str, Group]:
    kinds: dict[str, list[bool]] = {}
    for episode in episodes:
        kind = task.group(episode[0].truth)
        if kind is not None:
            kinds.setdefault(kind, []).append(episode[-1].success)
    found = {}
    for kind, won in sorted(kinds.items()):
        interval = wilson(sum(won), len(won))
        found[kind] = Group(len(won), sum(won), (interval.low, interval.high))
    return found


def _conditions(episodes: Sequence[Sequence[Turn]]) -> tuple[float, float, float] | None:
    shares = [episode[-1].progress for episode in episodes]
    known = [share for share in shares if share is not None]
    if not known:
        return None
    mean = mean_interval(known)
    return mean.estimate, max(0.0, mean.low), min(1.0, mean.high)


def evaluate_policy(
    policy: Policy, name: str, config: Config, split: Split, episodes: int, seed: int, greedy: bool = True
) -> tuple[Evaluation, list[list[Turn]]]:
    """Evaluates a policy in memory; the run's own random numbers are left as they were."""
    panel = make_panel(config.task, split, episodes, seed)
    task = tasks.load(panel.task)
    agent = PolicyAgent(policy, name, greedy)
    with seeded(seed):
        played = play(agent, task, panel, config)
    return result_of(agent, panel, task, played), played


def evaluate(
    agent: str, config: Config, split: Split = "same", episodes: int = 100, seed: int = 0, greedy: bool = True
) -> Evaluation:
    """Evaluates `random`, `expert`, a run folder (its last checkpoint) or a model on a panel.

    Raises:
        GtrError: the agent cannot be loaded, or the task has no expert.
    """
    if agent in ("random", "expert"):
        panel = make_panel(config.task, split, episodes, seed)
        task = tasks.load(panel.task)
        player: Agent = RandomAgent(task, seed) if agent == "random" else ExpertAgent(task)
        if agent == "expert" and not _has_expert(task):
            raise ConfigError(f"task '{task.name}' has no expert: it does not define Task.expert")
        return result_of(player, panel, task, play(player, task, panel, config))
    if agent.startswith(API_AGENTS):
        return _evaluate_api(agent, config, split, episodes, seed, greedy)
    torch.set_num_threads(config.train.threads)
    policy = load_agent(agent, config.policy)
    return evaluate_policy(policy, agent, config, split, episodes, seed, greedy)[0]


def _evaluate_api(agent: str, config: Config, split: Split, episodes: int, seed: int, greedy: bool) -> Evaluation:
    """A model behind an OpenAI-compatible API, set by ``config.corrector``."""
    from gtr.guidance import needs_chat

    with needs_chat(f"agent {agent}"):
        from gtr.chat_agent import ChatAgent
    panel = make_panel(config.task, split, episodes, seed)
    task = tasks.load(panel.task)
    with closing(ChatAgent(agent, task, config.corrector, greedy)) as player:
        found = result_of(player, panel, task, play(player, task, panel, config))
    costs = player.ledger.metrics()
    return replace(found, health={**found.health, **costs})


def _has_expert(task: Task) -> bool:
    return type(task).expert is not Task.expert


def load_agent(agent: str, config: PolicyConfig) -> Policy:
    """A policy from a run folder's last checkpoint, a saved model, or a hub id."""
    from gtr.checkpoint import latest

    folder = Path(agent)
    if (folder / "config.json").exists() and (folder / "checkpoints").is_dir():
        found = latest(folder / "checkpoints")
        if found is None:
            raise RunError(f"{folder} holds no finished checkpoint; train it on with: gtr train --resume {folder}")
        return load_policy(found / "model", config)
    return load_policy(agent, config)


COLUMNS = ("episode/return", "episode/length", "action/legal", "thought/perception", "thought/start_plan")


def table(evaluations: Sequence[Evaluation]) -> None:
    """Prints evaluations as one table."""
    grid = RichTable(title=f"panel {evaluations[0].panel}" if evaluations else None)
    columns = ("agent", "mode", "success", "95 % interval", "episodes", "return", "length", "legal", "perception")
    for column in (*columns, "start plan"):
        grid.add_column(column, justify="left" if column in ("agent", "mode") else "right", overflow="fold")
    for e in evaluations:
        low, high = e.interval
        grid.add_row(
            e.agent,
            e.mode,
            f"{e.success:.2f}",
            f"{low:.2f}-{high:.2f}",
            str(e.episodes) + (f" (+{e.aborted} aborted)" if e.aborted else ""),
            *(_number(e.health, key) for key in COLUMNS),
        )
    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, WIDE)
    console.print(grid)
    if any(e.groups or e.conditions for e in evaluations):
        console.print(_by_kind(evaluations))
    for e in evaluations:
        if (costs := costs_line(e.health)) is not None:
            console.print(f"{e.agent}: {costs}", highlight=False, soft_wrap=True)


def _by_kind(evaluations: Sequence[Evaluation]) -> RichTable:
    """Success by kind of game, and the share of the goal's conditions that held at the end."""
    kinds = sorted({kind for e in evaluations for kind in e.groups})
    grid = RichTable("agent", *kinds, "goal conditions", title="success by kind of game, with 95 % intervals")
    for e in evaluations:
        cells = [_shares(e.groups[kind]) if kind in e.groups else "-" for kind in kinds]
        last = "-" if e.conditions is None else "{:.2f} ({:.2f}-{:.2f})".format(*e.conditions)
        grid.add_row(e.agent, *cells, last)
    return grid


def _shares(group: Group) -> str:
    low, high = group.interval
    return f"{group.successes}/{group.episodes} ({low:.2f}-{high:.2f})"


def _number(values: Mapping[str, float], name: str) -> str:
    value = values.get(name)
    return "-" if value is None or np.isnan(value) else f"{value:.2f}"


def write_json(evaluations: Sequence[Evaluation], path: Path) -> None:
    """Writes evaluations as a JSON list."""
    path.write_text(json.dumps([e.to_dict() for e in evaluations], indent=1) + "\n")


__all__ = ["Evaluation", "Panel", "Prompt", "evaluate", "evaluate_policy", "make_panel", "play", "table", "write_json"]

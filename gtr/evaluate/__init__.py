"""Evaluation on fixed panels of start states: the first half of the street, untruncated by correctors, no learning."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from gtr import tasks
from gtr.agents import API_AGENTS, Agent
from gtr.config import Config
from gtr.config.io import check_code, settings_of
from gtr.engine import Engine, LocalEngine
from gtr.envs import EnvState, VecEnv
from gtr.errors import ConfigError, RunError
from gtr.evaluate.agents import ExpertAgent, PolicyAgent, RandomAgent, load_agent
from gtr.evaluate.kept import keep as write_kept
from gtr.evaluate.panels import PANEL_SEED, Panel, Split, make_panel
from gtr.evaluate.results import Evaluation, result_of, write_json
from gtr.evaluate.table import print_table
from gtr.guidance import api_ready
from gtr.policy.policy import Policy
from gtr.policy.seeded import seeded
from gtr.report.folder import read_config
from gtr.tasks.task import Task
from gtr.types import Ending, Reply, Turn


def evaluate_policy(
    policy: Policy | Engine, name: str, config: Config, split: Split, episodes: int, seed: int, greedy: bool = True
) -> tuple[Evaluation, list[list[Turn]]]:
    """Evaluates a policy in memory, or one that an engine holds; the run's own random numbers are left as they were."""
    panel = make_panel(config.task, split, episodes, seed)
    task = tasks.load(panel.task)
    agent = PolicyAgent(policy if isinstance(policy, Engine) else LocalEngine(policy), name, greedy)
    with seeded(seed):
        played = play(agent, task, panel, config)
    return result_of(agent, panel, task, played), played


def evaluate(
    agent: str,
    config: Config | None = None,
    split: Split = "same",
    episodes: int = 100,
    seed: int = 0,
    greedy: bool = True,
    keep: Path | None = None,
    ended: Callable[[], object] = lambda: None,
) -> Evaluation:
    """Evaluates `random`, `expert`, a run folder (its last checkpoint) or a model on a panel.

    What was played is kept in a folder of its own below `keep`, if given; `ended` is called after each episode.
    Without a `config` a run is played with its own; if its task is code of the user's own, the user must name it:
    ``config=gtr.preset(file="RUN/config.json", task="file.py:Class")``.

    Raises:
        GtrError: the agent cannot be loaded, an API does not answer, the task has no expert, or no episode ended.
    """
    if config is None:
        config = read_config(Path(agent))
        check_code(settings_of(config), (), agent)
    panel = make_panel(config.task, split, episodes, seed)
    task = tasks.load(panel.task)
    with closing(_player(agent, config, task, seed, greedy)) as player, seeded(seed):
        played = play(player, task, panel, config, ended)
        found = result_of(player, panel, task, played)
        found = replace(found, health={**found.health, **player.metrics()})
        if not found.episodes:
            raise RunError(f"{agent}: none of {episodes} episodes was played to its end: nothing can be said of it")
        if keep is not None:
            write_kept(found, played, player, task, config, keep)
    return found


def _player(agent: str, config: Config, task: Task, seed: int, greedy: bool) -> Agent:
    if agent == "random":
        return RandomAgent(task, seed)
    if agent == "expert":
        if not task.has_expert():
            raise ConfigError(f"task '{task.name}' has no expert: it does not define Task.expert")
        return ExpertAgent(task)
    if agent.startswith(API_AGENTS):
        asked = replace(config.corrector, model=agent.partition(":")[2])
        api_ready(replace(asked, temperature=0.0) if greedy else asked, f"agent {agent}")
        from gtr.agents.chat import ChatAgent

        return ChatAgent(agent, task, config.corrector, greedy)
    torch.set_num_threads(config.train.threads)
    return PolicyAgent(LocalEngine(load_agent(agent, config.policy)), agent, greedy)


def play(
    agent: Agent, task: Task, panel: Panel, config: Config, ended: Callable[[], object] = lambda: None
) -> list[list[Turn]]:
    """Plays every start of a panel to its end, by the panel's rules; returns the episodes in the panel's order.

    Replies are neither rewarded for their format nor is any episode stopped by a corrector.
    """
    config = replace(config, task=panel.task)
    envs = VecEnv(task, min(config.train.envs, len(panel.starts)), config)
    episodes: list[list[Turn]] = [[] for _ in panel.starts]
    queue = list(range(len(panel.starts)))[::-1]
    busy = list(envs.states)
    for state in busy:
        _sit(envs, state, queue.pop(), panel)
    while busy:
        replies = agent.act(busy)
        for state, reply in zip(list(busy), replies, strict=True):
            turn = envs.unanswered(state) if reply is None else _played(envs, state, reply)
            episodes[state.episode].append(turn)
            if turn.ending is not Ending.RUNNING:
                ended()
                if queue:
                    _sit(envs, state, queue.pop(), panel)
                else:
                    busy.remove(state)
    envs.close()
    return episodes


def _played(envs: VecEnv, state: EnvState, reply: Reply) -> Turn:
    parsed = envs.task.parse(reply.text, reply.finished)
    return envs.play(state, reply, parsed, np.random.default_rng([PANEL_SEED, state.episode, state.turn]))


def _sit(envs: VecEnv, state: EnvState, number: int, panel: Panel) -> None:
    envs.begin(state, dict(panel.starts[number]), number)


__all__ = ["Evaluation", "Panel", "evaluate", "evaluate_policy", "make_panel", "play", "print_table", "write_json"]

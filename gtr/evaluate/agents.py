"""Who plays a panel: random players, the task's expert and trained policies, alike so that they share a table."""

from collections.abc import Sequence
from typing import final

import numpy as np

from gtr.agents import Agent
from gtr.config import PolicyConfig
from gtr.engine import Engine
from gtr.envs import EnvState
from gtr.evaluate.panels import PANEL_SEED
from gtr.policy.loading import load_policy
from gtr.policy.models import model_folder
from gtr.policy.policy import Policy
from gtr.tasks.task import Task
from gtr.types import Reply


@final
class PolicyAgent(Agent):
    """A vision-language model."""

    def __init__(self, engine: Engine, name: str, greedy: bool) -> None:
        self.engine, self.name, self.greedy = engine, name, greedy
        self.mode = "greedy" if greedy else "sampled"

    def act(self, states: Sequence[EnvState]) -> Sequence[Reply]:
        return self.engine.generate([state.prompt for state in states], self.greedy)


@final
class RandomAgent(Agent):
    """Plays uniformly among the actions the game allows, without a thought."""

    name = "random"

    def __init__(self, task: Task, seed: int) -> None:
        self._task, self._rng = task, np.random.default_rng([PANEL_SEED, seed, 1])

    def act(self, states: Sequence[EnvState]) -> Sequence[Reply]:
        options = [list(self._task.actions(state.observation)) for state in states]
        return [_said(self._task.blank(words[int(self._rng.integers(len(words)))])) for words in options]


@final
class ExpertAgent(Agent):
    """The task's own expert, which reads the truth; in an unsolvable state it plays the first action there is."""

    name = "expert"

    def __init__(self, task: Task) -> None:
        self._task = task
        self._targets: dict[int, tuple[int, str | None]] = {}

    def act(self, states: Sequence[EnvState]) -> Sequence[Reply]:
        return [self._act(state) for state in states]

    def _act(self, state: EnvState) -> Reply:
        episode, target = self._targets.get(state.index, (-1, None))
        expert = self._task.expert(state.truth, target if episode == state.episode else None)
        if expert is None:
            return _said(self._task.blank(self._task.actions(state.observation)[0]))
        self._targets[state.index] = (state.episode, expert.target)
        return _said(self._task.write(expert.thought, expert.action))


def _said(text: str) -> Reply:
    return Reply(text, (), (), True)


def load_agent(agent: str, config: PolicyConfig) -> Policy:
    """A policy from a run folder's last checkpoint, a checkpoint, a saved model, or a hub id."""
    return load_policy(model_folder(agent), config)

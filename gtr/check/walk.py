"""Episodes of a task that is not trusted yet: every step is held to gymnasium's contract while it is taken."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np

from gtr.errors import ContractError
from gtr.tasks.steps import kind, reset, step
from gtr.tasks.task import Task
from gtr.types import Expert, Observation, Truth


@dataclass(frozen=True)
class State:
    """One state as the environment gave it."""

    image: Any
    observation: Observation
    truth: Truth
    info: Mapping[str, Any]
    seen: tuple[Any, str]
    """A copy of the picture, and `Task.state_key`, from before the next step."""


@dataclass
class Walk:
    """One episode."""

    start: dict[str, Any]
    states: list[State] = field(default_factory=list)
    """One more than actions."""
    actions: list[Any] = field(default_factory=list)
    """The environment's."""
    rewards: list[float] = field(default_factory=list)
    experts: list[Expert] = field(default_factory=list)
    """Of an expert's episode, what it thought before each action."""
    ended: bool = False
    """Whether the environment ended it; False where `Task.max_turns` did, or nobody knew an action."""
    lost_its_way: bool = False
    """Whether the expert knew no action in a state that its own actions led to."""

    def success(self, task: Task) -> object:
        """What the task says of its end."""
        return task.success(self.rewards[-1] if self.rewards else 0.0, self.states[-1].info)

    def won(self, task: Task) -> bool:
        """Whether it ended in success."""
        return self.ended and bool(self.success(task))


Chooses = Callable[[State, Walk], str | None]
"""The next action in the agent's words; None where there is none."""


def walk(task: Task, start: dict[str, Any], choose: Chooses) -> Walk:
    """An episode from a start; raises `ContractError` for what no episode can go on with."""
    env, found = task.make_env(), Walk(start)
    if not isinstance(env, gymnasium.Env):
        raise ContractError(f"make_env returns {kind(env)}", "return a gymnasium.Env")
    image, info = reset(env, start)
    found.states.append(_state(task, image, info))
    while len(found.actions) < task.max_turns and not found.ended:
        words = choose(found.states[-1], found)
        if words is None:
            found.lost_its_way = bool(found.actions)
            break
        action = task.to_env(words, found.states[-1].observation)
        if action is None:
            raise ContractError(
                f"{words!r} is to be played, and to_env refuses it", "let to_env take whatever actions() allows here"
            )
        image, reward, terminated, truncated, info = step(env, action)
        found.actions.append(action)
        found.rewards.append(reward)
        found.states.append(_state(task, image, info))
        found.ended = terminated or truncated
    env.close()
    return found


def at_random(task: Task, rng: np.random.Generator) -> Chooses:
    """Chooses among the allowed actions."""

    def choose(state: State, so_far: Walk) -> str:
        allowed = list(task.actions(state.observation))
        if not allowed:
            raise ContractError(
                "actions() is empty in a game that goes on", "name every action that the game allows there"
            )
        return allowed[int(rng.integers(len(allowed)))]

    return choose


def by_expert(task: Task) -> Chooses:
    """Does what the expert does, which holds on to its plan."""

    def choose(state: State, so_far: Walk) -> str | None:
        target = so_far.experts[-1].target if so_far.experts else None
        expert = task.expert(state.truth, target)
        if expert is not None and not isinstance(expert, Expert):
            raise ContractError(f"expert returns {kind(expert)}", "return gtr.types.Expert(thought, action), or None")
        so_far.experts += [expert] if expert else []
        return expert.action if expert else None

    return choose


def _state(task: Task, image: Any, info: Mapping[str, Any]) -> State:
    observation, truth = task.observe(image, info), task.truth(info)
    if not isinstance(observation, Observation):
        raise ContractError(f"observe returns {kind(observation)}", "return gtr.types.Observation(picture, words)")
    return State(image, observation, truth, info, (copy.deepcopy(image), task.state_key(truth)))

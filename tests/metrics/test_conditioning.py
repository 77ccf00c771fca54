"""Metrics of thoughts read thoughts alone: a perfect thinker's stay perfect whatever hand moves the pieces."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from gtr import metrics, tasks
from gtr.tasks.reply import parse, write
from gtr.tasks.task import Task
from gtr.types import Ending, Expert, Parsed, Prompt, Reply, Rollout, Trajectory, Truth, Turn

EPISODES = 60
LOST = {"cards": [], "formula": "", "dealer": 0, "player": [], "target": -1, "current": -1, "thoughts": "nothing helps"}
"""What is thought where no thought can be right."""


def played(task: Task, skill: float) -> list[Turn]:
    """Episodes of perfect thoughts whose action is the expert's with this probability, else any."""
    env, rng = task.make_env(), np.random.default_rng(5)
    turns: list[Turn] = []
    for episode in range(EPISODES):
        image, info = env.reset(**task.reset_arguments(rng))
        target: str | None = None
        for index in range(task.max_turns):
            truth, observation = task.truth(info), task.observe(image, info)
            expert = task.expert(truth, target) or Expert({key: LOST[key] for key in task.thought_keys}, "")
            target = expert.target or target
            options = task.actions(observation)
            told = expert.action if expert.action and rng.random() < skill else options[int(rng.integers(len(options)))]
            parsed = parse(write(expert.thought, told), True, task.thought_keys)
            image, reward, terminated, truncated, info = env.step(task.to_env(told, observation))
            over = terminated or truncated or index == task.max_turns - 1
            turns.append(_turn(task, truth, parsed, observation, episode, index, over, float(reward)))
            if over:
                break
    return turns


def _turn(
    task: Task, truth: Truth, parsed: Parsed, observation: Any, episode: int, index: int, over: bool, reward: float
) -> Turn:
    ending = Ending.TERMINATED if over else Ending.RUNNING
    prompt = Prompt(observation.image, task.prompt(observation))
    reply = Reply("", (1,), (-1.0,), True)
    implied = task.implied_action(parsed, observation)
    return Turn(0, episode, index, prompt, truth, reply, parsed, True, reward, ending, implied=implied)


def measured(name: str, skill: float, **settings: Any) -> dict[str, float]:
    task = tasks.load(tasks.settings(name, prompt="compact", **settings))
    return metrics.health(Rollout([Trajectory(played(task, skill))]), task, 0)


@pytest.mark.parametrize(
    ("name", "settings"),
    [("ezpoints", {}), ("points24", {"hands": 32}), ("points24", {}), ("blackjack", {}), ("numberline", {})],
)
def test_worse_actions_do_not_make_thoughts_worse(name: str, settings: dict[str, Any]) -> None:
    found = {skill: measured(name, skill, **settings) for skill in (1.0, 0.8, 0.0)}
    for values in found.values():
        thoughts = {key: value for key, value in values.items() if key.startswith("thought/")}
        checks = {"thought/perception", "thought/step", "thought/right"} | (
            {"thought/plan", "thought/start_plan"} if "points" in name or "24" in name else set()
        )
        assert {key: thoughts[key] for key in checks} == dict.fromkeys(checks, 1.0)
        assert values["action/follows_right"] == values["action/follows"]
    shares = [found[skill]["thought/solvable"] for skill in (1.0, 0.8, 0.0)]
    follows = [found[skill]["action/follows"] for skill in (1.0, 0.8, 0.0)]
    assert follows[0] == 1.0 > follows[1] > follows[2]
    if name in ("blackjack", "numberline"):
        assert shares == [1.0] * 3, "no move makes these games lost"
    else:
        assert shares[0] - shares[1] > 0.1 < shares[1] - shares[2]
        judged = [found[skill]["count/judged"] for skill in (1.0, 0.8, 0.0)]
        turns = [found[skill]["count/turns"] for skill in (1.0, 0.8, 0.0)]
        assert judged == pytest.approx([share * count for share, count in zip(shares, turns, strict=True)])


def expectation(words: str, action: str) -> dict[str, float]:
    task = tasks.load(tasks.settings("blackjack", prompt="compact"))
    image, info = task.make_env().reset(seed=1)
    observation = task.observe(np.asarray(image), info)
    thought = {"dealer": 1, "player": [1], "thoughts": words}
    parsed = parse(write(thought, action), True, task.thought_keys)
    turn = _turn(task, task.truth(info), parsed, observation, 0, 0, True, 0.0)
    return metrics.health(Rollout([Trajectory([turn])]), task, 0)


@pytest.mark.parametrize("action", ["hit", "Hit", "HIT", " hit "])
def test_the_same_move_in_other_letters_follows(action: str) -> None:
    assert expectation("hard 12 next Hit", action)["action/follows"] == 1.0
    assert expectation("hard 12 next stand", action)["action/follows"] == 0.0


def same_actions() -> Iterator[tuple[str, str, str, bool]]:
    yield "blackjack", "Stand", "stand", True
    yield "points24", "10", "1 0", False
    yield "points24", "(", "(", True
    yield "alfworld", "Go to the fridge 1.", "go to fridge 1", True
    yield "alfworld", "put mug 1 in/on desk 2", "move mug 1 to desk 2", True
    yield "alfworld", "go to fridge 2", "go to fridge 1", False


@pytest.mark.parametrize(("name", "one", "other", "same"), same_actions())
def test_which_texts_are_one_action(name: str, one: str, other: str, same: bool) -> None:
    assert tasks.load(tasks.settings(name)).same_action(one, other) is same

"""Whether prompt, replies and actions fit the one reader that all replies go through."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import gymnasium

from gtr import tasks
from gtr.check.walk import State
from gtr.tasks.task import Finding, Task
from gtr.types import ReplyStatus

if TYPE_CHECKING:
    from gtr.check import Played

NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")
NO_ACTION = "no such action"


def names(played: "Played") -> Iterator[Finding]:
    """Whether the task's own names can be used as they are."""
    task = played.task
    if not NAME.fullmatch(str(getattr(task, "name", ""))):
        yield Finding(False, f"name is {getattr(task, 'name', None)!r}", 'give a short lower-case word: name = "maze"')
    keys = tuple(task.thought_keys)
    if not isinstance(task.thought_keys, tuple) or len(set(keys)) != len(keys) or "action" in keys:
        yield Finding(
            False, f"thought_keys are {task.thought_keys!r}", 'give a tuple of different keys, without "action"'
        )
    if keys[: len(task.reading_keys)] != tuple(task.reading_keys):
        yield Finding(
            False,
            f"reading_keys {task.reading_keys!r} are not the first of thought_keys {keys!r}",
            "let a thought begin with what it sees: SFT teaches that part first",
        )
    methods = [name for name in vars(Task) if name[0] != "_" and callable(getattr(Task, name))]
    for name in methods:
        if not callable(own := getattr(task, name)):
            yield Finding(False, f"{name} is {own!r}, where a task has a method", "give it another name")


def prompts(played: "Played") -> Iterator[Finding]:
    """Whether prompts are texts of the observation alone, and show the reply as it is read."""
    for style in ("paper", "compact"):
        task = tasks.load(replace(played.config.task, prompt=style))
        for state in _states(played):
            text = task.prompt(state.observation)
            if not isinstance(text, str) or not text.strip():
                yield Finding(False, f"the {style} prompt is {text!r}", "return a text")
                return
            if text != task.prompt(state.observation):
                yield Finding(
                    False, f"the {style} prompt differs from call to call", "make it of the observation alone"
                )
                return
        if style == "paper" and (problem := _unreadable(text, task)):
            yield problem


def _unreadable(prompt: str, task: Task) -> Finding | None:
    """What keeps a reply that follows the prompt from being read."""
    keys = (*task.thought_keys, "action")
    form = task.reply_format
    shape = task.ask(dict.fromkeys(task.thought_keys, "..."), "...")
    shown = [form.shown.format(re.escape(key)) for key in task.thought_keys]
    places = [re.search(one, prompt) for one in (*shown, form.action_mark.replace(":", r"\s*:"))]
    missing = [key for key, place in zip(keys, places, strict=True) if place is None]
    if missing:
        text = f"the prompt does not show the key {missing[0]!r}: a reply that follows it cannot be read"
        return Finding(False, text, f"end the prompt with the reply's form: {shape}")
    found = [place.start() for place in places if place]
    if found != sorted(found):
        return Finding(
            False, "the prompt shows the reply's keys in another order", f"thought first, action last: {shape}"
        )
    return None


def actions(played: "Played") -> Iterator[Finding]:
    """Whether every allowed action can be written, read and played, and no other words can."""
    task, space = played.task, getattr(played.task.make_env(), "action_space", None)
    for state in _states(played):
        allowed = list(task.actions(state.observation))
        if len(set(map(str, allowed))) != len(allowed):
            yield Finding(False, f"actions() names {allowed!r}", "name each action once")
            return
        if problem := next((found for one in allowed if (found := _unplayable(one, task, state, space))), None):
            yield problem
            return
        if NO_ACTION not in allowed and task.to_env(NO_ACTION, state.observation) is not None:
            yield Finding(
                False, f"to_env takes {NO_ACTION!r} for an action", "return None for words that are not in actions()"
            )
            return


def _unplayable(action: Any, task: Task, state: State, space: Any) -> Finding | None:
    """Why an action that is allowed cannot be chosen by a reply."""
    if not isinstance(action, str):
        return Finding(
            False, f"actions() names {action!r}, no text", f"name it as the agent writes it: {str(action)!r}"
        )
    read = task.parse(task.blank(action))
    if read.status is not ReplyStatus.COMPLETE or read.action != action or not action:
        return Finding(
            False,
            f"the action {action!r} comes back from a reply as {read.action!r}",
            "name it in letters that a reply can carry, without blanks at its ends",
        )
    played = task.to_env(action, state.observation)
    if played is None:
        return Finding(False, f"actions() allows {action!r}, and to_env refuses it", "let both say the same")
    if isinstance(space, gymnasium.Space) and not space.contains(played):
        text = f"to_env makes {played!r} of {action!r}, which the environment's {space} does not hold"
        return Finding(False, text, "return one of the environment's own actions")
    return None


def _states(played: "Played") -> list[State]:
    """States in which the game goes on."""
    return [state for one in played.walks for state in one.states[: len(one.actions)]]

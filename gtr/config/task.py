"""Settings that every game has; those of one game stand in its own file (`gtr.tasks.task.Task.Settings`)."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Le

from gtr.config.section import Reward, Section, Text


@dataclass(frozen=True)
class TaskConfig(Section):
    """Which game is played, how it looks, and how it is described to the agent."""

    name: Text = ""
    """The game, chosen by --task, which brings its settings: one of `gtr tasks`, or the import path of your own."""
    prompt: Literal["paper", "compact"] = "paper"
    """Full rules (paper), or a few words, for tiny models whose time goes into tokens."""
    format: Literal["json", "think"] = "json"
    """How the agent replies: one JSON object, or free text and an action as <think>...</think><answer>...</answer>, as
    models that come with thinking do."""
    thought: bool = True
    """Whether the agent writes a thought before its action (False: the no-thought baseline, arXiv 2503.16188)."""
    history_turns: Annotated[int, Ge(0), Le(1000)] = 0
    """Turns of the episode before this one that the prompt shows again, each with its picture and the agent's reply."""
    image_size: Annotated[int, Ge(32), Le(4096)] = 300
    """Side of the square picture in pixels."""
    max_turns: Annotated[int, Ge(1), Le(100_000)] | None = None
    """Turns until an episode is truncated; None takes the task's own limit."""
    illegal: Literal["penalise", "random", "lenient"] = "penalise"
    """What an illegal or unreadable reply does: cost `illegal_reward` and change nothing, or play at random; lenient
    (code) first takes the one action that is named anywhere behind the action's key, in a whole object or not."""
    illegal_reward: Reward = -1.0
    """Reward of a turn whose reply is not a legal action."""

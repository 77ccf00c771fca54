"""The words around the picture: prompts, and what a thought says it sees."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gtr.tasks.alfworld import icons
from gtr.tasks.alfworld.world import Room, State, kind_of

NOTHING = "nothing"

RULES = (
    "A robot does a household task in a room. The picture shows, at the top, the receptacle in front of it (a green "
    "tick: open, a red cross: closed) and its hand with what it holds; in the middle what lies in or on that "
    "receptacle, hatched where a closed door hides it; below, a map of the room. Blue stars mark clean things, flames "
    "hot ones, snowflakes cool ones, rays a lamp that is on. A thing is cleaned at a sinkbasin, heated with a "
    "microwave, cooled with a fridge, and looked at under a lamp by switching it on while holding the thing. "
    "The robot may know only what it has seen: where a thing has not been seen yet, it has to search places that it "
    "has not looked into."
)
QUESTIONS = {
    "perception": "Does the thought rightly say what is in front of the robot and what is in its hand?",
    "plan": "Is the step that it names the one that the task needs now?",
    "step": "Is the action that it announces allowed now, and does it further that step?",
}


def full(shown: Mapping[str, str], commands: Sequence[str], ask: Callable[[Mapping[str, str], str], str]) -> str:
    """The prompt with everything said (paper: task, history, admissible actions, JSON; RL4VLM adds the text)."""
    fields = {
        "thoughts": '"what the picture shows in front of you and in your hand, which step of the task comes now, '
        'and at the end: my next action is ..."'
    }
    done = shown["history"].replace("\n", "; ") or "nothing yet"
    scene = f"What you are told about it: {shown['text']}\n" if "text" in shown else ""
    return (
        "You are a household robot. The picture shows what is in front of you, what you hold, and a map of the room. "
        "Your hand takes one thing at a time; look inside closed things by opening them.\n"
        f"{scene}Your task: {shown['task']}.\n"
        f"What you did last: {done}.\n"
        f"Actions you may take now: {', '.join(commands)}\n" + ask(fields, '"one of these actions"')
    )


def compact(shown: Mapping[str, str], commands: Sequence[str]) -> str:
    """The same in as few tokens as a tiny model can be given."""
    scene = f"{shown['text']}\n" if "text" in shown else ""
    done = shown["history"].replace("\n", "; ")
    return f"{scene}{'; '.join(commands)}\ndone: {done}\ntask: {shown['task']}"


_FILLERS = re.compile(r"""(?:[\s:'"`]|action|command|step|is)*""")


def announced(thoughts: object, commands: Sequence[str]) -> str | None:
    """The command named right after the last word "next" of a thought, or None.

    >>> announced("put mug 1 in desk, next move mug 1 to desk 1", ["move mug 1 to desk 1", "look"])
    'move mug 1 to desk 1'
    """
    if not isinstance(thoughts, str) or "next" not in thoughts.lower():
        return None
    tail = thoughts.lower().rpartition("next")[2]
    start = _FILLERS.match(tail)
    tail = tail[start.end() :] if start else tail
    named = [c for c in commands if tail.startswith(c) and not tail[len(c) : len(c) + 1].isalnum()]
    return max(named, key=len, default=None)


@dataclass(frozen=True)
class Seen:
    """What a picture shows of the receptacle in front and of the hand, as short texts."""

    view: str
    """As ``fridge 1 open``, ``desk 1``, or ``nothing``."""
    hand: str
    """As ``mug 1`` or ``nothing``."""

    def fields(self, goal: str, move: str) -> dict[str, str]:
        """A thought for compact prompts."""
        return {"view": self.view, "hand": self.hand, "thoughts": f"{goal}, next {move}"}

    def sentence(self, goal: str, move: str) -> str:
        """A thought in sentences."""
        seen = f"I am in front of {self.view}. In my hand is {self.hand}"
        return f"{seen}. Now I have to {goal}, so my next action is {move}"

    def agrees(self, fields: Mapping[str, Any]) -> bool:
        """Whether a thought's own words say the same, in fields of their own or in sentences like `sentence`."""
        said = {key: fields.get(key) for key in ("view", "hand")}
        thoughts = fields.get("thoughts")
        if said["view"] is None and said["hand"] is None and isinstance(thoughts, str):
            view = re.search(r"in front of (?:the |an? )?([^.,;]+)", thoughts, re.IGNORECASE)
            hand = re.search(r"in my hand is (?:the |an? )?([^.,;]+)", thoughts, re.IGNORECASE)
            said = {"view": view and view[1], "hand": hand and hand[1]}
        return all(
            isinstance(value, str) and value.strip().lower() == true
            for value, true in ((said["view"], self.view), (said["hand"], self.hand))
        )


def seen(room: Room, state: State, facing: str | None) -> Seen:
    """What the picture of these facts shows."""
    view = NOTHING
    if facing is not None:
        door = " open" if facing in state.opened else " closed"
        view = facing + (door if room.receptacles[facing].openable else "")
    return Seen(view, state.held or NOTHING)


_FRONTS = {kind: i + 1 for i, kind in enumerate(icons.RECEPTACLES)}
_HANDS = {kind: i + 1 for i, kind in enumerate(icons.THINGS)}


def visual_labels(room: Room, state: State, facing: str | None) -> tuple[int, ...]:
    """Class numbers: receptacle in front, its number, its door (0 none, 1 closed, 2 open), kind in hand; 0 is nothing.

    A kind that no table knows is 0 too.
    """
    front = 0 if facing is None else _FRONTS.get(kind_of(facing), 0)
    number = 0 if facing is None else int(facing.partition(" ")[2] or 0)
    door = 0 if facing is None or not room.receptacles[facing].openable else 1 + (facing in state.opened)
    hand = 0 if state.held is None else _HANDS.get(kind_of(state.held), 0)
    return front, number, door, hand

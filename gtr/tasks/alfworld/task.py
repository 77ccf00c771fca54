"""ALFWorld in words: what the agent is told and must state, and what a perfect player thinks.

Settings (``task.options``), the first value being the default:

======== =============================== ======================================================================
data     generated, files                games made on the spot, or ALFWorld's own below ``$ALFWORLD_DATA``
split    train, seen, unseen             which games; seen and unseen are for evaluation
kinds    pick,look,clean,heat,cool,two   kinds of task
games    200 (files: all)                number of games
rooms    all                             rooms of each type (generated)
space    all                             most receptacles per room (generated)
clutter  12                              things nobody asks for (generated)
frames   drawn, thor                     pictures drawn from the facts, or AI2-THOR's (needs its build and data=files)
labels   on, off                         whether names are written in the picture
text     off, on                         whether the scene's description is told (RL4VLM), or must be seen (paper)
history  5                               commands and whether they worked, told with the prompt
hidden   off, on                         whether the expert knows what the agent has not seen yet
match    exact, substring                how an action is read; substring is the reference code's way
limit    40                              commands until an episode is cut
repeats  5                               the same command this often running cuts it too
cut      truncation, termination         how GAE sees a cut
cut_reward  -3, none                     reward of the turn that is cut (code: -3)
workers  on, off                         play each game in a process of its own
======== =============================== ======================================================================
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from gtr.config import TaskConfig
from gtr.errors import ConfigError, nearest
from gtr.tasks.alfworld import package, words
from gtr.tasks.alfworld.commands import Command, index, match, normal, read
from gtr.tasks.alfworld.engine import Player, borrow
from gtr.tasks.alfworld.env import GAMES, LONGEST_COMMAND, ALFWorldEnv
from gtr.tasks.alfworld.expert import Advice, advise
from gtr.tasks.alfworld.generate import Wish
from gtr.tasks.alfworld.library import Files, Generated, Library
from gtr.tasks.alfworld.memory import everything
from gtr.tasks.alfworld.thor import Thor
from gtr.tasks.alfworld.view import STYLES
from gtr.tasks.alfworld.workers import THOR_LOAD_SECONDS, THOR_STEP_SECONDS, Worker
from gtr.tasks.alfworld.world import SHORT, SHORT_OF, Kind
from gtr.tasks.options import choice, known_options, no_hands
from gtr.tasks.task import Briefing, Task
from gtr.types import Expert, Image, Observation, Parsed, Truth

OPTIONS = (
    "data", "split", "kinds", "games", "rooms", "space", "clutter", "frames", "labels", "text", "history", "hidden",
    "match", "limit", "repeats", "cut", "cut_reward", "workers",
)  # fmt: skip
IDLE = frozenset({"look", "inventory", "help"})
"""Commands that tell nothing that the picture does not show; a compact prompt leaves them and `examine` out."""


class ALFWorldTask(Task):
    """ALFWorld: household chores in rooms drawn as a schematic, such as putting a clean mug into a cabinet."""

    name = "alfworld"
    thought_keys: tuple[str, ...] = ("thoughts",)

    def __init__(self, config: TaskConfig) -> None:
        if config.prompt == "compact":
            self.thought_keys, self.reading_keys = ("view", "hand", "thoughts"), ("view", "hand")
        self.max_turns = number(config, "limit", 40, 1)
        super().__init__(config)
        known_options(config.options, OPTIONS, "task.options of alfworld")
        no_hands(config)
        self.kinds = kinds_of(config)
        self.text = choice(config, "text", ("off", "on")) == "on"
        self.labels = choice(config, "labels", ("on", "off")) == "on"
        self.hidden = choice(config, "hidden", ("off", "on")) == "on"
        self.substring = choice(config, "match", ("exact", "substring")) == "substring"
        self.cut = choice(config, "cut", ("truncation", "termination"))
        self.history = number(config, "history", 5, 0)
        self.repeats = number(config, "repeats", 5, 2)
        self.cut_reward = cut_reward(config)
        self.player = player_of(config)
        self.library = library_of(config, self.kinds)

    # -- the environment ------------------------------------------------------------------------------------------
    def make_env(self) -> ALFWorldEnv:
        """The environment with this task's settings; TaskError where the engine is not installed."""
        package.need()
        return ALFWorldEnv(
            library=self.library,
            image_size=self.config.image_size,
            style=self.config.deck if self.config.deck in STYLES else "classic",
            labels=self.labels,
            limit=self.max_turns,
            repeats=self.repeats,
            cut_reward=self.cut_reward,
            cut_is=self.cut,
            player=self.player,
        )

    def observe(self, image: Image, info: Mapping[str, Any]) -> Observation:
        """The picture, the task, what was done, and what may be done; the scene's text where it is asked for."""
        shown = {
            "task": info["task"],
            "history": "\n".join(_past(info["history"], self.history)),
            "commands": "\n".join(info["commands"]),
        }
        if self.text:
            shown["text"] = info["feedback"]
        return Observation(image, shown)

    def describe(self) -> Mapping[str, Any]:
        """What shapes the games beside the settings: versions, number of games, and the grammar of the first."""
        return {**package.versions(), "games": len(self.library), "grammar": self.library.game(0).words}

    def progress(self, info: Mapping[str, Any]) -> float:
        """The goal-condition rate."""
        return float(info["conditions"])

    def group(self, truth: Truth) -> str:
        """The kind of task, by its short name."""
        return SHORT_OF[Kind(truth.state["kind"])]

    def under(self, split: str) -> TaskConfig:
        """``seen`` and ``unseen`` are ALFWorld's own splits; a household has no rules to change."""
        if split in ("seen", "unseen"):
            return replace(self.config, options={**self.config.options, "split": split})
        if split == "new-rules":
            raise ConfigError("--split new-rules: alfworld has the splits same, new-look, seen and unseen")
        return super().under(split)

    def strict(self) -> TaskConfig:
        """Without reading an action off any text that holds one."""
        config = super().strict()
        return replace(config, options={key: value for key, value in config.options.items() if key != "match"})

    def rules(self) -> Mapping[str, Any]:
        """Neither where games are played nor what the expert knows is one."""
        rules = super().rules()
        return {**rules, "options": {k: v for k, v in rules["options"].items() if k not in ("workers", "hidden")}}

    # -- words ----------------------------------------------------------------------------------------------------
    def prompt(self, observation: Observation) -> str:
        """Task, history, admissible commands and reply format, or the first three in a few words."""
        if self.config.prompt == "compact":
            return words.compact(observation.words, self.actions(observation))
        return words.full(observation.words, self.actions(observation), self.thought_keys)

    def actions(self, observation: Observation) -> Sequence[str]:
        """The admissible commands; in a compact prompt those that do something."""
        commands = observation.words["commands"].split("\n")
        if self.config.prompt == "compact":
            return [command for command in commands if command not in IDLE and read(command).verb != "examine"]
        return commands

    def to_env(self, action: str, observation: Observation) -> str | None:
        """The admissible command that the words name, exactly or in a form that fits only one."""
        return match(action, observation.words["commands"].split("\n"), self.substring)

    def refused(self, action: str) -> str:
        """The words themselves on one line: the environment says that nothing happens, and remembers it."""
        return " ".join(action.split())[:LONGEST_COMMAND]

    # -- knowledge ------------------------------------------------------------------------------------------------
    def truth(self, info: Mapping[str, Any]) -> Truth:
        """The facts."""
        kept = ("task", "kind", "game", "conditions", "illegal", "room", "state", "memory", "commands")
        return Truth({key: info[key] for key in kept})

    def advice(self, truth: Truth) -> Advice | None:
        """What a perfect player would do, of what the agent could know."""
        room, state = truth.state["room"], truth.state["state"]
        return advise(room, state, everything(room, state) if self.hidden else truth.state["memory"].seen)

    def expert(self, truth: Truth, target: str | None = None) -> Expert | None:
        """What is in front, what is in hand, the sub-goal, and the next command."""
        moves = self._moves(truth)
        advice = self.advice(truth)
        if advice is None or not moves:
            return None
        seen = words.seen(truth.state["room"], truth.state["state"], truth.state["memory"].facing)
        compact = self.config.prompt == "compact"
        fields = seen.fields(advice.goal, moves[0]) if compact else {"thoughts": seen.sentence(advice.goal, moves[0])}
        return Expert({key: fields[key] for key in self.thought_keys}, moves[0], None)

    def _moves(self, truth: Truth) -> list[str]:
        """All right next commands, as this game writes them."""
        advice = self.advice(truth)
        known: Mapping[Command, str] = index(truth.state["commands"])
        return [known[move] for move in advice.moves if move in known] if advice is not None else []

    def check(self, truth: Truth, parsed: Parsed, target: str | None) -> Mapping[str, bool]:
        """Whether the thought sees what is in front and in hand, names the sub-goal, and announces a right command.

        Every right command counts, for example any cupboard that was not searched yet.
        """
        if not self.thought_keys:
            return {}
        advice = self.advice(truth)
        seen = words.seen(truth.state["room"], truth.state["state"], truth.state["memory"].facing)
        thoughts = parsed.fields.get("thoughts")
        said = words.announced(thoughts, truth.state["commands"])
        goals = () if advice is None else (advice.goal, *advice.others)
        return {
            "perception": seen.agrees(parsed.fields),
            "plan": isinstance(thoughts, str) and any(goal in thoughts.lower() for goal in goals),
            "step": said is not None and said in self._moves(truth),
        }

    def briefing(self) -> Briefing:
        """Rules and check questions for a corrector that is a model."""
        return Briefing(words.RULES, words.QUESTIONS)

    def on_course(self, truth: Truth, target: str | None) -> bool:
        """Whether the goal is reached or can still be reached."""
        return truth.state["conditions"] == 1 or bool(self._moves(truth))

    def implied_action(self, parsed: Parsed, observation: Observation) -> str | None:
        """The command named after the last "next" of the thoughts."""
        return words.announced(parsed.fields.get("thoughts"), self.actions(observation))

    def same_action(self, one: str, other: str) -> bool:
        """Whether two texts are one command, as `to_env` reads them."""
        return normal(one) == normal(other)

    def solvable(self, truth: Truth) -> bool:
        """Whether some command helps: what `expert` asks first."""
        return bool(self._moves(truth))

    def goal_key(self, truth: Truth) -> str:
        """The game, the place, what is in hand and what has been seen."""
        state, memory = truth.state["state"], truth.state["memory"]
        return f"{truth.state['game']} {memory.facing} {state.held} {sorted(memory.seen)} {sorted(state.opened)}"

    def reading(self, truth: Truth) -> tuple[int, ...]:
        """Class numbers of the receptacle in front, its door, and the kind in hand."""
        state, memory = truth.state["state"], truth.state["memory"]
        return words.reading(truth.state["room"], state, memory.facing)


# -- settings -----------------------------------------------------------------------------------------------------
def number(config: TaskConfig, key: str, default: int, least: int) -> int:
    """A whole number among the free options."""
    text = config.options.get(key, str(default))
    if not text.isdecimal() or int(text) < least:
        raise ConfigError(f"task.options {key}={text!r}: give a whole number of at least {least}")
    return int(text)


def _number_or_all(config: TaskConfig, key: str) -> int | None:
    return None if config.options.get(key, "all") == "all" else number(config, key, 1, 1)


def cut_reward(config: TaskConfig) -> float | None:
    """The reward of a cut turn; None leaves the turn's own."""
    text = config.options.get("cut_reward", "-3")
    if text == "none":
        return None
    try:
        return float(text)
    except ValueError as error:
        raise ConfigError(f"task.options cut_reward={text!r}: give a number, or none") from error


def kinds_of(config: TaskConfig) -> tuple[Kind, ...]:
    """The kinds of task asked for, in the fixed order."""
    wanted = config.options.get("kinds", ",".join(SHORT)).replace(" ", "").split(",")
    for name in wanted:
        if name not in SHORT:
            raise ConfigError(f"task.options kinds={name!r}: {nearest(name, SHORT)}; several with commas between")
    return tuple(kind for name, kind in SHORT.items() if name in wanted)


def library_of(config: TaskConfig, kinds: tuple[Kind, ...]) -> Library:
    """The games that the settings name."""
    split = choice(config, "split", ("train", "seen", "unseen"))
    if choice(config, "data", ("generated", "files")) == "files":
        for key in ("rooms", "space", "clutter"):
            if key in config.options:
                raise ConfigError(f"task.options {key}: only generated games can be shaped; leave it out")
        return Files(split, kinds, _number_or_all(config, "games"))
    rooms, space = _number_or_all(config, "rooms"), _number_or_all(config, "space")
    wish = Wish(split, kinds, rooms, space, number(config, "clutter", 12, 0))
    return Generated(wish, number(config, "games", GAMES, 1))


def player_of(config: TaskConfig) -> Callable[[], Player]:
    """What plays the games: drawn or photographed, in processes of their own or in this one."""
    apart = choice(config, "workers", ("on", "off")) == "on"
    if choice(config, "frames", ("drawn", "thor")) == "drawn":
        return Worker if apart else borrow
    if choice(config, "data", ("generated", "files")) != "files":
        raise ConfigError("task.options frames='thor': AI2-THOR plays ALFWorld's own games: set data files")
    return functools.partial(Worker, THOR_LOAD_SECONDS, THOR_STEP_SECONDS, Thor) if apart else Thor


def _past(history: Sequence[tuple[str, bool]], count: int) -> list[str]:
    return [command if legal else f"{command} (not possible)" for command, legal in history[-count:] if count]

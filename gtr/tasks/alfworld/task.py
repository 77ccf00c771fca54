"""ALFWorld in words: what the agent is told and must state, and what a perfect player thinks."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from gtr.config import TaskConfig
from gtr.errors import ConfigError
from gtr.tasks.alfworld import package, words
from gtr.tasks.alfworld.commands import Command, index, match, normal, read
from gtr.tasks.alfworld.draft import GameSpec
from gtr.tasks.alfworld.engine import Player, borrow
from gtr.tasks.alfworld.env import GAMES, LONGEST_COMMAND, ALFWorldEnv
from gtr.tasks.alfworld.expert import Advice, advise
from gtr.tasks.alfworld.game_set import Files, GameSet, Generated
from gtr.tasks.alfworld.memory import everything
from gtr.tasks.alfworld.settings import ALFWorldSettings
from gtr.tasks.alfworld.thor import Thor
from gtr.tasks.alfworld.workers import THOR_LOAD_SECONDS, THOR_STEP_SECONDS, Worker
from gtr.tasks.alfworld.world import SHORT, SHORT_OF, Kind
from gtr.tasks.defaults import Published, Tiny
from gtr.tasks.looks import DeckTask
from gtr.tasks.task import CorrectorSpec, Finding
from gtr.types import Expert, Image, Observation, Parsed, Truth

IDLE = frozenset({"look", "inventory", "help"})
"""Commands that tell nothing that the picture does not show; a compact prompt leaves them and `examine` out."""


class ALFWorldTask(DeckTask):
    """ALFWorld: household chores in rooms drawn as a schematic, such as putting a clean mug into a cabinet."""

    Settings: ClassVar[type[TaskConfig]] = ALFWorldSettings
    splits = ("same", "new-look", "seen", "unseen")
    # Its episodes are cut by the game itself, never by the corrector (code).
    published = Published(
        updates=5,
        steps=5_000,
        thought_weight=0.2,
        stop_early=False,
        truncated_is="truncation",
        reference={"match": "substring", "limit": 41, "history": 10_000},
    )
    # One kind of task in small rooms that are easy to see: an agent of this size learns no household. It starts above
    # what random players reach (.08): an agent at .1 mostly names actions that the game refuses.
    tiny = Tiny(
        sft_target=0.25,
        updates=16,
        settings={"kinds": ("pick",), "games": 24, "rooms": 2, "space": 4, "clutter": 2, "labels": False,
                  "history": 4, "limit": 12, "workers": False},
    )  # fmt: skip
    name = "alfworld"
    thought_keys: tuple[str, ...] = ("thoughts",)
    lenient_reward = -1.0
    config: ALFWorldSettings

    def __init__(self, config: ALFWorldSettings) -> None:
        if config.prompt == "compact":
            self.thought_keys, self.reading_keys = ("view", "hand", "thoughts"), ("view", "hand")
        self.max_turns = config.limit
        super().__init__(config)
        self.player = player_of(config)

    @functools.cached_property
    def games(self) -> GameSet:
        """The games, looked up when they are needed: an evaluation of another split needs no others."""
        return game_set_of(self.config)

    def ready(self) -> None:
        """Whether the engine is installed and the games are there."""
        package.need()
        _ = self.games

    @classmethod
    def findings(cls) -> Iterator[Finding]:
        """The engine and its data."""
        from gtr.tasks.alfworld import machine

        return machine.findings()

    # -- the environment ------------------------------------------------------------------------------------------
    def make_env(self) -> ALFWorldEnv:
        """The environment with this task's settings; TaskError where the engine is not installed."""
        package.need()
        return ALFWorldEnv(
            games=self.games,
            image_size=self.config.image_size,
            style=self.config.deck,
            labels=self.config.labels,
            limit=self.max_turns,
            repeats=self.config.repeats,
            cut_reward=self.config.cut_reward,
            cut_is=self.config.cut,
            player=self.player,
        )

    def observe(self, image: Image, info: Mapping[str, Any]) -> Observation:
        """The picture, the task, what was done, and what may be done; the scene's text where it is asked for."""
        shown = {
            "task": info["task"],
            "history": "\n".join(_past(info["history"], self.config.history)),
            "commands": "\n".join(info["commands"]),
        }
        if self.config.text:
            shown["text"] = info["feedback"]
        return Observation(image, shown)

    def describe(self) -> Mapping[str, Any]:
        """What shapes the games beside the settings: versions, number of games, and the grammar of the first."""
        return {**package.versions(), "games": len(self.games), "grammar": self.games.game(0).words}

    def progress(self, info: Mapping[str, Any]) -> float:
        """The goal-condition rate."""
        return float(info["conditions"])

    def group(self, truth: Truth) -> str:
        """The kind of task, by its short name."""
        return SHORT_OF[Kind(truth.state["kind"])]

    def for_split(self, split: str) -> TaskConfig:
        """``seen`` and ``unseen`` are ALFWorld's own splits; a household has no rules to change."""
        if split in ("seen", "unseen"):
            return replace(self.config, split="seen" if split == "seen" else "unseen")
        return super().for_split(split)

    def action_in(self, text: str, observation: Observation) -> str | None:
        """The first admissible command that occurs behind the action's key, or else in the last 30 letters (code)."""
        tail = self.reply_format.tail(text, 30)
        return next((command for command in self.actions(observation) if command in tail), None)

    def strict(self) -> TaskConfig:
        """Without reading an action off any text that holds one."""
        return replace(self.config, illegal="penalise", match="exact")

    def rules(self) -> Mapping[str, Any]:
        """Neither where games are played nor what the expert knows is one."""
        return {key: value for key, value in super().rules().items() if key not in ("workers", "hidden")}

    # -- words ----------------------------------------------------------------------------------------------------
    def prompt(self, observation: Observation) -> str:
        """Task, history, admissible commands and reply format, or the first three in a few words."""
        if self.config.prompt == "compact":
            return words.compact(observation.words, self.actions(observation))
        return words.full(observation.words, self.actions(observation), self.ask)

    def actions(self, observation: Observation) -> Sequence[str]:
        """The admissible commands; in a compact prompt those that do something."""
        commands = observation.words["commands"].split("\n")
        if self.config.prompt == "compact":
            return [command for command in commands if command not in IDLE and read(command).verb != "examine"]
        return commands

    def to_env(self, action: str, observation: Observation) -> str | None:
        """The admissible command that the words name, exactly or in a form that fits only one."""
        return match(action, observation.words["commands"].split("\n"), self.config.match == "substring")

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
        return advise(room, state, everything(room, state) if self.config.hidden else truth.state["memory"].seen)

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

    def corrector_spec(self) -> CorrectorSpec:
        """Rules and check questions for a corrector that is a model."""
        return CorrectorSpec(words.RULES, words.QUESTIONS)

    def plan_reachable(self, truth: Truth, target: str | None) -> bool:
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

    def state_key(self, truth: Truth) -> str:
        """The game, the place, what is in hand and what has been seen."""
        state, memory = truth.state["state"], truth.state["memory"]
        return f"{truth.state['game']} {memory.facing} {state.held} {sorted(memory.seen)} {sorted(state.opened)}"

    def visual_labels(self, truth: Truth) -> tuple[int, ...]:
        """Class numbers of the receptacle in front, its door, and the kind in hand."""
        state, memory = truth.state["state"], truth.state["memory"]
        return words.visual_labels(truth.state["room"], state, memory.facing)


# -- settings -----------------------------------------------------------------------------------------------------
def game_set_of(config: ALFWorldSettings) -> GameSet:
    """The games that the settings name. The shape of generated games says nothing about files."""
    kinds = tuple(kind for name, kind in SHORT.items() if name in config.kinds)
    if config.data == "files":
        return Files(config.split, kinds, config.games)
    return Generated(GameSpec(config.split, kinds, config.rooms, config.space, config.clutter), config.games or GAMES)


def player_of(config: ALFWorldSettings) -> Callable[[], Player]:
    """What plays the games: drawn or photographed, in processes of their own or in this one."""
    if config.frames == "drawn":
        return Worker if config.workers else borrow
    if config.data != "files":
        raise ConfigError("task.frames is 'thor', but AI2-THOR plays ALFWorld's own games: set task.data files")
    return functools.partial(Worker, THOR_LOAD_SECONDS, THOR_STEP_SECONDS, Thor) if config.workers else Thor


def _past(history: Sequence[tuple[str, bool]], count: int) -> list[str]:
    return [command if legal else f"{command} (not possible)" for command, legal in history[-count:] if count]

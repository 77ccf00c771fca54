"""The contract of a task: the only thing a user writes to train an agent on their own environment.

A task binds a plain `gymnasium.Env` with an image observation to words: the prompt, the reply's fields, which actions
are legal and, optionally, what an expert would think. Everything else in gtr works through this class alone.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar

import gymnasium
import numpy as np

from gtr.config import TaskConfig
from gtr.errors import ConfigError
from gtr.tasks.defaults import Published, Tiny
from gtr.tasks.formats import FORMATS, ReplyFormat
from gtr.types import Expert, Image, Observation, Parsed, Truth

OF_THE_AGENT = ("prompt", "format", "thought", "history_turns")
"""Settings of how the game is told to an agent and what it must write, not of the game."""
QUESTIONS: Mapping[str, str] = {
    "perception": "Is everything that the thought says it sees really in the picture?",
    "step": "Is the next action that the thought announces a good one in this state?",
}
"""The check questions of a task that names none of its own."""


@dataclass(frozen=True)
class CorrectorSpec:
    """What a corrector that is a model is told about a game, in the task's own words (paper section 3.2)."""

    rules: str = ""
    """The rules, and what makes a thought right. The agent's own prompt is shown to the corrector besides."""
    questions: Mapping[str, str] = field(default_factory=lambda: QUESTIONS)
    """The check questions, each answered yes or no; keys as in `Task.check`."""
    thought: Mapping[str, Any] = field(default_factory=dict)
    """Types of the thought's values, such as ``list[int]``, where they are not texts."""
    plan: str = ""
    """What the plan is that a corrector chooses once per episode and keeps; empty where the game needs none."""
    tools: Sequence[Callable[..., object]] = ()
    """Functions the corrector may call. Name, docstring and annotated parameters describe them to it; a `ValueError`
    that they raise goes back to it as the answer."""


@dataclass(frozen=True)
class Finding:
    """Something that `gtr doctor` found about this machine."""

    fine: bool
    text: str
    remedy: str = ""

    def line(self) -> str:
        """As printed."""
        mark = "ok" if self.fine else "!!"
        return f"{mark}  {self.text}" + (f"\n      -> {self.remedy}" if self.remedy else "")


class Task(ABC):
    '''One game: its environment and the words around it. Stateless: one instance serves all episodes.

    Subclasses are built with their `Settings` as the only argument. A game with settings of its own derives a frozen
    dataclass from `TaskConfig`, each field with a docstring, and names it; they are flags then, as ``--task.length 9``:

        @dataclass(frozen=True)
        class MazeSettings(TaskConfig):
            length: Annotated[int, Ge(1), Le(99)] = 5
            """Cells on a side."""

        class MazeTask(Task):
            Settings = MazeSettings
            config: MazeSettings
    '''

    Settings: ClassVar[type[TaskConfig]] = TaskConfig
    """The class of its settings."""
    published: ClassVar[Published] = Published()
    """How the paper's code plays it."""
    tiny: ClassVar[Tiny] = Tiny()
    """What a tiny agent needs on it."""
    splits: ClassVar[tuple[str, ...]] = ("same",)
    """The ways in which `for_split` lets it be evaluated."""
    name: str
    """Short lower-case name, used in tables and run folders."""
    thought_keys: tuple[str, ...] = ("thoughts",)
    """Keys of the reply that make up the thought, in the order in which they are written."""
    reading_keys: tuple[str, ...] = ()
    """Those of the thought's keys, from the first on, that only say what the picture shows."""
    lenient_reward: float = 0.0
    """What ``task.illegal lenient`` adds to the reward of an action that it had to play at random."""
    max_turns: int = 20
    """An episode is truncated after this many turns, illegal ones included."""

    def __init__(self, config: TaskConfig) -> None:
        self.config = config
        if not config.thought:
            self.thought_keys = ()
        if config.max_turns is not None:
            self.max_turns = config.max_turns

    # -- the environment ------------------------------------------------------------------------------------------
    @abstractmethod
    def make_env(self) -> gymnasium.Env[Any, Any]:
        """A fresh environment whose observation is an RGB image (height, width, 3) uint8."""

    @abstractmethod
    def observe(self, image: Image, info: Mapping[str, Any]) -> Observation:
        """What the policy may see of a state."""

    def truth(self, info: Mapping[str, Any]) -> Truth:
        """What only the oracle and the metrics may see; by default the whole `info`."""
        return Truth(dict(info))

    def success(self, reward: float, info: Mapping[str, Any]) -> bool | None:
        """Whether an episode whose last turn gave `reward` reached its goal; by default ``info["success"]``.

        None, the default where the environment says nothing, leaves success out of every table: a reward is no goal.
        """
        return bool(info["success"]) if "success" in info else None

    def progress(self, info: Mapping[str, Any]) -> float | None:
        """The share of the goal's conditions that hold, 1 exactly when it is reached; None where none are counted."""
        return None

    def group(self, truth: Truth) -> str | None:
        """The kind of game an episode is, by which evaluations tell success apart; None where all are alike."""
        return None

    def for_split(self, split: str) -> TaskConfig:
        """The settings under which a split of an evaluation is played.

        ``same`` is as trained; a game says in `splits` what else it has.

        Raises:
            ConfigError: the task has no such split.
        """
        if split == "same":
            return self.config
        raise ConfigError(f"--split {split}: {self.name} has {', '.join(self.splits)}")

    # -- whether it can be played here ----------------------------------------------------------------------------
    def ready(self) -> None:
        """Raises `TaskError` where something the game needs is not installed or not there; asked before work begins."""

    @classmethod
    def findings(cls) -> Iterator[Finding]:
        """What `gtr doctor` says about this game on this machine; by default nothing."""
        return iter(())

    def strict(self) -> TaskConfig:
        """The settings with everything off that lets a reply pass which is not a legal action: a panel's rules."""
        return replace(self.config, illegal="penalise")

    def rules(self) -> Mapping[str, Any]:
        """What decides how a game goes and is scored, as JSON values: two panels with other rules have other names."""
        settings = {**asdict(self.config), "max_turns": self.max_turns}
        return {key: value for key, value in settings.items() if key not in OF_THE_AGENT}

    # -- replies --------------------------------------------------------------------------------------------------
    @property
    def reply_format(self) -> ReplyFormat:
        """The row of `task.format`."""
        return FORMATS[self.config.format]

    def write(self, thought: Mapping[str, Any], action: str) -> str:
        """A reply as the agent is to write it."""
        return self.reply_format.write(thought, action)

    def parse(self, text: str, finished: bool = True) -> Parsed:
        """A reply read as thought and action; `finished` says whether the model ended it itself."""
        return self.reply_format.parse(text, finished, self.thought_keys)

    def blank(self, action: str) -> str:
        """A reply whose thought says nothing."""
        return self.write(dict.fromkeys(self.thought_keys, ""), action)

    def ask(self, fields: Mapping[str, str], action: str) -> str:
        """The words of a prompt that ask for a reply in the form of `task.format`.

        `fields` tell what each key of the thought is to say, in the order of the reply, those alone that `thought_keys`
        name being asked for; `action` tells what the action may be. Texts stand in double quotes, other values do not.
        """
        return self.reply_format.ask({key: fields[key] for key in self.thought_keys}, action)

    # -- words ----------------------------------------------------------------------------------------------------
    @abstractmethod
    def prompt(self, observation: Observation) -> str:
        """The text shown beside the picture. It must not depend on anything but the observation."""

    @abstractmethod
    def actions(self, observation: Observation) -> Sequence[str]:
        """The actions that the game allows here, as the agent would write them."""

    @abstractmethod
    def to_env(self, action: str, observation: Observation) -> Any | None:
        """The environment's action for the agent's words, or None when they are not a legal action here."""

    def action_in(self, text: str, observation: Observation) -> str | None:
        """The one action that a reply names behind the action's key, whatever stands around it; None where there is
        none, or several. As the code reads: only ``task.illegal lenient`` asks for it."""
        tail, named = self.reply_format.tail(text, 1), []
        for action in sorted(self.actions(observation), key=len, reverse=True):
            if action.lower() in tail:
                named.append(action)
                # What is left of a 10 is no 1.
                tail = tail.replace(action.lower(), "")
        return named[0] if len(named) == 1 else None

    def refused(self, action: str) -> Any | None:
        """The environment's action for words that are not legal here, where the environment itself counts and
        penalises them; None, the default, leaves it as it is and costs `task.illegal_reward`."""
        return None

    # -- knowledge, optional: what oracle correctors, SFT initialisation and some metrics need ---------------------
    def expert(self, truth: Truth, target: str | None = None) -> Expert | None:
        """A perfect player's thought and action, following `target` where it still can; None where nothing helps."""
        return None

    def has_expert(self) -> bool:
        """Whether the task defines `expert`."""
        return type(self).expert is not Task.expert

    def solvable(self, truth: Truth) -> bool:
        """Whether a right thought exists in this state: the expert has one. Always, for a task without an expert.

        Metrics of thoughts are taken over such states alone: elsewhere no thought can be right, whoever thinks it.
        """
        return not self.has_expert() or self.expert(truth) is not None

    def check(self, truth: Truth, parsed: Parsed, target: str | None) -> Mapping[str, bool]:
        """The corrector's questions about a thought and whether it passes each (paper section 3.2).

        Well-known keys: ``perception`` (what the thought says it sees is true), ``plan`` (the plan it states works
        from here), ``step`` (the next action it announces is right). The thought is right when all are True.
        Called for COMPLETE replies only. An empty mapping means that the task cannot judge.
        """
        return {}

    def stated_plan(self, truth: Truth, parsed: Parsed) -> str | None:
        """The plan the thought states, if it is one that works from this state; else None."""
        return None

    def plan_reachable(self, truth: Truth, target: str | None) -> bool:
        """Whether `target` can still be completed from this state, the one *after* an action."""
        return True

    def implied_action(self, parsed: Parsed, observation: Observation) -> str | None:
        """The action that the thought itself announces, to measure whether actions follow thoughts; None if unsaid."""
        return None

    def announced_action(self, thought: Mapping[str, Any], observation: Observation) -> str | None:
        """As `implied_action`, of a thought that has not been written as a reply."""
        return self.implied_action(self.parse(self.write(thought, "?")), observation)

    def same_action(self, one: str, other: str) -> bool:
        """Whether two texts name the same action; by default in the same words, in any case and spacing."""
        return one.casefold().split() == other.casefold().split()

    def visual_labels(self, truth: Truth) -> tuple[int, ...] | None:
        """What the picture shows, as small class numbers of a fixed number of places; None if it has no such form.

        Tiny models learn to see from it before they learn to speak.
        """
        return None

    def state_key(self, truth: Truth) -> str:
        """A string equal for two states that call for the same thought; groups thoughts by state in metrics."""
        return repr(sorted(truth.state.items(), key=lambda item: item[0]))

    def describe(self) -> Mapping[str, Any]:
        """What shapes the game beside the settings, for the run's fingerprint, such as versions of an engine."""
        return {}

    # -- words for correctors that are models, optional: the defaults serve any game -----------------------------------
    def corrector_spec(self) -> CorrectorSpec:
        """Rules, check questions and tools for a corrector that is a model."""
        return CorrectorSpec()

    def fits(self, observation: Observation, target: str) -> bool:
        """Whether a kept plan can still be followed, as far as the game's words beside the picture tell."""
        return True

    def validate_correction(self, observation: Observation, thought: Mapping[str, Any]) -> str | None:
        """What is wrong with a corrected thought by the rules alone, whatever the picture shows; None if nothing is.

        It goes back to the corrector as the reason for which it is asked again.
        """
        return None

    # -- sampling of start states ---------------------------------------------------------------------------------
    def reset_arguments(self, rng: np.random.Generator) -> dict[str, Any]:
        """Keyword arguments of `env.reset` for one new episode."""
        return {"seed": int(rng.integers(2**31 - 1))}

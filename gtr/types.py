"""The records that travel down the street, and nothing else: frozen, free of torch.

    environment -> Observation, Truth -> Prompt -> Reply -> Parsed -> Verdict -> Turn -> Rollout -> Sample

`Observation` is all that a policy may see; `Truth` is what only oracle correctors and metrics may see. They are
different types so that a leak of the answer into a prompt is a type error.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""An RGB picture, shape (height, width, 3), values 0..255."""
Span = tuple[int, int]
"""A half-open range of characters of a reply's text."""
Place = tuple[int, int, int]
"""Where a turn was played: environment, episode, number of the turn within it."""


class Ending(StrEnum):
    """How a turn left its episode."""

    RUNNING = "running"
    """The episode goes on."""
    TERMINATED = "terminated"
    """The environment reached an end state: nothing of value follows."""
    TRUNCATED = "truncated"
    """A time limit cut the episode: value may follow, so GAE bootstraps."""
    STOPPED = "stopped"
    """The corrector ended the episode early."""
    ABORTED = "aborted"
    """The environment broke; counted neither as success nor as failure, and GAE bootstraps."""


class ReplyStatus(StrEnum):
    """What the text of a reply is, before the game's rules are asked."""

    COMPLETE = "complete"
    EMPTY = "empty"
    CUT = "cut"
    """The token limit came before the end of the reply."""
    MALFORMED = "malformed"
    MISSING_KEY = "missing_key"
    REPEATED_KEY = "repeated_key"


class Judgement(StrEnum):
    """A corrector's answer about one thought."""

    CORRECT = "correct"
    INCORRECT = "incorrect"
    UNSOLVABLE = "unsolvable"
    """No thought can succeed from this state any more: no lesson."""
    ABSENT = "absent"
    """The corrector gave no usable answer: no lesson, and counted."""
    SCORED = "scored"
    """A judge gave a score, which is a reward: no lesson."""
    SKIPPED = "skipped"
    """The settings or the budget said not to ask: no lesson, and counted apart."""

    @classmethod
    def _missing_(cls, value: object) -> "Judgement | None":
        """Reads what runs of versions before 0.2 have on file."""
        old = {"right": cls.CORRECT, "wrong": cls.INCORRECT, "hopeless": cls.UNSOLVABLE}
        return old.get(value) if isinstance(value, str) else None


UNANSWERED = (Judgement.ABSENT, Judgement.SKIPPED)
"""Answers that say nothing of the thought."""


@dataclass(frozen=True)
class Observation:
    """What the policy may see: the picture, and the words that the game shows beside it.

    Example, Points24: ``Observation(image, {"formula": "(2+"})``.
    """

    image: Image
    words: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Truth:
    """What the environment knows and the policy must not see.

    Example, Points24: ``Truth({"Numbers": [2, 4, 4, 10], "Formula": ["(", 2, "+"], ...})``.
    """

    state: Mapping[str, Any]


@dataclass(frozen=True)
class Shown:
    """What a turn shows to the policy: a picture and a text."""

    image: Image
    text: str


@dataclass(frozen=True)
class Exchange(Shown):
    """An earlier turn of the episode, as a prompt shows it again."""

    reply: str


@dataclass(frozen=True)
class Prompt(Shown):
    """One turn's input to the policy."""

    past: tuple[Exchange, ...] = ()
    """The turns before that are shown with it (`task.history_turns`), oldest first."""

    @property
    def shown(self) -> tuple[Shown, ...]:
        """All turns that it shows, oldest first, its own last."""
        return (*self.past, self)


@dataclass(frozen=True)
class Reply:
    """What the policy sampled for one prompt.

    Example: ``Reply('{"cards": [2, 4], "action": "2"}', (17, 4, 9), (-0.1, -0.0, -0.3), True)``.
    """

    text: str
    """The decoded tokens without special tokens."""
    tokens: tuple[int, ...]
    """Token ids in order, the end token included when it was sampled."""
    logprobs: tuple[float, ...]
    """Log-probability in nats of each token under the distribution it was sampled from."""
    finished: bool
    """Whether the end token was sampled before the token limit."""
    value: float = 0.0
    """The critic's estimate for the prompt (expected discounted return)."""
    sampled: tuple[float, ...] = ()
    """As `logprobs`, by the engine that sampled, where it is not the trainer: `logprobs` are then the trainer's own."""


@dataclass(frozen=True)
class Parsed:
    """A reply read as thought and action.

    Example: text ``{"cards": [2, 4], "thoughts": "take 2", "action": "2"}`` gives fields
    ``{"cards": [2, 4], "thoughts": "take 2", "action": "2"}``, action ``"2"``, and the span of the character ``2``.
    """

    status: ReplyStatus
    fields: Mapping[str, Any] = field(default_factory=dict)
    action: str | None = None
    """The action's text, stripped; None unless the reply is COMPLETE."""
    action_span: Span | None = None
    """Characters of the action's value inside the quotes; None where no action can be found."""


@dataclass(frozen=True)
class Expert:
    """What a perfect player thinks and does in one state."""

    thought: Mapping[str, Any]
    """The thought's fields, in reply order, without the action."""
    action: str
    target: str | None = None
    """The plan this follows, kept for the episode (a formula in the point games)."""


@dataclass(frozen=True)
class Verdict:
    """A corrector's answer about one thought (paper section 3.2)."""

    judgement: Judgement
    thought: Mapping[str, Any] | None = None
    """The corrected thought's fields when INCORRECT."""
    action: str | None = None
    """The corrector's own action; cloned only in the ablation that clones actions too."""
    answers: Mapping[str, bool] = field(default_factory=dict)
    """The check questions and whether the thought passed each."""
    target: str | None = None
    """The plan kept for the episode."""
    stop: bool = False
    """Whether the corrector asks for the episode to end here."""
    score: float | None = None
    """How good a judge finds the thought, from 0 to 1; None from correctors."""
    announced: str | None = None
    """The action that the corrected thought announces; read only where `guidance.clone` asks for it."""


@dataclass(frozen=True)
class Turn:
    """One observation, reply, action and reward."""

    env: int
    """Index of the environment within this process."""
    episode: int
    """Number of the episode within its environment, from 0, over the whole run."""
    index: int
    """Number of the turn within its episode, from 0."""
    prompt: Prompt
    truth: Truth
    reply: Reply
    parsed: Parsed
    legal: bool
    """Whether the reply named an action that the game allows here."""
    reward: float
    """The environment's reward, or the penalty of an illegal reply."""
    ending: Ending
    success: bool | None = False
    """True only on the last turn of an episode that reached its goal; None there where the task knows no success."""
    verdict: Verdict | None = None
    judge_reward: float = 0.0
    """What a judge's score adds to the reward (`guidance.judge_reward`); 0 with correctors."""
    bootstrap: float = 0.0
    """The critic's value of the next observation on a trajectory's last turn, where value may follow; 0 elsewhere."""
    progress: float | None = None
    """Share of the goal's conditions that hold after this turn, where the task counts them."""
    implied: str | None = None
    """The action that the thought itself announces, if the task can tell."""


@dataclass(frozen=True)
class Trajectory:
    """Consecutive turns, at least one, of an episode or the piece that a rollout holds; the last says how it ended."""

    turns: Sequence[Turn]
    group: int = 0
    """Number of the start state within the rollout: equal for episodes that were dealt the same one."""


@dataclass(frozen=True)
class Rollout:
    """What is collected for one update: trajectories, environment by environment, each one's in the order of time."""

    trajectories: Sequence[Trajectory]
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Wall-clock seconds by stage: generate, step, correct."""

    def flat(self) -> list[Turn]:
        """All turns, trajectory by trajectory."""
        return [turn for trajectory in self.trajectories for turn in trajectory.turns]


@dataclass(frozen=True)
class RolloutSpec:
    """What an algorithm needs of a rollout.

    By default every environment plays the same number of turns and episodes go on from one rollout to the next. With
    `episodes`, whole episodes are played until as many turns have been, `group` of them from each start state.
    """

    bootstrapped: frozenset[Ending] = frozenset()
    """Endings after which value may follow, so that `Turn.bootstrap` must hold the critic's estimate of it."""
    critic: bool = True
    """Whether anything is asked of the critic."""
    episodes: bool = False
    group: int = 1
    """Environments that are dealt the same start state; divides their number."""
    keep: Callable[[Sequence[Trajectory]], Sequence[Trajectory]] | None = None
    """Which trajectories count towards the turns that are to be played: more are played for those that do not."""
    most: int = 10
    """With `keep`, so many times the usual number of turns are played at most."""


@dataclass(frozen=True)
class Sample:
    """One row that is learnt from: a prompt, tokens after it, and what each loss makes of each token.

    Example, a PPO turn ``{"t":"x","action":"2"}`` of four tokens: ``weights={"policy": (0, 0, 1, 1)}``,
    ``advantage=.7``, ``target=1.2`` and, as `old`, the log-probabilities with which the tokens were sampled. A
    corrected thought, of which the action is masked: ``weights={"cloning": (1, 1, 0, 1)}``, ``temperature=1``.
    """

    prompt: Prompt
    tokens: tuple[int, ...]
    weights: Mapping[str, tuple[float, ...]]
    """By loss (see `gtr.losses.LOSSES`), how much each token counts; a loss that is not named does not see the row."""
    old: tuple[float, ...] = ()
    """Log-probability in nats of each token when it was sampled, by the trainer; empty where nothing was sampled."""
    sampled: tuple[float, ...] = ()
    """As `old`, by the engine that sampled, where it is not the trainer (`Reply.sampled`)."""
    advantage: float | tuple[float, ...] = 0.0
    """Of the whole row, or of each token."""
    value: float | tuple[float, ...] = 0.0
    """The critic's estimate when the row was played, of the prompt or before each token."""
    target: float | tuple[float, ...] | None = None
    """What the critic should have said; None: no value loss. Of each token where `weights` names "value"."""
    reference: tuple[float, ...] = ()
    """Log-probability of each token under a teacher or the reference policy; empty where there is none."""
    likely: tuple[NDArray[np.int64], NDArray[np.float32]] | None = None
    """(L, k) a teacher's likeliest tokens at each place, and their log-probabilities under it."""
    temperature: float = 1.0
    """Of the distribution that is scored: the sampling one for sampled tokens, 1 for taught ones."""
    place: Place | None = None
    """The turn it comes from, for transcripts."""

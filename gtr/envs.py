"""Environments side by side, each with the episode it is in; used by training, evaluation and play alike."""

import logging
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import gymnasium
import numpy as np

from gtr.config import Config
from gtr.errors import GtrError, TaskError
from gtr.guidance.corrector import Case
from gtr.tasks import steps
from gtr.tasks.task import Task
from gtr.types import Ending, Exchange, Observation, Parsed, Prompt, Reply, ReplyStatus, Truth, Turn

MAX_ABORTS = 10
"""Broken episodes in a row, in one environment, after which the run stops instead of spinning."""
log = logging.getLogger(__name__)


@dataclass
class EnvState:
    """One environment and where its current episode stands."""

    index: int
    env: gymnasium.Env[Any, Any]
    episode: int = -1
    turn: int = 0
    start: dict[str, Any] = field(default_factory=dict)
    """Arguments of the reset that began this episode."""
    played: list[Any] = field(default_factory=list)
    """Environment actions since then: with `start` they reproduce the state exactly."""
    past: deque[tuple[int, Exchange]] = field(default_factory=deque)
    """The latest turns of this episode that prompts show again, each with the number of actions played before it."""
    aborts: int = 0
    observation: Observation = field(init=False)
    truth: Truth = field(init=False)
    prompt: Prompt = field(init=False)
    progress: float | None = None
    info: Mapping[str, Any] = field(default_factory=dict)
    """What the environment said last."""


class VecEnv:
    """Environments side by side, played one reply at a time. Used for training and for evaluation alike."""

    def __init__(self, task: Task, count: int, config: Config) -> None:
        self.task = task
        self.config = config
        self.max_turns = config.task.max_turns or task.max_turns
        shown = config.task.history_turns
        self.states = [EnvState(i, task.make_env(), past=deque(maxlen=shown)) for i in range(count)]

    def begin(
        self,
        state: EnvState,
        start: dict[str, Any],
        episode: int,
        played: Sequence[Any] = (),
        turn: int = 0,
        replies: Sequence[tuple[int, str]] = (),
    ) -> None:
        """Starts an episode, replaying `played` actions if it had gone on already, and the last `replies`, each with
        the number of actions played before it."""
        state.past.clear()
        image, info = steps.reset(state.env, start)
        for number, action in enumerate([*played, None]):
            for said in (text for before, text in replies if before == number):
                self._see(state, image, info)
                self._remember(state, number, said)
            if number < len(played):
                image, info = self._again(state, action)
        state.start, state.played, state.episode, state.turn = start, list(played), episode, turn
        self._see(state, image, info)

    def _again(self, state: EnvState, action: Any) -> tuple[Any, Mapping[str, Any]]:
        """What an action that was played before leads to."""
        try:
            image, _, _, _, info = steps.step(state.env, action)
        except steps.Broke as error:
            text = "the environment cannot begin an episode where it had stopped"
            raise steps.Broke(text, str(error)) from error
        return image, info

    def _see(self, state: EnvState, image: Any, info: Mapping[str, Any]) -> None:
        state.observation = self.task.observe(steps.picture(image), info)
        state.truth = self.task.truth(info)
        state.progress, state.info = self.task.progress(info), info
        self._ask(state)

    def _ask(self, state: EnvState) -> None:
        past = tuple(one for _, one in state.past)
        state.prompt = Prompt(state.observation.image, self.task.prompt(state.observation), past)

    def _remember(self, state: EnvState, played: int, said: str) -> None:
        """Keeps what was seen and said, so that the prompts that follow show it."""
        state.past.append((played, Exchange(state.prompt.image, state.prompt.text, said)))

    def play(self, state: EnvState, reply: Reply, parsed: Parsed, rng: np.random.Generator) -> Turn:
        """Plays one reply; `state` then shows what comes next, or the last state of an episode that ended."""
        words = parsed.action
        if self.config.task.illegal == "lenient":
            words = self.task.action_in(reply.text, state.observation)
        action = self._action(words, state.observation, rng)
        turn = self._turn(state, reply, parsed, words)
        state.turn += 1
        self._remember(state, len(state.played), reply.text)
        if action is not None:
            turn = self._step(state, turn, action)
        elif state.past:
            self._ask(state)
        if turn.ending is Ending.RUNNING and state.turn >= self.max_turns:
            unsaid = bool(state.played) and self.task.success(turn.reward, state.info) is None
            turn = replace(turn, ending=Ending.TRUNCATED, success=None if unsaid else False)
        return replace(turn, progress=state.progress)

    def unanswered(self, state: EnvState) -> Turn:
        """The last turn of an episode in which no reply came: neither success nor failure."""
        turn = self._turn(state, Reply("", (), (), False), Parsed(ReplyStatus.EMPTY), None)
        return replace(turn, reward=0.0, ending=Ending.ABORTED)

    def _turn(self, state: EnvState, reply: Reply, parsed: Parsed, words: str | None) -> Turn:
        """A turn before its action, by the agent's words for it, is played."""
        observation = state.observation
        return Turn(
            env=state.index,
            episode=state.episode,
            index=state.turn,
            prompt=state.prompt,
            truth=state.truth,
            reply=reply,
            parsed=parsed,
            legal=words is not None and self.task.to_env(words, observation) is not None,
            reward=self.config.task.illegal_reward,
            ending=Ending.RUNNING,
            implied=self.task.implied_action(parsed, observation) if parsed.status is ReplyStatus.COMPLETE else None,
        )

    def _action(self, words: str | None, observation: Observation, rng: np.random.Generator) -> Any | None:
        action = None if words is None else self.task.to_env(words, observation)
        if action is None and self.config.task.illegal != "penalise":
            known = list(self.task.actions(observation))
            action = self.task.to_env(known[int(rng.integers(len(known)))], observation) if known else None
        if action is None and words is not None:
            action = self.task.refused(words)
        return action

    def _step(self, state: EnvState, turn: Turn, action: Any) -> Turn:
        try:
            image, reward, terminated, truncated, info = steps.step(state.env, action)
        except (steps.Broke, TaskError) as error:
            return self._abort(state, turn, error)
        state.aborts = 0
        state.played.append(action)
        self._see(state, image, info)
        guessed = self.config.task.illegal == "lenient" and not turn.legal and not truncated
        reward += self.task.lenient_reward if guessed else 0.0
        ending = Ending.TERMINATED if terminated else Ending.TRUNCATED if truncated else Ending.RUNNING
        won = False if ending is Ending.RUNNING else self.task.success(reward, info)
        return replace(turn, reward=reward, ending=ending, success=won)

    def _abort(self, state: EnvState, turn: Turn, error: GtrError) -> Turn:
        """An environment that broke ends its episode; the run goes on unless it does nothing but break."""
        state.aborts += 1
        cause = error.__cause__ or error
        log.warning("environment %d broke in episode %d and is restarted: %r", state.index, state.episode, cause)
        if state.aborts >= MAX_ABORTS:
            text = f"the environment of task '{self.task.name}' broke {state.aborts} times in a row"
            stop = TaskError(f"{text}; at last {error}")
            stop.__notes__ = getattr(error, "__notes__", [])
            raise stop from cause
        state.env.close()
        state.env = self.task.make_env()
        return replace(turn, reward=0.0, ending=Ending.ABORTED)

    def close(self) -> None:
        """Closes all environments."""
        for state in self.states:
            state.env.close()


def case_of(state: EnvState, text: str, parsed: Parsed) -> Case:
    """What a corrector is asked about a reply that is to be played in an environment."""
    return Case(state.index, state.episode, state.turn, state.prompt, state.observation, state.truth, text, parsed)


def numbers(seed: int, rank: int, env: int, episode: int, draw: int) -> np.random.Generator:
    """Random numbers for one purpose in one episode: draw 0 is its start, the others its turns from 1 on."""
    return np.random.default_rng([seed, rank, env, episode, draw])

"""Collection: the only place where environments, policy and corrector meet.

    observation -> prompt -> reply -> parse -> step -> verdict -> turn

All environments step together and share one batched generation. Episodes go on from one rollout to the next.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np

from gtr.config import Config
from gtr.errors import GtrError, TaskError
from gtr.guidance.corrector import Case, Corrector
from gtr.guidance.judge import reward_of
from gtr.tasks.reply import parse
from gtr.tasks.task import Task
from gtr.types import Ending, Observation, Parsed, Prompt, Reply, ReplyStatus, Rollout, Truth, Turn, Verdict

if TYPE_CHECKING:
    from gtr.policy.policy import Policy

MAX_ABORTS = 10
"""Broken episodes in a row, in one environment, after which the run stops instead of spinning."""
log = logging.getLogger(__name__)


@dataclass
class Seat:
    """One environment and where its current episode stands."""

    index: int
    env: gymnasium.Env[Any, Any]
    episode: int = -1
    turn: int = 0
    start: dict[str, Any] = field(default_factory=dict)
    """Arguments of the reset that began this episode."""
    played: list[Any] = field(default_factory=list)
    """Environment actions since then: with `start` they reproduce the state exactly."""
    aborts: int = 0
    observation: Observation = field(init=False)
    truth: Truth = field(init=False)
    prompt: Prompt = field(init=False)
    progress: float | None = None


class Table:
    """Environments side by side, played one reply at a time. Used for training and for evaluation alike."""

    def __init__(self, task: Task, seats: int, config: Config) -> None:
        self.task = task
        self.config = config
        self.max_turns = config.task.max_turns or task.max_turns
        self.seats = [Seat(i, task.make_env()) for i in range(seats)]

    def begin(self, seat: Seat, start: dict[str, Any], episode: int, played: Sequence[Any] = (), turn: int = 0) -> None:
        """Starts an episode, replaying `played` actions if it had gone on already."""
        try:
            image, info = seat.env.reset(**start)
            for action in played:
                image, _, _, _, info = seat.env.step(action)
        except GtrError:
            raise
        except Exception as error:
            raise TaskError(
                f"the environment of task '{self.task.name}' cannot begin an episode: {error!r}. Run it by itself: "
                f"task.make_env().reset(**{start!r})"
            ) from error
        seat.start, seat.played, seat.episode, seat.turn = start, list(played), episode, turn
        self._see(seat, image, info)

    def _see(self, seat: Seat, image: Any, info: Mapping[str, Any]) -> None:
        seat.observation = self.task.observe(np.asarray(image, dtype=np.uint8), info)
        seat.truth = self.task.truth(info)
        seat.progress = self.task.progress(info)
        seat.prompt = Prompt(seat.observation.image, self.task.prompt(seat.observation))

    def play(self, seat: Seat, reply: Reply, parsed: Parsed, rng: np.random.Generator) -> Turn:
        """Plays one reply; the seat then shows the next state, or the last one of an episode that ended."""
        action = self._action(parsed, seat.observation, rng)
        turn = self._turn(seat, reply, parsed)
        seat.turn += 1
        if action is not None:
            turn = self._step(seat, turn, action)
        if turn.ending is Ending.RUNNING and seat.turn >= self.max_turns:
            turn = replace(turn, ending=Ending.TRUNCATED)
        return replace(turn, progress=seat.progress)

    def unanswered(self, seat: Seat) -> Turn:
        """The last turn of an episode in which no reply came: neither success nor failure."""
        turn = self._turn(seat, Reply("", (), (), False), Parsed(ReplyStatus.EMPTY))
        return replace(turn, reward=0.0, ending=Ending.ABORTED)

    def _turn(self, seat: Seat, reply: Reply, parsed: Parsed) -> Turn:
        """A turn before its action is played."""
        observation = seat.observation
        return Turn(
            env=seat.index,
            episode=seat.episode,
            index=seat.turn,
            prompt=seat.prompt,
            truth=seat.truth,
            reply=reply,
            parsed=parsed,
            legal=parsed.action is not None and self.task.to_env(parsed.action, observation) is not None,
            reward=self.config.task.illegal_reward,
            ending=Ending.RUNNING,
            format_reward=self.config.ppo.format_reward if parsed.status is ReplyStatus.COMPLETE else 0.0,
            implied=self.task.implied_action(parsed, observation) if parsed.status is ReplyStatus.COMPLETE else None,
        )

    def _action(self, parsed: Parsed, observation: Observation, rng: np.random.Generator) -> Any | None:
        action = None if parsed.action is None else self.task.to_env(parsed.action, observation)
        if action is None and self.config.task.illegal == "random":
            words = list(self.task.actions(observation))
            action = self.task.to_env(words[int(rng.integers(len(words)))], observation) if words else None
        if action is None and parsed.action is not None:
            action = self.task.refused(parsed.action)
        return action

    def _step(self, seat: Seat, turn: Turn, action: Any) -> Turn:
        try:
            image, reward, terminated, truncated, info = seat.env.step(action)
        except Exception as error:
            return self._abort(seat, turn, error)
        seat.aborts = 0
        seat.played.append(action)
        self._see(seat, image, info)
        reward = float(reward)
        ending = Ending.TERMINATED if terminated else Ending.TRUNCATED if truncated else Ending.RUNNING
        won = ending is not Ending.RUNNING and self.task.success(reward, info)
        return replace(turn, reward=reward, ending=ending, success=won)

    def _abort(self, seat: Seat, turn: Turn, error: Exception) -> Turn:
        """An environment that broke ends its episode; the run goes on unless it does nothing but break."""
        seat.aborts += 1
        log.warning("environment %d broke in episode %d and is restarted: %r", seat.index, seat.episode, error)
        if seat.aborts >= MAX_ABORTS:
            raise TaskError(
                f"the environment of task '{self.task.name}' broke {seat.aborts} times in a row; the last error was "
                f"{error!r}. Run it by itself: task.make_env().reset(seed=0) and step()"
            ) from error
        seat.env.close()
        seat.env = self.task.make_env()
        return replace(turn, reward=0.0, ending=Ending.ABORTED)

    def close(self) -> None:
        """Closes all environments."""
        for seat in self.seats:
            seat.env.close()


def cut_short(config: Config) -> set[Ending]:
    """Endings after which value may follow, so that GAE bootstraps. A broken environment says nothing of the turn."""
    stopped = {Ending.STOPPED} if config.ppo.stopped_is == "truncation" else set()
    return {Ending.TRUNCATED, Ending.ABORTED} | stopped


class Collector:
    """Collects rollouts. Everything random is drawn from (seed, rank, environment, episode), never a shared stream."""

    def __init__(
        self, task: Task, policy: "Policy", corrector: Corrector | None, config: Config, rank: int = 0
    ) -> None:
        self.task = task
        self.policy = policy
        self.corrector = corrector
        self.config = config
        self._rank = rank
        self._bootstrapped = cut_short(config)
        self.table = Table(task, config.train.envs, config)
        for seat in self.table.seats:
            self._next_episode(seat)

    def collect(self) -> Rollout:
        """Plays `train.turns` turns in every environment."""
        clock: dict[str, float] = {"generate": 0.0, "step": 0.0, "correct": 0.0}
        rows: list[list[Turn]] = [[] for _ in self.table.seats]
        pending: dict[tuple[int, int], Future[Verdict]] = {}
        ends: dict[tuple[int, int], Prompt] = {}
        for t in range(self.config.train.turns):
            started = time.perf_counter()
            replies = self.policy.generate([seat.prompt for seat in self.table.seats])
            clock["generate"] += time.perf_counter() - started
            self._play_all(replies, t, rows, pending, ends, clock)
        started = time.perf_counter()
        for (env, t), future in pending.items():
            rows[env][t] = self._judged(rows[env][t], future)
        clock["correct"] += time.perf_counter() - started
        self._bootstrap(rows, ends)
        return Rollout(rows, clock)

    def _play_all(
        self,
        replies: Sequence[Reply],
        t: int,
        rows: list[list[Turn]],
        pending: dict[tuple[int, int], "Future[Verdict]"],
        ends: dict[tuple[int, int], Prompt],
        clock: dict[str, float],
    ) -> None:
        """Plays one reply in every environment and notes what must be settled later."""
        started = time.perf_counter()
        seats = self.table.seats
        parsed = [parse(reply.text, reply.finished, self.task.thought_keys) for reply in replies]
        verdicts = self._judge(replies, parsed)
        judged = time.perf_counter()
        for seat, reply, read in zip(seats, replies, parsed, strict=True):
            turn = self.table.play(seat, reply, read, self._rng(seat, 1 + seat.turn))
            future = verdicts[seat.index] if verdicts else None
            if future is not None and self.config.guidance.stop_early:
                turn = self._stop_early(seat, self._judged(turn, future))
            elif future is not None:
                pending[seat.index, t] = future
            rows[seat.index].append(turn)
            if turn.ending in self._bootstrapped or t == self.config.train.turns - 1:
                ends[seat.index, t] = seat.prompt
            if turn.ending is not Ending.RUNNING:
                self._next_episode(seat)
        clock["correct"] += judged - started
        clock["step"] += time.perf_counter() - judged

    def _judge(self, replies: Sequence[Reply], parsed: Sequence[Parsed]) -> list["Future[Verdict]"] | None:
        if self.corrector is None:
            return None
        told = zip(self.table.seats, replies, parsed, strict=True)
        return self.corrector.judge([case_of(seat, reply.text, read) for seat, reply, read in told])

    def _judged(self, turn: Turn, future: "Future[Verdict]") -> Turn:
        verdict = future.result()
        return replace(turn, verdict=verdict, judge_reward=reward_of(verdict, self.config.guidance))

    def _stop_early(self, seat: Seat, turn: Turn) -> Turn:
        """Ends an episode that the corrector gave up or that left its plan (reference code: early truncation)."""
        verdict = turn.verdict
        if verdict is None or turn.ending is not Ending.RUNNING:
            return turn
        if verdict.stop or not turn.legal or not self.task.plan_reachable(seat.truth, verdict.target):
            return replace(turn, reward=self.config.guidance.stop_reward, ending=Ending.STOPPED)
        return turn

    def _bootstrap(self, rows: list[list[Turn]], ends: Mapping[tuple[int, int], Prompt]) -> None:
        """Fills in the critic's value of the observations that follow truncated and last turns."""
        places, together = list(ends), len(self.table.seats)
        for first in range(0, len(places), together):
            part = places[first : first + together]
            values = self.policy.values([ends[place] for place in part])
            for (env, t), value in zip(part, values, strict=True):
                rows[env][t] = replace(rows[env][t], bootstrap=value)

    def _next_episode(self, seat: Seat) -> None:
        seat.episode += 1
        self.table.begin(seat, self.task.reset_arguments(self._rng(seat, 0)), seat.episode)

    def _rng(self, seat: Seat, draw: int) -> np.random.Generator:
        return numbers(self.config.seed, self._rank, seat, draw)

    # -- exact resume ---------------------------------------------------------------------------------------------
    def state(self) -> dict[str, Any]:
        """Where every episode stands, as JSON values: its start and the actions played since."""
        return {
            "seats": [
                {"episode": s.episode, "turn": s.turn, "start": s.start, "played": [_plain(a) for a in s.played]}
                for s in self.table.seats
            ],
            "corrector": self.corrector.state() if self.corrector else {},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Replays every open episode to where `state` left it."""
        for seat, saved in zip(self.table.seats, state["seats"], strict=True):
            self.table.begin(seat, saved["start"], saved["episode"], saved["played"], saved["turn"])
        if self.corrector:
            self.corrector.restore(state["corrector"])


def case_of(seat: Seat, text: str, parsed: Parsed) -> Case:
    """What a corrector is asked about a reply that is to be played at a seat."""
    return Case(seat.index, seat.episode, seat.turn, seat.prompt, seat.observation, seat.truth, text, parsed)


def numbers(seed: int, rank: int, seat: Seat, draw: int) -> np.random.Generator:
    """Random numbers for one purpose in one episode: draw 0 is its start, the others its turns from 1 on."""
    return np.random.default_rng([seed, rank, seat.index, seat.episode, draw])


def _plain(action: Any) -> Any:
    """An environment's action as a JSON value."""
    return action.tolist() if isinstance(action, np.ndarray | np.generic) else action

"""Collection: the only place where environments, policy and corrector meet, and the engine that samples.

    observation -> prompt -> reply -> parse -> step -> verdict -> turn

All environments step together and share one batched generation.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from gtr.config import Config
from gtr.engine import Engine, LocalEngine
from gtr.envs import EnvState, VecEnv, case_of, numbers
from gtr.errors import ConfigError
from gtr.guidance.corrector import Case, Corrector, answered, ask
from gtr.guidance.judge import reward_of
from gtr.tasks.task import Task
from gtr.types import (
    Ending,
    Judgement,
    Parsed,
    Prompt,
    Reply,
    ReplyStatus,
    Rollout,
    RolloutSpec,
    Trajectory,
    Turn,
    Verdict,
)

if TYPE_CHECKING:
    from gtr.policy.policy import Policy

EQUAL_PIECES = RolloutSpec()
JUDGED = (Judgement.CORRECT, Judgement.INCORRECT, Judgement.UNSOLVABLE)
"""What a corrector that answers can say of a thought."""
Answer = Callable[[Sequence[Prompt]], Sequence[Reply]]
"""One reply per prompt."""
RECENT = 64
"""Failures that episodes may begin from (`train.recovery`)."""
Spot = tuple[int, int]
"""A turn of a rollout: its environment, and its number among the turns that environment plays there."""
_Asked = tuple["Future[Verdict]", Case]
"""What the corrector was asked, and its answer when it comes."""


@dataclass
class Draft:
    """A rollout while it is collected."""

    answer: Answer
    """Who is asked for replies."""
    rows: dict[int, list[Turn]] = field(default_factory=lambda: defaultdict(list))
    """By environment."""
    pending: dict[Spot, _Asked] = field(default_factory=dict)
    """Verdicts that are settled later."""
    ends: dict[Spot, Prompt] = field(default_factory=dict)
    """The prompts of the observations that follow turns after which value may follow."""
    seconds: dict[str, float] = field(default_factory=lambda: {"generate": 0.0, "step": 0.0, "correct": 0.0})

    def __len__(self) -> int:
        return sum(map(len, self.rows.values()))


class Collector:
    """Collects rollouts. Everything random is drawn from (seed, rank, environment, episode), never a shared stream."""

    def __init__(
        self,
        task: Task,
        policy: "Policy",
        corrector: Corrector | None,
        config: Config,
        rank: int = 0,
        spec: RolloutSpec = EQUAL_PIECES,
        engine: Engine | None = None,
    ) -> None:
        self.task, self.policy, self.corrector, self.config, self.spec = task, policy, corrector, config, spec
        self._rank, self._engine = rank, engine or LocalEngine(policy)
        if config.train.envs % spec.group:
            raise ConfigError(
                f"train.envs is {config.train.envs}, and the algorithm deals each start state to {spec.group} "
                f"environments: give a multiple of {spec.group}"
            )
        if config.train.recovery and spec.group > 1:
            raise ConfigError(
                f"train.recovery is {config.train.recovery}, but the algorithm deals each start state to {spec.group} "
                "environments, which fail in states of their own: set train.recovery 0"
            )
        self._failures: list[tuple[dict[str, Any], list[Any]]] = []
        """The latest: how each episode began, and what was played up to the state to recover from."""
        self.envs = VecEnv(task, config.train.envs, config)
        for state in self.envs.states:
            self._next_episode(state)

    def collect(self) -> Rollout:
        """Plays `train.turns` turns in every environment, or whole episodes until as many turns have been played."""
        return self.finish(self.play(self._engine.generate))

    def play(self, answer: Answer) -> Draft:
        """All turns of a rollout, with replies from `answer` and the verdicts on them; the network is not needed."""
        draft = Draft(answer)
        if self.spec.episodes:
            while self._lacks_turns(draft):
                self._play_episodes(draft)
        else:
            for left in reversed(range(self.config.train.turns)):
                self._play(self.envs.states, draft, last=left == 0)
        self._settle(draft)
        return draft

    def finish(self, draft: Draft) -> Rollout:
        """With what only the network knows: scores of replies that `Engine.sample` gave, and the critic's values."""
        self._score(draft)
        if self.spec.critic:
            self._bootstrap(draft)
        return Rollout(self._trajectories(draft), draft.seconds)

    def _score(self, draft: Draft) -> None:
        turns = [(row, t) for row in draft.rows.values() for t, turn in enumerate(row) if not turn.reply.logprobs]
        replies = self._engine.scored([row[t].prompt for row, t in turns], [row[t].reply for row, t in turns])
        for (row, t), reply in zip(turns, replies, strict=True):
            row[t] = replace(row[t], reply=reply)

    def _lacks_turns(self, draft: Draft) -> bool:
        wanted = len(self.envs.states) * self.config.train.turns
        if self.spec.keep is None or len(draft) < wanted or len(draft) >= self.spec.most * wanted:
            return len(draft) < wanted
        self._settle(draft)
        return sum(len(one.turns) for one in self.spec.keep(self._trajectories(draft))) < wanted

    def _settle(self, draft: Draft) -> None:
        """Waits for the verdicts that are still asked for."""
        started = time.perf_counter()
        for (env, t), asked in draft.pending.items():
            draft.rows[env][t] = self._judged(draft.rows[env][t], asked)
        draft.pending.clear()
        draft.seconds["correct"] += time.perf_counter() - started

    def _play_episodes(self, draft: Draft) -> None:
        """One whole episode in every environment; those that have ended wait for the others."""
        running = self.envs.states
        episodes = {state.index: state.episode for state in running}
        while running:
            self._play(running, draft)
            running = [state for state in running if state.episode == episodes[state.index]]

    def _play(self, states: Sequence[EnvState], draft: Draft, last: bool = False) -> None:
        """Samples and plays one reply in each of these environments."""
        started = time.perf_counter()
        replies = draft.answer([state.prompt for state in states])
        generated = time.perf_counter()
        parsed = [self.task.parse(reply.text, reply.finished) for reply in replies]
        verdicts = self._judge(states, replies, parsed)
        judged = time.perf_counter()
        for state, reply, read, asked in zip(states, replies, parsed, verdicts, strict=True):
            self._play_one(state, reply, read, asked, draft, last)
        spent = (generated - started, time.perf_counter() - judged, judged - generated)
        for stage, seconds in zip(("generate", "step", "correct"), spent, strict=True):
            draft.seconds[stage] += seconds

    def _play_one(
        self, state: EnvState, reply: Reply, read: Parsed, asked: _Asked | None, draft: Draft, last: bool
    ) -> None:
        """Plays one reply and notes what must be settled later."""
        spot = state.index, len(draft.rows[state.index])
        turn = self.envs.play(state, reply, read, self._rng(state, 1 + state.turn))
        if asked is not None and self.config.guidance.stop_early:
            turn = self._stop_early(state, self._judged(turn, asked))
        elif asked is not None:
            draft.pending[spot] = asked
        draft.rows[state.index].append(turn)
        if last or turn.ending in self.spec.bootstrapped:
            draft.ends[spot] = state.prompt
        if turn.ending is not Ending.RUNNING:
            self._note_failure(state, turn)
            self._next_episode(state)

    def _judge(
        self, states: Sequence[EnvState], replies: Sequence[Reply], parsed: Sequence[Parsed]
    ) -> Sequence[_Asked | None]:
        if self.corrector is None:
            return [None] * len(states)
        turns = zip(states, replies, parsed, strict=True)
        cases = [case_of(state, reply.text, read) for state, reply, read in turns]
        return list(zip(ask(self.corrector, cases), cases, strict=True))

    def _judged(self, turn: Turn, asked: _Asked) -> Turn:
        future, case = asked
        assert self.corrector is not None
        verdict = answered(self.corrector, future, case)
        if self.config.guidance.clone == "announced_action" and verdict.thought is not None:
            verdict = replace(verdict, announced=self.task.announced_action(verdict.thought, case.observation))
        return replace(turn, verdict=verdict, judge_reward=reward_of(verdict, self.config.guidance))

    def _stop_early(self, state: EnvState, turn: Turn) -> Turn:
        """Ends an episode that the corrector gave up or that left its plan (reference code: early truncation)."""
        guidance = self.config.guidance
        if turn.verdict is None or turn.ending is not Ending.RUNNING:
            return turn
        if any(self._calls_for_stop(cause, state, turn, turn.verdict) for cause in guidance.stop_on):
            return replace(turn, reward=guidance.stop_reward, ending=Ending.STOPPED)
        return turn

    def _calls_for_stop(self, cause: str, state: EnvState, turn: Turn, verdict: Verdict) -> bool:
        """Whether a turn that was just played gives one of the causes of `guidance.stop_on`."""
        match cause:
            case "unsolvable":
                return verdict.stop
            case "illegal":
                return not turn.legal
            case "loss":
                return turn.reward < 0
            case "plan":
                return not self.task.plan_reachable(state.truth, verdict.target)
        # A plan comes of a thought that can be read, the code asks about no other; who does not answer gives none up.
        unread = turn.index == 0 and turn.parsed.status is not ReplyStatus.COMPLETE
        return unread or (verdict.target is None and verdict.judgement in JUDGED)

    def _bootstrap(self, draft: Draft) -> None:
        """Fills in the critic's value of the observations that follow the ends of trajectories."""
        spots, together = list(draft.ends), len(self.envs.states)
        for first in range(0, len(spots), together):
            part = spots[first : first + together]
            values = self.policy.values([draft.ends[spot] for spot in part])
            for (env, t), value in zip(part, values, strict=True):
                draft.rows[env][t] = replace(draft.rows[env][t], bootstrap=value)

    def _trajectories(self, draft: Draft) -> list[Trajectory]:
        """Every environment's turns cut where episodes end."""
        found: list[list[Turn]] = []
        for env in sorted(draft.rows):
            opened: list[Turn] | None = None
            for turn in draft.rows[env]:
                if opened is None:
                    found.append(opened := [])
                opened.append(turn)
                opened = opened if turn.ending is Ending.RUNNING else None
        starts = {(turns[0].env // self.spec.group, turns[0].episode): None for turns in found}
        groups = {start: number for number, start in enumerate(starts)}
        return [Trajectory(turns, groups[turns[0].env // self.spec.group, turns[0].episode]) for turns in found]

    def _next_episode(self, state: EnvState) -> None:
        state.episode += 1
        # All environments of a group draw as its first one does.
        first = state.index - state.index % self.spec.group
        rng = numbers(self.config.seed, self._rank, first, state.episode, 0)
        start, played = self.task.reset_arguments(rng), list[Any]()
        if self._failures and rng.random() < self.config.train.recovery:
            start, played = self._failures[int(rng.integers(len(self._failures)))]
        self.envs.begin(state, start, state.episode, played)

    def _note_failure(self, state: EnvState, turn: Turn) -> None:
        """Keeps a state in which an episode was lost or stopped, if a right thought exists there."""
        stopped, lost = turn.ending is Ending.STOPPED, turn.ending is Ending.TERMINATED and turn.success is False
        if (
            self.config.train.recovery
            and (stopped or lost)
            and self.task.solvable(state.truth if stopped else turn.truth)
        ):
            played = state.played if stopped else state.played[:-1]
            self._failures = [*self._failures, (state.start, played)][-RECENT:]

    def _rng(self, state: EnvState, draw: int) -> np.random.Generator:
        return numbers(self.config.seed, self._rank, state.index, state.episode, draw)

    # -- exact resume ---------------------------------------------------------------------------------------------
    def state(self) -> dict[str, Any]:
        """Where every episode stands, as JSON values: its start and the actions played since."""
        return {
            "seats": [
                {"episode": s.episode, "turn": s.turn, "start": s.start, "played": [_plain(a) for a in s.played]}
                | ({"said": [(played, one.reply) for played, one in s.past]} if s.past else {})
                for s in self.envs.states
            ],
            "failures": [[start, [_plain(a) for a in played]] for start, played in self._failures],
            "corrector": self.corrector.state() if self.corrector else {},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Replays every open episode to where `state` left it."""
        for one, saved in zip(self.envs.states, state["seats"], strict=True):
            said = saved.get("said", ())
            self.envs.begin(one, saved["start"], saved["episode"], saved["played"], saved["turn"], said)
        self._failures = [(start, played) for start, played in state.get("failures", [])]
        if self.corrector:
            self.corrector.restore(state["corrector"])


def _plain(action: Any) -> Any:
    """An environment's action as a JSON value."""
    return action.tolist() if isinstance(action, np.ndarray | np.generic) else action

"""What algorithms with a teacher share: who it is, how it follows the agent, and how good it is.

GTR-Turbo (arXiv 2512.13043) replaces GTR's corrector by the agent's own past checkpoints, merged into one. A subclass
says what it makes of the teacher's word (`listen`): thoughts to clone, or log-probabilities of what the agent wrote.
"""

import logging
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Le

from gtr.algo.ppo import PPO, PPOSettings
from gtr.config.section import Share, Text
from gtr.errors import ConfigError, RunError
from gtr.guidance.teachers import Pair, Tally, tally
from gtr.types import Ending, Place, Prompt, Reply, Rollout, Sample, Turn

if TYPE_CHECKING:
    from torch import Tensor

    from gtr.policy.merge import MergedPolicy
    from gtr.policy.reference import FrozenPolicy

ENOUGH = 0.05
"""Success of the start below which merged past selves are known to have little to teach (GTR-Turbo)."""
HINT = "\nA right answer here: "
"""What stands between a prompt and the expert's reply that is told with it."""
SERVED = re.compile("https?://")
"""How a teacher's name begins that is the address of a server."""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TeacherSettings(PPOSettings):
    """Of algorithms that learn from a teacher beside the outcome."""

    teacher: Text = "merged"
    """Who teaches: merged (the agent's past selves), base (the agent of the start), hint (the agent itself, its prompt
    followed by the expert's reply); a run folder, checkpoint, model folder or hub id of the same family; or the address
    of a vLLM server of one that shares the agent's tokeniser (docs/TEACHERS.md)."""
    merge: Literal["mean", "ema", "ties"] = "ties"
    """How past selves are merged: their mean, an exponential moving average, or TIES by the mean's weights."""
    merge_alpha: Share = 0.5
    """Weight of the newest self under ema (GTR-Turbo: .5)."""
    merge_density: Annotated[float, Ge(0.001), Le(1)] = 0.8
    """Share of each tensor's changes that TIES keeps, the largest (GTR-Turbo: .8)."""
    merge_every: Annotated[int, Ge(1), Le(10_000_000)] = 1
    """Updates between merges."""
    merge_device: Literal["cpu", "agent"] = "cpu"
    """Where the merged weights wait: in the CPU's memory, or on the agent's device."""
    first_teacher: Literal["base", "member", "none"] = "base"
    """Who teaches before the first merge: the agent of the start, as member also one of the selves that are merged from
    then on (which TIES hardly sees: it has not changed); or nobody."""
    warm_up: Share = 0.0
    """Success of a rollout's episodes from which on the teacher takes part and selves are merged (GTR-Turbo needs about
    .05 of its start); 0 begins at once."""


class TaughtPPO(PPO):
    """PPO beside a teacher that no gradient reaches."""

    Settings = TeacherSettings
    settings: TeacherSettings

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.merged: MergedPolicy | None = None
        self._identity = self.settings.teacher
        """Tells the teacher from others; a run goes on with the one that it began with, wherever that lies by then."""
        self._teacher = self._make_teacher()
        self._warm, self._count = self.settings.warm_up == 0, 0
        self._measured: dict[str, float] = {}

    def _make_teacher(self) -> "FrozenPolicy | None":
        """None where it is the agent of the start, which the run keeps."""
        from gtr.policy.merge import MergedPolicy
        from gtr.policy.reference import OtherPolicy
        from gtr.policy.teacher import digest, load_teacher

        settings = self.settings
        match settings.teacher:
            case "base":
                return None
            case "merged":
                device = "cpu" if settings.merge_device == "cpu" else None
                how = settings.merge, settings.merge_alpha, settings.merge_density
                self.merged = MergedPolicy(self.policy, *how, device, settings.first_teacher == "member")
                return self.merged
            case "hint" if not self.task.has_expert():
                raise ConfigError(f"algo.teacher is hint, but the task {self.task.name} has no expert: name another")
            case "hint":
                return OtherPolicy(self.policy)
            case address if SERVED.match(address):
                from gtr.engine import served_teacher

                served = served_teacher(address, self.policy, self.config.engine)
                self._identity = served.name
                return served
            case path:
                other = load_teacher(path, self.policy, self.config.policy)
                self._identity = digest(other)
                return OtherPolicy(other)

    @property
    def teacher(self) -> "FrozenPolicy":
        found = self._teacher or self.reference
        assert found is not None, "the run keeps the starting agent where it teaches"
        return found

    @property
    def needs_reference(self) -> bool:
        return super().needs_reference or self.settings.teacher == "base"

    @property
    def teaches(self) -> bool:
        """Whether the teacher takes part now."""
        waiting = self.merged is not None and not self.merged.count and self.settings.first_teacher == "none"
        return self._warm and not waiting

    def samples(self, rollout: Rollout, update: int) -> list[Sample]:
        self._warm_up(rollout, update)
        started = time.perf_counter()
        whole = [turn for turn in rollout.flat() if turn.ending is not Ending.ABORTED]
        self._measured = {**self.listen(whole if self.teaches else []), **self._distances()}
        self._measured["seconds/teach"] = time.perf_counter() - started
        return super().samples(rollout, update)

    def listen(self, turns: Sequence[Turn]) -> dict[str, float]:
        """Asks the teacher about the turns of a rollout, of none while it takes no part; returns metrics.

        By default it is only examined, on as many turns as `report.probe_turns` says.
        """
        asked = spread(turns, self.config.report.probe_turns)
        return self.examined(asked, self.teacher.replies(self.policy, [self.prompt(turn) for turn in asked], True))

    def prompt(self, turn: Turn) -> Prompt:
        """What the teacher sees of a turn."""
        expert = self.task.expert(turn.truth) if self.settings.teacher == "hint" else None
        if expert is None:
            return turn.prompt
        hint = HINT + self.task.write(expert.thought, expert.action)
        return replace(turn.prompt, text=turn.prompt.text + hint)

    def examined(self, turns: Sequence[Turn], replies: Sequence[Reply]) -> dict[str, float]:
        """How good the teacher's thoughts are on these turns; nothing where the task cannot tell."""
        found = self.tally(turns, replies)
        if not found.states:
            return {}
        shares = {"right": found.teacher, "agreement": found.same, "mends": found.mends}
        return {f"teacher/{name}": number / found.states for name, number in shares.items()} | {
            "count/taught_states": float(found.states)
        }

    def tally(self, turns: Sequence[Turn], replies: Sequence[Reply]) -> Tally:
        """The teacher's thoughts on these turns against the agent's."""
        read = [self.task.parse(reply.text, reply.finished) for reply in replies]
        rows = zip(turns, read, strict=True)
        return tally(self.task, [Pair(turn.truth, turn.parsed, said) for turn, said in rows])

    def _distances(self) -> dict[str, float]:
        if self.merged is None:
            return {}
        found = {"teacher/distance_agent": self.merged.distance(self.policy)}
        if self.reference is not None:
            with self.reference.swapped(self.policy) as base:
                found["teacher/distance_base"] = self.merged.distance(base)
        return {**found, "teacher/merged": float(self.merged.count)}

    def _warm_up(self, rollout: Rollout, update: int) -> None:
        ended = [turn for turn in rollout.flat() if turn.ending not in (Ending.RUNNING, Ending.ABORTED)]
        won = self.everyone([float(turn.success) for turn in ended if turn.success is not None])
        success = float(np.mean(won)) if len(won) else 0.0
        self._warm = self._warm or success >= self.settings.warm_up
        if update == 0 and self.merged is not None and success < ENOUGH:
            log.warning(
                "the first rollout won %.2f of its episodes: below about %.2f, past selves are known to teach little; "
                "raise --sft.target, or let --algo.warm-up wait for success",
                *(success, ENOUGH),
            )

    def updated(self, update: int) -> None:
        super().updated(update)
        if self.merged is not None and self._warm and update % self.settings.merge_every == 0:
            self.merged.add(self.policy)

    def metrics(self) -> Mapping[str, float]:
        return {**super().metrics(), **self._measured}

    # -- exact resume ---------------------------------------------------------------------------------------------
    def state(self) -> Mapping[str, Any]:
        return {"warm": self._warm, "merged": self.merged.count if self.merged else 0, "teacher": self._identity}

    def tensors(self) -> "Mapping[str, Tensor]":
        return self.merged.tensors() if self.merged else {}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._warm, self._count = state["warm"], state["merged"]
        if state.get("teacher", self._identity) != self._identity:
            raise RunError(
                f"algo.teacher {self.settings.teacher} is another than the run has learnt from so far "
                f"({self._identity} now, {state['teacher']} then; that of a run folder is its last checkpoint): name "
                "where that one lies now, --algo.teacher PATH, or begin a new run"
            )

    def restore_tensors(self, tensors: "Mapping[str, Tensor]") -> None:
        if self.merged is None:
            return
        try:
            self.merged.restore(tensors, self._count)
        except KeyError as error:
            raise RunError(f"the checkpoint lacks the teacher's tensor {error}; go on from the one before") from error


def spread(turns: Sequence[Turn], count: int) -> Sequence[Turn]:
    """At most `count` turns, evenly spread."""
    return turns if len(turns) <= count else [turns[i * len(turns) // count] for i in range(count)]


def place_of(turn: Turn) -> Place:
    return turn.env, turn.episode, turn.index

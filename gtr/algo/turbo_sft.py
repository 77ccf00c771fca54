"""Turbo-SFT (GTR-Turbo, arXiv 2512.13043): GTR whose thoughts to clone are written by the agent's own merged past.

The teacher answers every state of the rollout. Its thought is cloned as GTR clones a correction: the agent's own action
put back and masked, aggregated over the run. With a corrector beside it (`guidance.corrector`), the teacher writes
where that was not asked (`corrector.ask_share`) or did not answer: the bill against the success.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

from annotated_types import Ge, Le

from gtr.algo.teacher import TaughtPPO, TeacherSettings, place_of
from gtr.errors import ConfigError
from gtr.guidance.teachers import thought
from gtr.types import UNANSWERED, Judgement, Parsed, Place, Reply, ReplyStatus, Turn, Verdict


@dataclass(frozen=True)
class TurboSFTSettings(TeacherSettings):
    """Turbo-SFT's."""

    tries: Annotated[int, Ge(1), Le(100)] = 3
    """Times that the teacher may write until its reply is whole; after that the turn teaches nothing."""


class TurboSFT(TaughtPPO):
    """PPO on actions beside the cloning of the teacher's thoughts."""

    Settings = TurboSFTSettings
    settings: TurboSFTSettings
    thoughts: Mapping[Place, Parsed] = {}
    """By turn, what the teacher wrote."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        if self.config.guidance.clone == "announced_action":
            raise ConfigError(
                "guidance.clone is announced_action, but turbo_sft does not read what its teacher's thoughts announce: "
                "set guidance.clone thought, or thought_and_action for the teacher's own action"
            )

    def listen(self, turns: Sequence[Turn]) -> dict[str, float]:
        asked = [turn for turn in turns if turn.verdict is None or turn.verdict.judgement in UNANSWERED]
        replies, tokens = self._written(asked)
        read = [self.task.parse(reply.text, reply.finished) for reply in replies]
        self.thoughts = {place_of(turn): said for turn, said in zip(asked, read, strict=True)}
        return {**self.examined(asked, replies), "count/teacher_tokens": float(tokens)}

    def _written(self, turns: Sequence[Turn]) -> tuple[list[Reply], int]:
        """The teacher's last try for each turn, whole or one too many; and how many tokens all tries took."""
        found: dict[int, Reply] = {}
        left, tokens = list(range(len(turns))), 0
        for _ in range(self.settings.tries):
            replies = self.teacher.replies(self.policy, [self.prompt(turns[i]) for i in left])
            found |= dict(zip(left, replies, strict=True))
            tokens += sum(len(reply.tokens) for reply in replies)
            left = [i for i in left if not self._whole(found[i])]
        return [found[i] for i in range(len(turns))], tokens

    def _whole(self, reply: Reply) -> bool:
        return self.task.parse(reply.text, reply.finished).status is ReplyStatus.COMPLETE

    def corrected(self, turns: Sequence[Turn]) -> Sequence[Turn]:
        return [self._taught(turn) for turn in turns]

    def _taught(self, turn: Turn) -> Turn:
        """The turn with the teacher's thought as its correction, where it wrote a whole one."""
        read = self.thoughts.get(place_of(turn))
        if read is None or (said := thought(self.task, read)) is None:
            return turn
        return replace(turn, verdict=Verdict(Judgement.INCORRECT, said, read.action))

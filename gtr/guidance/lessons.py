"""From a verdict to a lesson: the corrected thought around the agent's own action, which is masked (paper 3.3)."""

from gtr.config import GuidanceConfig
from gtr.policy.policy import Policy
from gtr.policy.tokens import touching
from gtr.tasks.reply import parse, write
from gtr.tasks.task import Task
from gtr.types import Judgement, Lesson, ReplyStatus, Turn


def lesson_of(turn: Turn, task: Task, policy: Policy, config: GuidanceConfig) -> Lesson | None:
    """The lesson of a corrected turn, or None when there is nothing to learn from it.

    Only the action's value is masked, not the JSON around it: that scaffold carries no decision, and left
    unsupervised it decays under negative advantages. A reply that cannot be read has no action to put back: there the
    corrector's own is taught, or replies never learn to be whole again.
    """
    verdict = turn.verdict
    if verdict is None or verdict.judgement is not Judgement.INCORRECT or verdict.thought is None:
        return None
    if turn.parsed.status is not ReplyStatus.COMPLETE and not config.correct_malformed:
        return None
    own = turn.parsed.action or None  # Masking an empty action would mask nothing, and teach to write none.
    with_action = config.clone == "thought_and_action" or own is None
    action = verdict.action if with_action else own
    text = write(verdict.thought, action or "")
    span = parse(text, True, task.thought_keys).action_span
    if action is None and span is not None:
        text = text[: span[0]]
    tokens = policy.encode_reply(text) if action is not None else policy.encode_reply(text)[:-1]
    masked = [False] * len(tokens) if with_action else touching(policy.offsets(tokens), span)
    return Lesson(turn.prompt, tokens, tuple(0.0 if hidden else 1.0 for hidden in masked))

"""All metrics that need nothing but the turns of a rollout and their task."""

from collections import Counter
from collections.abc import Iterable, Sequence

from rapidfuzz.distance import Levenshtein

from gtr.metrics.diversity import distinct, distinct_per_state, sample, self_bleu2
from gtr.metrics.thought import WORD, Thought, complete, follows, read, reconsiders, written
from gtr.tasks.task import Task
from gtr.types import Ending, Judgement, ReplyStatus, Rollout, Turn

SAMPLE = 64
"""Thoughts on which text diversity is measured; fixed, because these measures fall with the amount of text."""
TOP_ACTIONS = 8
"""Most frequent actions that get a line of their own."""
ACTION_LENGTH = 32
"""Characters of an action's text that are kept in its metric's name."""


def health(rollout: Rollout, task: Task, seed: int) -> dict[str, float]:
    """Every metric of the table that a rollout alone can tell, by name.

    A metric is left out where nothing could be measured (no episode ended, no reply was complete, the task cannot
    judge), never set to a number that looks measured. Metrics of thoughts are taken over states where a right thought
    exists (`Task.solvable`): after a wrong action most puzzles have no solution left, and counted there too, perfect
    thoughts would look wrong because of the actions between them. `seed` chooses the subsample of thoughts for text
    diversity.
    """
    turns = [turn for turn in rollout.flat() if turn.ending is not Ending.ABORTED]
    solvable = [turn for turn in turns if task.solvable(turn.truth)]
    thoughts = read(solvable, task)
    found: dict[str, float | None] = {"episode/aborted": float(len(rollout.flat()) - len(turns))}
    found |= {"thought/solvable": len(solvable) / len(turns) if turns else None, "count/turns": float(len(turns))}
    found["count/tokens"] = float(sum(len(turn.reply.tokens) for turn in turns))
    found |= _episodes(rollout) | _replies(turns) | _actions(turns, task) | _guidance(turns)
    found |= _checks(solvable, thoughts, task) | _texts(thoughts, task, seed)
    return {name: value for name, value in found.items() if value is not None}


def share(outcomes: Iterable[bool]) -> float | None:
    """How many are true, from 0 to 1; None where there are none."""
    listed = list(outcomes)
    return sum(listed) / len(listed) if listed else None


def mean(numbers: Iterable[float]) -> float | None:
    """The mean; None where there are no numbers."""
    listed = list(numbers)
    return sum(listed) / len(listed) if listed else None


def says_success(last: Sequence[Turn]) -> bool:
    """Whether the task says of episodes, by their last turns, if they were won: of ends that are no cuts, at least."""
    unsaid = any(turn.success is None for turn in last)
    return not unsaid or any(turn.success is not None and turn.ending is Ending.TERMINATED for turn in last)


def _episodes(rollout: Rollout) -> dict[str, float | None]:
    """Of episodes that no broken environment cut: what they had gathered before counts for nothing either."""
    broken = {(turn.env, turn.episode) for turn in rollout.flat() if turn.ending is Ending.ABORTED}
    turns = [turn for turn in rollout.flat() if (turn.env, turn.episode) not in broken]
    last = [turn for turn in turns if turn.ending is not Ending.RUNNING]
    return {
        "episode/ended": float(len(last)),
        "episode/success": share(bool(turn.success) for turn in last) if says_success(last) else None,
        "episode/return": sum(turn.reward for turn in turns) / len(last) if last else None,
        "episode/conditions": mean(turn.progress for turn in last if turn.progress is not None),
        "episode/length": mean(turn.index + 1 for turn in last),
        "episode/stopped": share(turn.ending is Ending.STOPPED for turn in last),
        "episode/truncated": share(turn.ending is Ending.TRUNCATED for turn in last),
    }


def _replies(turns: Sequence[Turn]) -> dict[str, float | None]:
    statuses = {f"reply/{status}": share(turn.parsed.status is status for turn in turns) for status in ReplyStatus}
    tokens = sum(len(turn.reply.logprobs) for turn in turns)
    negative_logprob = -sum(sum(turn.reply.logprobs) for turn in turns)
    return statuses | {
        "reply/tokens": mean(len(turn.reply.tokens) for turn in turns),
        "policy/entropy": negative_logprob / tokens if tokens else None,
    }


def _actions(turns: Sequence[Turn], task: Task) -> dict[str, float | None]:
    said = [turn.parsed.action for turn in turns if turn.parsed.action is not None]
    counts = Counter(" ".join(action.casefold().split())[:ACTION_LENGTH] for action in said)
    top = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:TOP_ACTIONS]
    following = [follows(turn, task) for turn in turns]
    return {
        "action/legal": share(turn.legal for turn in turns),
        "action/illegal": share(not turn.legal for turn in turns if complete(turn)),
        "action/max_share": top[0][1] / len(said) if said else None,
        "action/follows": share(outcome for outcome in following if outcome is not None),
        "count/complete": float(sum(map(complete, turns))),
        "count/announced": float(sum(outcome is not None for outcome in following)),
    } | {f"action/is/{action}": count / len(said) for action, count in top}


def _guidance(turns: Sequence[Turn]) -> dict[str, float | None]:
    verdicts = [turn.verdict for turn in turns if turn.verdict is not None]
    if not verdicts:
        return {}
    asked = [verdict for verdict in verdicts if verdict.judgement is not Judgement.SKIPPED]
    scores = [verdict.score for verdict in asked if verdict.score is not None]
    judged = [v for v in asked if v.judgement not in (Judgement.ABSENT, Judgement.SCORED)]
    return {
        "guidance/score": mean(scores),
        "guidance/judge_reward": mean(turn.judge_reward for turn in turns) if scores else None,
        "guidance/correction": share(verdict.judgement is Judgement.INCORRECT for verdict in judged),
        "guidance/unsolvable": share(verdict.judgement is Judgement.UNSOLVABLE for verdict in judged),
        "guidance/absent": share(verdict.judgement is Judgement.ABSENT for verdict in asked),
        "guidance/skipped": 1 - len(asked) / len(verdicts),
        "guidance/lesson": sum(v.judgement is Judgement.INCORRECT and v.thought is not None for v in verdicts)
        / len(turns),
        "guidance/edit": mean(edit for turn in turns if (edit := _edit(turn)) is not None),
    }


def _edit(turn: Turn) -> float | None:
    """The share of words that a correction changes in a complete thought."""
    verdict = turn.verdict
    if verdict is None or verdict.judgement is not Judgement.INCORRECT or not verdict.thought or not complete(turn):
        return None
    before = [word for key in verdict.thought for word in WORD.findall(written(turn.parsed.fields.get(key, "")))]
    after = [word for value in verdict.thought.values() for word in WORD.findall(written(value))]
    return Levenshtein.normalized_distance(before, after)


def _checks(solvable: Sequence[Turn], thoughts: Sequence[Thought], task: Task) -> dict[str, float | None]:
    judged = [thought for thought in thoughts if thought.checks]
    if not judged:
        return {}
    questions = sorted({name for thought in judged for name in thought.checks})
    found = {f"thought/{name}": share(t.checks[name] for t in judged if name in t.checks) for name in questions}
    if "plan" in questions:
        planned = sum(thought.checks.get("plan", False) for thought in judged if thought.turn.index == 0)
        starts = sum(turn.index == 0 for turn in solvable)
        found |= {"thought/start_plan": planned / starts if starts else None, "count/starts": float(starts)}
    right = [thought for thought in judged if thought.right]
    following = [outcome for thought in right if (outcome := follows(thought.turn, task)) is not None]
    return (
        found
        | _reflection(judged)
        | {
            "thought/right": len(right) / len(judged),
            "count/judged": float(len(judged)),
            "action/follows_right": share(following),
            "count/announced_right": float(len(following)),
        }
    )


def _reflection(judged: Sequence[Thought]) -> dict[str, float | None]:
    reconsidering = [thought for thought in judged if reconsiders(thought)]
    plain = [thought for thought in judged if not reconsiders(thought)]
    return {
        "reflection/in_right": share(reconsiders(thought) for thought in judged if thought.right),
        "reflection/in_wrong": share(reconsiders(thought) for thought in judged if not thought.right),
        "reflection/right_with": share(thought.right for thought in reconsidering),
        "reflection/right_without": share(thought.right for thought in plain),
    }


def _texts(thoughts: Sequence[Thought], task: Task, seed: int) -> dict[str, float | None]:
    words = [thoughts[i].words for i in sample(len(thoughts), SAMPLE, seed)]
    fields = {f"distinct/{key}": _field_per_state(thoughts, key) for key in task.thought_keys}
    return fields | {
        "count/thoughts": float(len(thoughts)),
        "thought/characters": mean(len(thought.text) for thought in thoughts),
        "thought/words": mean(len(thought.words) for thought in thoughts),
        "thought/self_bleu2": self_bleu2(words),
        "thought/distinct1": distinct(words, 1),
        "thought/distinct2": distinct(words, 2),
        "thought/per_state": distinct_per_state((thought.state, thought.text) for thought in thoughts),
        "reflection/ratio": share(reconsiders(thought) for thought in thoughts),
    }


def _field_per_state(thoughts: Sequence[Thought], key: str) -> float | None:
    said = [(thought.state, thought.turn.parsed.fields) for thought in thoughts]
    return distinct_per_state((state, written(fields[key])) for state, fields in said if key in fields)

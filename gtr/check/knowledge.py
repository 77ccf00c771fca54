"""Whether what the task knows is right: its expert, its checks, and what it reads off thoughts."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from gtr import tasks
from gtr.check.walk import State, Walk, by_expert, walk
from gtr.tasks.task import Finding, Task
from gtr.types import Expert, Parsed, ReplyStatus

if TYPE_CHECKING:
    from gtr.check import Played

KNOWN = ("perception", "plan", "step")
"""Questions that metrics know (see `Task.check`)."""
ANYTHING: Sequence[Any] = (
    "",
    None,
    True,
    7,
    -1.5,
    [],
    [1, "a", None],
    {"a": {"b": []}},
    "next " * 50,
    "\x00 ü 漢",
    10**30,
)
"""Values that a model may write for any key."""


def wins(played: "Played") -> Iterator[Finding]:
    """Whether the expert does what it is for."""
    task, walks = played.task, played.expert
    if not task.has_expert():
        yield Finding(True, "no expert: no SFT, no oracle, no `check`; add --sft.enabled False")
        return
    if not walks:
        yield Finding(False, "the expert knows no action at any start", "return an Expert where a game can be won")
        return
    won, by_chance = (_share(task, one) for one in (walks, played.random))
    cut = [one for one in walks if not one.ended and not one.lost_its_way]
    if any(one.lost_its_way for one in walks):
        text = "the expert knows no action in a state that its own actions led to"
        yield Finding(False, text, "let it play every game that it begins to its end")
    elif len(cut) == len(walks):
        text = f"max_turns, {task.max_turns}, ends every episode of the expert"
        yield Finding(False, text, "raise max_turns, or let the environment end the game where it is won")
    elif won == 0 or won <= by_chance:
        yield Finding(
            False,
            f"the expert wins {won:.2f} of its episodes, random play {by_chance:.2f}",
            "let the expert play well, or success() say what winning is",
        )
    else:
        yield Finding(True, f"the expert wins {won:.2f} of the starts it knows a way from, random play {by_chance:.2f}")


def _share(task: Task, walks: Sequence[Walk]) -> float:
    return float(np.mean([one.won(task) for one in walks]))


def replies(played: "Played") -> Iterator[Finding]:
    """Whether the expert's thoughts are written and read back as they are."""
    for _, expert in _thoughts(played.expert):
        if problem := _misread(played.task, expert):
            yield problem
            return


def without_thought(played: "Played") -> Iterator[Finding]:
    """The same under ``task.thought False``, as the preset no_thought plays."""
    task = tasks.load(replace(played.config.task, thought=False))
    for one in played.expert[:3]:
        again = walk(task, one.start, by_expert(task))
        for _, expert in _thoughts([again]):
            if problem := _misread(task, expert):
                yield replace(problem, text=f"under --task.thought False {problem.text}")
                return


def _misread(task: Task, expert: Expert) -> Finding | None:
    keys = tuple(expert.thought)
    if keys != tuple(task.thought_keys):
        return Finding(
            False,
            f"the expert's thought has the keys {keys!r}, thought_keys are {tuple(task.thought_keys)!r}",
            "build it as {key: fields[key] for key in self.thought_keys}",
        )
    try:
        read = _parsed(task, expert.thought, expert.action)
    except (TypeError, ValueError) as error:
        text = f"the expert's thought {dict(expert.thought)!r} cannot be written as JSON: {error}"
        return Finding(False, text, "let it hold texts, ints, floats, lists and dicts, no numpy numbers: int(x)")
    wanted = json.loads(json.dumps(dict(expert.thought)))
    if read.status is not ReplyStatus.COMPLETE or read.action != expert.action:
        text = f"the expert's reply is read as {read.status}, its action as {read.action!r}, not {expert.action!r}"
        return Finding(False, text, "let its action be one of actions(), and its keys no other's")
    if {key: read.fields.get(key) for key in keys} != wanted:
        return Finding(False, f"the expert's thought {wanted!r} is read as {dict(read.fields)!r}", "keep to plain JSON")
    return None


def checks(played: "Played") -> Iterator[Finding]:
    """Whether `check` passes right thoughts and no others, under names that are known."""
    task, thoughts = played.task, _thoughts(played.expert)
    blank = dict.fromkeys(task.thought_keys, "")
    for state, expert in thoughts:
        answers = task.check(state.truth, _parsed(task, expert.thought, expert.action), expert.target)
        if problem := _answers(task, answers):
            yield problem
            return
        if failed := [name for name, passed in answers.items() if not passed]:
            yield Finding(
                False,
                f"check fails the expert's own thought on {failed[0]!r}: {task.write(expert.thought, expert.action)}",
                "let check pass every thought that is right, the expert's first",
            )
            return
        if all(task.check(state.truth, _parsed(task, blank, expert.action), None).values()):
            yield Finding(False, "check passes a thought that says nothing", "fail what is not said")
            return
    yield from _swapped(task, thoughts)


def _answers(task: Task, answers: object) -> Finding | None:
    if not isinstance(answers, Mapping) or not all(isinstance(one, bool | np.bool_) for one in answers.values()):
        return Finding(
            False, f"check returns {answers!r}", 'return a dict of True or False: {"perception": seen == shown}'
        )
    if not answers:
        text = "check answers nothing: the oracle would rewrite every thought, and no metric could judge one"
        return Finding(False, text, f"define Task.check: {', '.join(KNOWN)}")
    known = {*KNOWN, *task.corrector_spec().questions}
    if unknown := [name for name in answers if name not in known]:
        return Finding(
            False,
            f"check answers {unknown[0]!r}, a name that nobody knows",
            f"use {', '.join(KNOWN)}, or ask it of correctors too: CorrectorSpec.questions",
        )
    return None


def _swapped(task: Task, thoughts: Sequence[tuple[State, Expert]]) -> Iterator[Finding]:
    """A thought should fail in a state that calls for another one."""
    pairs = [(state, other) for (state, own), (_, other) in pairwise(thoughts) if own.thought != other.thought]
    passed = [all(task.check(s.truth, _parsed(task, e.thought, e.action), None).values()) for s, e in pairs]
    if len(passed) > 1 and all(passed):
        yield Finding(False, "check passes the thoughts of other states", "compare what is said with `truth`")


def anything(played: "Played") -> Iterator[Finding]:
    """Whether a thought may hold whatever a model writes without an error."""
    task = played.task
    for state, expert in _thoughts(played.expert)[:3] or [(played.random[0].states[0], Expert({}, "x"))]:
        for value in ANYTHING:
            said = _parsed(task, dict.fromkeys(task.thought_keys, value), expert.action)
            for name, ask in _readers(task, state, said).items():
                try:
                    ask()
                except Exception as error:
                    text = f"{name} fails where a thought says {value!r}: {type(error).__name__}: {error}"
                    yield Finding(False, text, "look at a value's type before you use it: models write anything")
                    return


def _readers(task: Task, state: State, said: Parsed) -> dict[str, Any]:
    return {
        "check": lambda: task.check(state.truth, said, None),
        "stated_plan": lambda: task.stated_plan(state.truth, said),
        "implied_action": lambda: task.implied_action(said, state.observation),
    }


def announced(played: "Played") -> Iterator[Finding]:
    """Whether the action that the expert's thought announces is the one that it takes."""
    task = played.task
    for state, expert in _thoughts(played.expert):
        said = task.implied_action(_parsed(task, expert.thought, expert.action), state.observation)
        if said is not None and not task.same_action(said, expert.action):
            text = f"implied_action reads {said!r} in {dict(expert.thought)!r}, whose action is {expert.action!r}"
            yield Finding(False, text, "let the expert announce what it does, and implied_action read just that")
            return


def labels(played: "Played") -> Iterator[Finding]:
    """Whether what the picture shows is told in as many small numbers everywhere."""
    found = [played.task.visual_labels(one.states[0].truth) for one in played.walks]
    told = [one for one in found if one is not None]
    if not told:
        return
    if len(told) < len(found):
        yield Finding(False, "visual_labels is None at some starts alone", "give labels at every start, or nowhere")
    if len({len(one) for one in told}) > 1:
        lengths = sorted({len(one) for one in told})
        text = f"visual_labels gives {lengths[0]} numbers in one state and {lengths[-1]} in another"
        yield Finding(False, text, "give as many everywhere: fill up with 0")
    if bad := [
        one for labels in told for one in labels if not isinstance(one, int | np.integer) or not 0 <= one < 1000
    ]:
        yield Finding(False, f"visual_labels gives {bad[0]!r}", "give class numbers from 0 on")


def lengths(played: "Played") -> Iterator[Finding]:
    """Whether the expert's replies fit into `policy.max_new_tokens` of a tiny agent, which learns its tokens there."""
    policy = played.config.policy
    texts = [played.task.write(expert.thought, expert.action) for _, expert in _thoughts(played.expert)]
    if not texts or not policy.model.startswith("tiny"):
        return
    from gtr.policy.tiny import tokenizer_for

    prompts = [played.task.prompt(state.observation) for state, _ in _thoughts(played.expert)]
    tokenizer = tokenizer_for([*texts, *prompts])
    longest = max(len(tokenizer(text)["input_ids"]) for text in texts) + 1
    if longest > policy.max_new_tokens:
        text = f"the expert's longest reply takes {longest} tokens of a tiny agent, policy.max_new_tokens are"
        yield Finding(
            False,
            f"{text} {policy.max_new_tokens}",
            f"say less in the compact style, or add --policy.max-new-tokens {longest + 8}",
        )


def _thoughts(walks: Sequence[Walk]) -> list[tuple[State, Expert]]:
    """What the expert thought, and where."""
    return [pair for one in walks for pair in zip(one.states, one.experts, strict=False)]


def _parsed(task: Task, thought: Mapping[str, Any], action: str) -> Parsed:
    return task.parse(task.write(thought, action))

"""What an environment shows, whether it repeats itself, and whether success means what rewards do."""

from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from gtr import tasks
from gtr.check.walk import State, Walk, walk
from gtr.errors import EmptySplitError
from gtr.tasks.steps import RGB, shapeless
from gtr.tasks.task import Finding, Task

if TYPE_CHECKING:
    from gtr.check import Played


def pictures(played: "Played") -> Iterator[Finding]:
    """Whether every picture, of the environment and of `observe`, is RGB and shows something."""
    states = [state for one in played.walks for state in one.states]
    for what, images in (
        ("the environment's observation", [state.image for state in states]),
        ("the picture of observe()", [state.observation.image for state in states]),
    ):
        problem = next((found for image in images if (found := _no_picture(image))), None)
        if problem is not None:
            yield Finding(False, f"{what} {problem[0]}", problem[1])
            return
    if all(np.ptp(state.observation.image) == 0 for state in states):
        yield Finding(False, "every picture is of one colour alone", "draw what the agent must see")


def _no_picture(image: Any) -> tuple[str, str] | None:
    """What is wrong with a picture, and what would be right."""
    if problem := shapeless(image):
        return problem
    if image.dtype != np.uint8:
        return f"is of {image.dtype}", f"{RGB}, such as (image * 255).astype(np.uint8) of fractions"
    return None


def kept(played: "Played") -> Iterator[Finding]:
    """Whether what an earlier turn showed is still what it showed."""
    states = [state for one in played.walks for state in one.states]
    if not all(np.array_equal(state.image, state.seen[0]) for state in states):
        yield Finding(
            False, "the picture of an earlier turn changes as the game goes on", "return a copy: self.image.copy()"
        )
    if any(played.task.state_key(state.truth) != state.seen[1] for state in states):
        yield Finding(
            False, "what info said of an earlier turn changes as the game goes on", "put copies into info: list(cards)"
        )


def repeats(played: "Played") -> Iterator[Finding]:
    """Whether a start, with the same actions after it, gives the same pictures and rewards again."""
    task = played.task
    one, other = (task.reset_arguments(np.random.default_rng(5)) for _ in range(2))
    if repr(one) != repr(other):
        yield Finding(
            False, "reset_arguments gives other starts for the same random numbers", "draw from its `rng` alone"
        )
    for first in played.random:
        again = _again(task, first)
        if difference := _difference(first, again):
            yield Finding(
                False,
                f"the same start and actions gave another game: {difference}",
                "call super().reset(seed=seed), and draw from self.np_random alone",
            )
            return


def _again(task: Task, first: Walk) -> Walk:
    """The same actions once more: replayed as `to_env` would give them."""
    env, found = task.make_env(), Walk(first.start)
    image, info = env.reset(**first.start)
    for action in [*first.actions, None]:
        state = task.observe(image, info), task.truth(info)
        found.states.append(State(image, *state, info, (np.array(image), task.state_key(state[1]))))
        if action is not None:
            image, reward, _, _, info = env.step(action)
            found.rewards.append(float(reward))
    env.close()
    return found


def _difference(first: Walk, again: Walk) -> str:
    turns = zip(first.states, again.states, strict=True)
    pictures_differ = [not np.array_equal(a.seen[0], b.seen[0]) for a, b in turns]
    if any(pictures_differ):
        return f"the picture of turn {pictures_differ.index(True)} differs"
    keys_differ = [a.seen[1] != b.seen[1] for a, b in zip(first.states, again.states, strict=True)]
    if any(keys_differ):
        return f"state_key of turn {keys_differ.index(True)} differs"
    return "rewards differ" if first.rewards != again.rewards else ""


def splits(played: "Played") -> Iterator[Finding]:
    """Whether every split that the task names is there, and its panel's rules can be read."""
    task = played.task
    if "same" not in task.splits:
        yield Finding(False, f"splits are {', '.join(task.splits)}", 'name "same" among them: as trained')
    for split in task.splits:
        try:
            there = tasks.load(tasks.load(task.strict()).for_split(split))
        except EmptySplitError:
            continue  # What asks for it is told which setting leaves it no start.
        walk(there, there.reset_arguments(np.random.default_rng(1)), lambda state, so_far: None)
        there.rules()


def success(played: "Played") -> Iterator[Finding]:
    """Whether the task says what success is, and means the same as its rewards."""
    task, walks = played.task, [one for one in played.walks if one.actions]
    said = [one.success(task) for one in walks if one.ended]
    if None in said:
        yield Finding(
            False,
            "nothing says what success is: evaluations will show rewards alone, and SFT cannot stop at a success",
            "put info['success'] into the last step of the environment, or define Task.success",
        )
        return
    if wrong := [one for one in said if not isinstance(one, bool | np.bool_)]:
        yield Finding(False, f"success gives {wrong[0]!r}", "give True or False")
        return
    ended = [one for one in walks if one.ended]
    yield from _with_rewards([one for one in ended if one.won(task)], [one for one in ended if not one.won(task)])
    at_random = [one.won(task) for one in played.random]
    if all(at_random):
        yield Finding(
            False,
            f"random play wins all of its {len(at_random)} episodes",
            "let success be True only where the goal was reached, and leave something to learn",
        )
    yield from _with_progress(task, walks)


def _with_rewards(won: Sequence[Walk], lost: Sequence[Walk]) -> Iterator[Finding]:
    """Wins should be paid better than losses: at their end, or over all."""
    if not won or not lost:
        return
    at_end = min(one.rewards[-1] for one in won), max(one.rewards[-1] for one in lost)
    over_all = fmean(sum(one.rewards) for one in won), fmean(sum(one.rewards) for one in lost)
    if at_end[0] < at_end[1] or over_all[0] <= over_all[1]:
        yield Finding(
            False,
            f"success and reward disagree: a win ended with the reward {at_end[0]:g}, a loss with {at_end[1]:g}; mean "
            f"returns are {over_all[0]:g} and {over_all[1]:g}",
            "pay what success() calls a win better than what it calls a loss",
        )


def _with_progress(task: Task, walks: Sequence[Walk]) -> Iterator[Finding]:
    for one in walks:
        share = task.progress(one.states[-1].info)
        if share is not None and (not 0 <= share <= 1 or (share == 1) != one.won(task)):
            yield Finding(
                False,
                f"progress is {share:g} where success is {one.success(task)}",
                "give a share from 0 to 1, and 1 exactly where the goal is reached",
            )
            return

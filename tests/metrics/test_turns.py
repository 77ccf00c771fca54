"""Every metric of a rollout on hand-made turns, with values worked by hand."""

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
import pytest
from small import cut

from gtr import metrics
from gtr.config import TaskConfig
from gtr.metrics.table import METRICS, describe
from gtr.metrics.thought import RECONSIDERING
from gtr.tasks.task import Task
from gtr.types import (
    Ending,
    Expert,
    Image,
    Judgement,
    Observation,
    Parsed,
    Prompt,
    Reply,
    ReplyStatus,
    Truth,
    Turn,
    Verdict,
)

PROMPT = Prompt(np.zeros((2, 2, 3), np.uint8), "which digit?")


class Digits(Task):
    """Say the digit shown and the next one: the state is the digit, the plan works when it is the digit plus one."""

    name = "digits"
    thought_keys = ("seen", "plan")

    def make_env(self) -> gymnasium.Env[Any, Any]:
        raise NotImplementedError

    def observe(self, image: Image, info: Mapping[str, Any]) -> Observation:
        return Observation(image)

    def prompt(self, observation: Observation) -> str:
        return "which digit?"

    def actions(self, observation: Observation) -> Sequence[str]:
        return ["up", "down"]

    def to_env(self, action: str, observation: Observation) -> Any | None:
        return {"up": 1, "down": -1}.get(action)

    def check(self, truth: Truth, parsed: Parsed, target: str | None) -> Mapping[str, bool]:
        assert target is None, "metrics judge by the state alone"
        digit = truth.state["digit"]
        return {"perception": parsed.fields["seen"] == digit, "plan": parsed.fields["plan"] == f"go {digit + 1}"}


class Finite(Digits):
    """The same game where nothing can be planned from digit 9."""

    def expert(self, truth: Truth, target: str | None = None) -> Expert | None:
        digit = truth.state["digit"]
        return None if digit == 9 else Expert({"seen": digit, "plan": f"go {digit + 1}"}, "up")


class Mute(Digits):
    """The same game by a task that cannot judge thoughts."""

    def check(self, truth: Truth, parsed: Parsed, target: str | None) -> Mapping[str, bool]:
        return {}


TASK = Digits(TaskConfig())


def turn(
    digit: int = 1,
    seen: int = 1,
    plan: str = "go 2",
    action: str = "up",
    *,
    index: int = 0,
    episode: int = 0,
    status: ReplyStatus = ReplyStatus.COMPLETE,
    ending: Ending = Ending.RUNNING,
    success: bool = False,
    reward: float = 0.0,
    legal: bool = True,
    verdict: Verdict | None = None,
    implied: str | None = None,
    progress: float | None = None,
    logprobs: tuple[float, ...] = (-1.0, -2.0),
) -> Turn:
    whole = status is ReplyStatus.COMPLETE
    parsed = Parsed(status, {"seen": seen, "plan": plan}, action, (0, 1)) if whole else Parsed(status)
    return Turn(
        env=0,
        episode=episode,
        index=index,
        prompt=PROMPT,
        truth=Truth({"digit": digit}),
        reply=Reply("", tuple(range(len(logprobs))), logprobs, whole),
        parsed=parsed,
        legal=legal and whole,
        reward=reward,
        ending=ending,
        success=success,
        verdict=verdict,
        implied=implied,
        progress=progress,
    )


def health(*turns: Turn, task: Task = TASK) -> dict[str, float]:
    return metrics.health(cut([list(turns)]), task, seed=0)


def test_episodes() -> None:
    found = health(
        turn(index=6, ending=Ending.TERMINATED, success=True, reward=10.0),  # began before this rollout
        turn(index=0, reward=-1.0),
        turn(index=1, ending=Ending.STOPPED, reward=-1.0),
        turn(index=0, ending=Ending.TRUNCATED),
        turn(index=0, ending=Ending.TERMINATED, reward=-1.0),
        turn(index=0, reward=50.0, episode=1),  # an episode that broke: what it had gathered counts for nothing
        turn(index=1, ending=Ending.ABORTED, reward=-99.0, episode=1),
        turn(index=0, reward=1.0),
    )
    assert found["episode/ended"] == 4.0
    assert found["episode/success"] == 0.25
    assert found["episode/return"] == (10 - 1 - 1 - 1 + 1) / 4
    assert found["episode/length"] == (7 + 2 + 1 + 1) / 4
    assert found["episode/stopped"] == 0.25
    assert found["episode/truncated"] == 0.25
    assert found["episode/aborted"] == 1.0


def test_replies_and_entropy() -> None:
    found = health(
        turn(logprobs=(-1.0, -2.0)),
        turn(logprobs=(-3.0,)),
        turn(status=ReplyStatus.EMPTY, logprobs=()),
        *[turn(status=s) for s in ReplyStatus if s not in (ReplyStatus.COMPLETE, ReplyStatus.EMPTY)],
    )
    for status in ReplyStatus:
        assert found[f"reply/{status}"] == (2 if status is ReplyStatus.COMPLETE else 1) / 7
    assert found["reply/tokens"] == (2 + 1 + 0 + 4 * 2) / 7
    assert found["policy/entropy"] == (3 + 3 + 4 * 3) / (3 + 4 * 2)


def test_actions() -> None:
    found = health(
        turn(action="up", implied="up"),
        turn(action="up", implied="down"),
        turn(action="up", seen=7, implied="up"),
        turn(action="jump  high", legal=False),
        turn(status=ReplyStatus.MALFORMED),
    )
    assert found["action/legal"] == 3 / 5
    assert found["action/illegal"] == 1 / 4
    assert found["action/max_share"] == 3 / 4
    assert found["action/is/up"] == 3 / 4
    assert found["action/is/jump high"] == 1 / 4
    assert found["action/follows"] == 2 / 3
    assert found["action/follows_right"] == 1 / 2
    assert (found["count/announced"], found["count/announced_right"]) == (3.0, 2.0)
    assert (found["count/turns"], found["count/complete"]) == (5.0, 4.0)


def test_case_and_spacing_make_no_other_action() -> None:
    found = health(turn(action="Up", implied="up"), turn(action="go  UP", implied="Go up"), turn(action="up"))
    assert found["action/follows"] == 1.0
    assert found["action/is/up"] == 2 / 3
    assert health(turn(action="u p", implied="up"))["action/follows"] == 0.0


def test_a_broken_turn_counts_nowhere() -> None:
    whole = [turn(implied="up"), turn(digit=2, ending=Ending.TERMINATED, success=True, reward=1.0)]
    wrong = turn(seen=9, plan="wait", action="Jump", implied="down", ending=Ending.ABORTED, episode=1, legal=False)
    with_it, without = health(*whole, wrong), health(*whole)
    assert with_it.pop("episode/aborted") == 1.0
    assert without.pop("episode/aborted") == 0.0
    assert with_it == without


def test_histogram_has_eight_lines_of_bounded_length_in_a_fixed_order() -> None:
    found = health(*[turn(action=f"{n} " + "(" * 1000) for n in range(20)])
    lines = [name for name in found if name.startswith("action/is/")]
    assert len(lines) == 8
    assert max(len(name) for name in lines) == len("action/is/") + 32
    assert lines[0].startswith("action/is/0 ((")


def test_guidance() -> None:
    def judged(judgement: Judgement, thought: Mapping[str, Any] | None = None) -> Turn:
        return turn(verdict=Verdict(judgement, thought))

    found = health(
        judged(Judgement.CORRECT),
        judged(Judgement.INCORRECT, {"seen": 1}),
        judged(Judgement.INCORRECT),
        judged(Judgement.UNSOLVABLE),
        judged(Judgement.ABSENT),
        turn(),
    )
    assert found["guidance/correction"] == 2 / 4
    assert found["guidance/unsolvable"] == 1 / 4
    assert found["guidance/absent"] == 1 / 5
    assert found["guidance/lesson"] == 1 / 6
    assert not [name for name in health(turn()) if name.startswith("guidance/")]


def test_checks() -> None:
    found = health(
        turn(digit=1, seen=1, plan="go 2", index=0),  # right
        turn(digit=2, seen=9, plan="go 3", index=1),  # misread
        turn(digit=3, seen=3, plan="go 3", index=0),  # bad plan
        turn(digit=4, seen=4, plan="go 4", index=2),  # bad plan
        turn(index=0, status=ReplyStatus.CUT),
    )
    assert found["thought/perception"] == 3 / 4
    assert found["thought/plan"] == 2 / 4
    assert found["thought/start_plan"] == 1 / 3
    assert found["thought/right"] == 1 / 4


def test_thoughts_are_measured_where_a_right_one_exists() -> None:
    turns = [
        turn(digit=1, seen=1, plan="go 2"),  # right
        turn(digit=2, seen=2, plan="go 2", index=1),  # bad plan
        turn(digit=9, seen=1, plan="wait", index=2),  # nothing can be right here
        turn(digit=9, seen=1, plan="wait", index=0),  # nor here, where a game begins
        turn(digit=3, index=0, status=ReplyStatus.CUT),
    ]
    found = health(*turns, task=Finite(TaskConfig()))
    assert found["thought/solvable"] == 3 / 5
    assert (found["thought/perception"], found["thought/plan"], found["thought/right"]) == (1.0, 1 / 2, 1 / 2)
    assert found["thought/start_plan"] == 1 / 2
    assert (found["count/judged"], found["count/thoughts"], found["count/starts"]) == (2.0, 2.0, 2.0)
    assert (found["reflection/ratio"], found["thought/per_state"]) == (0.0, 1.0)
    everywhere = health(*turns)
    assert everywhere["thought/solvable"] == 1.0, "without an expert no state is known to be lost"
    assert everywhere["count/judged"] == 4.0


def test_a_task_that_cannot_judge_leaves_the_checks_out() -> None:
    found = health(turn(), task=Mute(TaskConfig()))
    assert not {"thought/perception", "thought/plan", "thought/start_plan", "thought/right"} & set(found)
    assert found["thought/per_state"] == 1.0


def test_texts() -> None:
    found = health(
        turn(digit=1, seen=1, plan="go 2"),  # words: 1 go 2
        turn(digit=1, seen=1, plan="go 2"),
        turn(digit=2, seen=1, plan="go (10)"),  # words: 1 go ( 10 )
    )
    assert found["thought/characters"] == (6 + 6 + 9) / 3
    assert found["thought/words"] == (3 + 3 + 5) / 3
    assert found["thought/distinct1"] == 6 / 11
    assert found["thought/distinct2"] == 5 / 8
    assert found["thought/per_state"] == 2 / 2
    assert found["distinct/seen"] == 1 / 2
    assert found["distinct/plan"] == 2 / 2
    # The first two are each other's reference: 1. The third: unigrams 2/5, bigrams 1/4, longer than its references.
    assert found["thought/self_bleu2"] == pytest.approx((1 + 1 + (0.4 * 0.25) ** 0.5) / 3)


def test_one_template_for_all_states() -> None:
    same = health(*[turn(digit=d, seen=1, plan="go 2") for d in range(10)])
    assert same["thought/per_state"] == 0.1
    assert same["thought/self_bleu2"] == pytest.approx(1.0)


def test_reflection_ratios() -> None:
    found = health(
        turn(plan="go 2"),
        turn(digit=1, seen=2, plan="wait, go 3"),
        turn(digit=1, seen=2, plan="Let me RE-CHECK"),
        turn(digit=1, seen=2, plan="go 9"),
    )
    assert found["reflection/ratio"] == 2 / 4
    assert found["reflection/in_right"] == 0.0
    assert found["reflection/in_wrong"] == 2 / 3
    assert found["reflection/right_with"] == 0.0
    assert found["reflection/right_without"] == 1 / 2


@pytest.mark.parametrize("text", ["wait", "Hmm, no", "I reconsider", "let me double-check", "verifying", "look again"])
def test_words_that_reconsider(text: str) -> None:
    assert RECONSIDERING.search(text)


@pytest.mark.parametrize("text", ["waiter", "the formula is (2+4)*3", "stand", "read cards 2, 4", "hit"])
def test_words_that_do_not(text: str) -> None:
    assert not RECONSIDERING.search(text)


@pytest.mark.parametrize("turns", [[], [turn(ending=Ending.ABORTED)], [turn(status=ReplyStatus.EMPTY, logprobs=())]])
def test_what_cannot_be_measured_is_left_out(turns: list[Turn]) -> None:
    found = metrics.health(cut([turns]), TASK, seed=0)
    assert "thought/perception" not in found
    assert "episode/success" not in found
    assert "policy/entropy" not in found
    assert all(np.isfinite(value) for value in found.values())


def test_equal_seeds_give_equal_numbers_and_the_subsample_is_bounded() -> None:
    rng = np.random.default_rng(5)
    turns = [turn(digit=int(d), plan=" ".join(map(str, rng.integers(0, 9, 4)))) for d in rng.integers(0, 9, 300)]
    rollout = cut([turns])
    one, same, other = (metrics.health(rollout, TASK, seed) for seed in (3, 3, 4))
    assert one == same
    assert one["thought/self_bleu2"] != other["thought/self_bleu2"]


def test_goal_conditions_count_at_the_end_of_episodes_and_only_where_the_game_has_them() -> None:
    ends = [turn(ending=Ending.TERMINATED, progress=1.0), turn(ending=Ending.TRUNCATED, progress=0.5)]
    assert health(turn(progress=0.9), *ends, turn(ending=Ending.TERMINATED))["episode/conditions"] == 0.75
    assert "episode/conditions" not in health(turn(progress=0.9), turn(ending=Ending.TERMINATED))


def test_every_logged_name_has_one_definition() -> None:
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)
    verdict = Verdict(Judgement.INCORRECT, {})
    full = health(turn(implied="up", verdict=verdict), turn(plan="wait", ending=Ending.TERMINATED), turn())
    for name in full:
        assert describe(name) is not None, f"{name} is logged but not defined in gtr/metrics/table.py"
    assert describe("thought/colour") == next(m for m in METRICS if m.name == "thought/<check>")
    assert describe("nonsense/x") is None
    assert {metric.n for metric in METRICS if metric.n} <= set(names)


def test_every_definition_without_extra_forwards_is_computed() -> None:
    verdict = Verdict(Judgement.INCORRECT, {"thoughts": "another"})
    turns = [turn(implied="up", verdict=verdict), turn(plan="wait", ending=Ending.TERMINATED, progress=0.5), turn()]
    turns.append(turn(verdict=Verdict(Judgement.SCORED, score=0.5)))
    elsewhere = ("corrector/", "panel/", "sft/", "relevance/", "loss/", "update/", "alarm/", "policy/kl", "count/grad")
    elsewhere = (*elsewhere, "teacher/", "count/teacher", "count/taught", "engine/")
    expected = {m.name for m in METRICS if "<" not in m.name and not m.name.startswith(elsewhere)}
    assert expected - set(health(*turns)) == {"thought/step"}  # this task does not ask about steps

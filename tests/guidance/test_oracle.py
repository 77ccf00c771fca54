"""Verdicts of the oracle, and the lessons made of them."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from gtr import tasks
from gtr.algo.cloning import corrected
from gtr.config import Config, GuidanceConfig, TaskConfig
from gtr.guidance import make_corrector
from gtr.guidance.corrector import Case
from gtr.guidance.oracle import OracleCorrector
from gtr.policy.policy import Policy
from gtr.tasks.reply import parse, write
from gtr.tasks.task import Task
from gtr.types import Ending, Judgement, Prompt, Reply, ReplyStatus, Sample, Turn, Verdict

EZ = TaskConfig(name="ezpoints", prompt="compact", image_size=96)
LINE = TaskConfig(name="numberline", prompt="compact", image_size=96)


def case(
    task: Task,
    text: str,
    start: Mapping[str, Any] | None = None,
    played: tuple[str, ...] = (),
    env: int = 0,
    episode: int = 0,
) -> Case:
    """A turn before the corrector: an episode from `start` in which `played` were the actions so far."""
    game = task.make_env()
    image, info = game.reset(seed=0, options=dict(start or {}))
    for word in played:
        image, _, _, _, info = game.step(task.to_env(word, task.observe(image, info)))
    observation, truth = task.observe(image, info), task.truth(info)
    parsed = parse(text, True, task.thought_keys)
    prompt = Prompt(observation.image, task.prompt(observation))
    return Case(env, episode, len(played), prompt, observation, truth, text, parsed)


def verdict(corrector: OracleCorrector, one: Case) -> Verdict:
    (future,) = corrector.judge([one])
    assert future.done()
    return future.result()


HAND = {"cards": [2, 10]}
"""Reset options that deal 2 and 10: 2+10 and 10+2 are worth 12."""


def ez(cards: list[int], formula: str, symbol: str, action: str | None = None) -> str:
    return write({"cards": cards, "formula": formula, "thoughts": f"next {symbol}"}, action or symbol)


# -- the oracle ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("config", [EZ, LINE, TaskConfig(name="points24"), TaskConfig(name="blackjack")])
def test_the_experts_own_thought_is_right_in_every_state_of_its_episodes(config: TaskConfig) -> None:
    task = tasks.load(config)
    corrector = OracleCorrector(task)
    env = task.make_env()
    judged = 0
    for episode in range(12):
        image, info = env.reset(seed=episode)
        target = None
        for index in range(task.max_turns):
            observation, truth = task.observe(image, info), task.truth(info)
            expert = task.expert(truth, target)
            if expert is None:
                break
            text = write(expert.thought, expert.action)
            one = Case(
                0, episode, index, Prompt(image, ""), observation, truth, text, parse(text, True, task.thought_keys)
            )
            found = verdict(corrector, one)
            target = found.target
            assert found.judgement is Judgement.CORRECT
            assert not found.stop
            assert found.answers
            assert all(found.answers.values())
            judged += 1
            image, _, terminated, truncated, info = env.step(task.to_env(expert.action, observation))
            if terminated or truncated:
                break
    assert judged > 12


def test_a_wrong_thought_is_rewritten_by_the_expert() -> None:
    task = tasks.load(LINE)
    text = write({"target": 4, "current": 3, "thoughts": "next +"}, "+")
    found = verdict(OracleCorrector(task), case(task, text, {"target": 1, "current": 3}))
    assert found.judgement is Judgement.INCORRECT
    assert found.thought is not None
    assert dict(found.thought) == {"target": 1, "current": 3, "thoughts": "next -"}
    assert found.action == "-"
    assert found.answers["perception"] is False
    assert not found.stop


@pytest.mark.parametrize("text", ["", "{", "no json", '{"target": 1}', write({"target": 1}, "+") * 2])
def test_what_cannot_be_read_is_wrong_and_rewritten(text: str) -> None:
    task = tasks.load(LINE)
    found = verdict(OracleCorrector(task), case(task, text, {"target": 1, "current": 3}))
    assert found.judgement is Judgement.INCORRECT
    assert found.thought is not None
    assert not found.answers


def test_the_agents_own_plan_is_right_and_becomes_the_episodes_target() -> None:
    """2+10 and 10+2 both make 12: whichever the agent states, the oracle keeps to it."""
    task = tasks.load(EZ)
    for formula, first in (("2+10=", "2"), ("10+2=", "10")):
        corrector = OracleCorrector(task)
        good = verdict(corrector, case(task, ez([2, 10], formula, first), HAND))
        assert good.judgement is Judgement.CORRECT
        assert good.target == formula
        wrong = verdict(corrector, case(task, ez([2, 2], "2+2=", "2"), HAND, (first,)))
        assert wrong.judgement is Judgement.INCORRECT
        assert wrong.thought is not None
        assert wrong.thought["formula"] == formula
        assert wrong.target == formula
        unreadable = verdict(corrector, case(task, "?", HAND, (first, "+")))
        assert unreadable.thought is not None
        assert unreadable.thought["formula"] == formula


def test_a_target_lasts_one_episode_of_one_environment() -> None:
    task = tasks.load(EZ)
    plain = OracleCorrector(task)
    chosen = verdict(plain, case(task, "?", HAND)).target
    other = "10+2=" if chosen == "2+10=" else "2+10="
    corrector = OracleCorrector(task)
    own = case(task, ez([2, 10], other, other.split("+", maxsplit=1)[0]), HAND)
    assert verdict(corrector, own).target == other
    assert verdict(corrector, case(task, "?", HAND, env=1)).target == chosen
    assert verdict(corrector, case(task, "?", HAND)).target == other
    assert verdict(corrector, case(task, "?", HAND, episode=1)).target == chosen
    assert verdict(corrector, case(task, "?", HAND, episode=0)).target == chosen, "what is past is forgotten"


def test_many_cases_are_judged_in_order() -> None:
    task = tasks.load(LINE)
    starts = [{"target": t, "current": c} for t, c in ((1, 3), (3, 1), (0, 5))]
    found = OracleCorrector(task).judge([case(task, "?", start, env=i) for i, start in enumerate(starts)])
    thoughts = [future.result().thought for future in found]
    assert [(t["target"], t["current"]) for t in thoughts if t] == [(1, 3), (3, 1), (0, 5)]


def test_a_state_without_a_way_out_is_unsolvable_and_stops() -> None:
    task = tasks.load(EZ)
    played = case(task, ez([2, 10], "10*2=", "2"), HAND, ("10", "*"))
    found = verdict(OracleCorrector(task), played)
    assert found.judgement is Judgement.UNSOLVABLE
    assert found.stop
    assert found.thought is None


def test_forgetting_the_target_reproduces_the_slip_of_the_reference() -> None:
    task = tasks.load(EZ)
    corrector = OracleCorrector(task, forget_target=True)
    text = ez([2, 10], "10+2=", "10")
    first = verdict(corrector, case(task, text, HAND))
    assert (first.judgement, first.target, first.stop) == (Judgement.CORRECT, "10+2=", False)
    second = verdict(corrector, case(task, text, HAND, episode=1))
    assert (second.judgement, second.target, second.stop) == (Judgement.CORRECT, None, True)
    later = verdict(corrector, case(task, ez([2, 10], "10+2=", "+"), HAND, ("10",), episode=2))
    assert (later.judgement, later.stop) == (Judgement.CORRECT, False)
    wrong = verdict(corrector, case(task, ez([3, 10], "10+2=", "10"), HAND, episode=3))
    assert (wrong.judgement, wrong.stop) == (Judgement.INCORRECT, False)


def test_the_memory_survives_a_checkpoint() -> None:
    task = tasks.load(EZ)
    corrector, again = OracleCorrector(task), OracleCorrector(task)
    verdict(corrector, case(task, ez([2, 10], "10+2=", "10"), HAND, env=3, episode=7))
    again.restore(json.loads(json.dumps(corrector.state())))
    assert again.state() == corrector.state()
    assert verdict(again, case(task, "?", HAND, ("10",), env=3, episode=7)).target == "10+2="


def test_settings_choose_the_corrector() -> None:
    task = tasks.load(EZ)
    assert make_corrector(Config(guidance=GuidanceConfig(corrector="none")), task) is None
    assert isinstance(make_corrector(Config(), task), OracleCorrector)


# -- lessons ------------------------------------------------------------------------------------------------------
def turn_of(one: Case, found: Verdict | None) -> Turn:
    reply = Reply(one.text, (), (), True)
    return Turn(0, 0, 0, one.prompt, one.truth, reply, one.parsed, True, 0.0, Ending.RUNNING, verdict=found)


@pytest.fixture
def learner(make_policy: Callable[..., Policy]) -> Policy:
    return make_policy(task="ezpoints")


def lesson_for(text: str, learner: Policy, played: tuple[str, ...] = (), **settings: Any) -> Sample | None:
    task = tasks.load(EZ)
    one = case(task, text, HAND, played)
    return corrected(
        turn_of(one, verdict(OracleCorrector(task), one)), task, learner, replace(GuidanceConfig(), **settings)
    )


def masked(lesson: Sample, learner: Policy) -> str:
    """The characters whose tokens do not count."""
    text = learner.decode(lesson.tokens)
    spans = zip(learner.offsets(lesson.tokens), lesson.weights["cloning"], strict=True)
    hidden = {i for (a, b), weight in spans if weight == 0 for i in range(a, b)}
    return "".join(text[i] for i in sorted(hidden))


def test_a_lesson_is_the_corrected_thought_around_the_agents_own_masked_action(learner: Policy) -> None:
    lesson = lesson_for(ez([3, 10], "10+3=", "10", action="*"), learner)
    assert lesson is not None
    written = json.loads(learner.decode(lesson.tokens))
    assert written["cards"] == [2, 10]
    assert written["formula"] in ("2+10=", "10+2=")
    assert written["action"] == "*", "the agent's own, not the expert's"
    assert masked(lesson, learner) == "*"
    assert lesson.tokens[-1] in learner.end_ids
    assert lesson.weights["cloning"][-1] == 1.0, "ending is supervised"
    assert len(lesson.weights["cloning"]) == len(lesson.tokens)
    assert lesson.prompt.text == "formula: "


def test_the_json_around_the_action_is_supervised(learner: Policy) -> None:
    lesson = lesson_for(ez([3, 10], "10+3=", "10", action="10"), learner)
    assert lesson is not None
    assert masked(lesson, learner) == "10"
    text = learner.decode(lesson.tokens)
    kept = "".join(
        text[a:b]
        for (a, b), w in zip(learner.offsets(lesson.tokens), lesson.weights["cloning"], strict=True)
        if w == 1.0
    )
    assert '"action": ""}' in kept


def test_cloning_actions_too_puts_the_experts_action_in_and_masks_nothing(learner: Policy) -> None:
    lesson = lesson_for(ez([3, 10], "10+3=", "10", action="*"), learner, clone="thought_and_action")
    assert lesson is not None
    assert json.loads(learner.decode(lesson.tokens))["action"] in ("2", "10")
    assert set(lesson.weights["cloning"]) == {1.0}


@pytest.mark.parametrize(
    "action", ["take ☕️ 下", 'say "hi" \\ now', "<image>", "</s>", "{", "\u202bשלום\u202c", "9" * 40]
)
def test_any_action_survives_the_way_into_a_lesson(action: str, learner: Policy) -> None:
    """Even one that spells a special token, whose id would break the next forward pass."""
    lesson = lesson_for(ez([3, 10], "10+3=", "10", action=action), learner)
    assert lesson is not None
    assert json.loads(learner.decode(lesson.tokens))["action"] == action
    special = set(learner.tokenizer.all_special_ids)
    assert not special & set(lesson.tokens[:-1])
    if '"' not in action:
        assert masked(lesson, learner) == action


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("", ReplyStatus.EMPTY),
        ("nothing", ReplyStatus.MALFORMED),
        ('{"cards": [2, 10], "formula": "2', ReplyStatus.MALFORMED),
        ('{"cards": [2, 10], "action": "2"}', ReplyStatus.MISSING_KEY),
        ('{"cards": [1], "cards": [2], "formula": "", "thoughts": "", "action": "2"}', ReplyStatus.REPEATED_KEY),
    ],
)
def test_unreadable_replies_teach_where_the_settings_say_so(text: str, status: ReplyStatus, learner: Policy) -> None:
    assert parse(text, True, ("cards", "formula", "thoughts")).status is status
    lesson = lesson_for(text, learner)
    assert lesson is not None
    written = json.loads(learner.decode(lesson.tokens))
    assert written["cards"] == [2, 10]
    assert written["action"] in ("2", "10"), "there is no own action to put back"
    assert set(lesson.weights["cloning"]) == {1.0}
    assert lesson_for(text, learner, correct_malformed=False) is None


def test_an_empty_action_is_not_taught(learner: Policy) -> None:
    """Masking it would mask nothing, and the lesson would teach to write none."""
    lesson = lesson_for(ez([3, 10], "10+3=", "10").replace('"action": "10"', '"action": " "'), learner)
    assert lesson is not None
    assert json.loads(learner.decode(lesson.tokens))["action"] in ("2", "10")


@pytest.mark.parametrize("judgement", [Judgement.CORRECT, Judgement.UNSOLVABLE, Judgement.ABSENT])
def test_nothing_is_learnt_unless_a_thought_was_wrong(judgement: Judgement, learner: Policy) -> None:
    task = tasks.load(EZ)
    one = case(task, ez([2, 10], "2+10=", "2"), HAND)
    thought = {"cards": [2, 10], "formula": "2+10=", "thoughts": "next 2"}
    for found in (Verdict(judgement, thought, "2"), Verdict(judgement), Verdict(Judgement.INCORRECT), None):
        assert corrected(turn_of(one, found), task, learner, GuidanceConfig()) is None


def test_a_correction_without_an_action_ends_before_it(learner: Policy) -> None:
    """A corrector that rewrites thoughts only, after a reply in which no action could be read."""
    task = tasks.load(EZ)
    one = case(task, "nothing", HAND)
    thought = {"cards": [2, 10], "formula": "2+10=", "thoughts": "next 2"}
    lesson = corrected(turn_of(one, Verdict(Judgement.INCORRECT, thought)), task, learner, GuidanceConfig())
    assert lesson is not None
    assert learner.decode(lesson.tokens).endswith('"action": "')
    assert lesson.tokens[-1] not in learner.end_ids
    assert set(lesson.weights["cloning"]) == {1.0}

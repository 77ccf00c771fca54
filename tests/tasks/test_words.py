"""The tasks' words and experts: thoughts that are right, wrong, different and unsolvable."""

import itertools
from collections import Counter
from functools import cache

import numpy as np
import pytest
from gymnasium.envs.toy_text import blackjack as toy

from gtr.config import TaskConfig
from gtr.tasks import TASKS, load, settings
from gtr.tasks.blackjack import best_move
from gtr.tasks.formulas import BLANK
from gtr.tasks.hands import POINTS24, solvable_hands
from gtr.tasks.reply import parse, write
from gtr.types import ReplyStatus, Truth

PROMPTS = ("paper", "compact")


def run(task, seed=None, options=None, clumsy=0.0):
    """Plays the expert through the environment, checking each of its thoughts; the last reward, None if unsolvable."""
    env = task.make_env()
    image, info = env.reset(seed=seed, options=options)
    chance, target = np.random.default_rng(seed), None
    for _ in range(task.max_turns):
        observation, truth = task.observe(image, info), task.truth(info)
        expert = task.expert(truth, target)
        if expert is None:
            return None
        assert task.expert(truth, target) == expert
        parsed = parse(write(expert.thought, expert.action), True, task.thought_keys)
        assert parsed.status is ReplyStatus.COMPLETE
        assert parsed.action == expert.action
        if task.thought_keys:
            assert task.check(truth, parsed, target)
            assert all(task.check(truth, parsed, target).values())
            assert task.implied_action(parsed, observation) == expert.action
            assert task.stated_plan(truth, parsed) == (expert.target or expert.action)
        assert task.plan_reachable(truth, expert.target) == (BLANK not in truth.state.get("Formula", ()))
        if expert.target and target and task.plan_reachable(truth, target):
            assert expert.target == target
        target = expert.target
        words = task.actions(observation)
        action = expert.action if chance.random() >= clumsy else words[int(chance.integers(len(words)))]
        image, reward, terminated, truncated, info = env.step(task.to_env(action, observation))
        if terminated or truncated:
            assert task.success(reward, info) == info["success"]
            return reward
    assert clumsy, "the episode did not end"
    return None


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("faces", ["ten", "rank"])
def test_the_expert_wins_every_solvable_hand(prompt, faces):
    task = load(settings("points24", prompt=prompt, faces=faces, image_size=48))
    hands = solvable_hands(POINTS24, faces)
    for hand in hands if (prompt, faces) == ("compact", "ten") else hands[::20]:
        assert run(task, 0, {"cards": list(hand)}) == 10.0


def test_the_expert_gives_up_unsolvable_hands_only():
    task = load(settings("points24", image_size=48))
    assert run(task, 0, {"cards": [1, 1, 1, 1]}) is None
    outcomes = [run(task, seed) for seed in range(60)]
    assert set(outcomes) == {None, 10.0}


@pytest.mark.parametrize("prompt", PROMPTS)
def test_the_expert_wins_the_other_games(prompt):
    for name, seeds in (("ezpoints", 40), ("numberline", 40)):
        task = load(TaskConfig(name=name, prompt=prompt, image_size=48))
        assert {run(task, seed) for seed in range(seeds)} == {10.0 if name == "ezpoints" else 1.0}
    task = load(TaskConfig(name="blackjack", prompt=prompt, image_size=48))
    rewards = [run(task, seed) for seed in range(400)]
    assert -0.2 < np.mean(rewards) < 0.1  # Best play loses about 0.05 a game; standard error 0.05.


@pytest.mark.parametrize("name", [name for name, row in TASKS.items() if not row.extra])
def test_the_expert_copes_with_states_after_random_actions(name):
    task = load(TaskConfig(name=name, image_size=48))
    for seed in range(60):
        run(task, seed, clumsy=0.3)


@pytest.mark.parametrize("name", [name for name, row in TASKS.items() if not row.extra])
def test_without_thoughts_the_reply_is_the_action_alone(name):
    task = load(TaskConfig(name=name, thought=False, image_size=48))
    image, info = task.make_env().reset(seed=1)
    while task.expert(task.truth(info)) is None:
        image, info = task.make_env().reset(seed=2)
    expert = task.expert(task.truth(info))
    text = write(expert.thought, expert.action)
    assert text == f'{{"action": "{expert.action}"}}'
    assert "thoughts" not in task.prompt(task.observe(image, info))
    assert task.check(task.truth(info), parse(text, True, task.thought_keys), None) == {}
    assert run(task, 2) is not None or name == "points24"


# -- points -------------------------------------------------------------------------------------------------------
@pytest.fixture
def points():
    return load(settings("points24", image_size=48, prompt="compact"))


def truth_of(formula=(), cards=("H2", "D4", "S4", "CK"), numbers=(2, 4, 4, 10)):
    return Truth({"Cards": list(cards), "Numbers": list(numbers), "Formula": list(formula)})


def answers(task, truth, cards, formula, thoughts, target=None):
    thought = {"cards": cards, "formula": formula, "thoughts": thoughts}
    return dict(task.check(truth, parse(write(thought, "2"), True, task.thought_keys), target))


@pytest.mark.parametrize(
    ("formula", "cards", "plan", "thoughts", "expected"),
    [
        ((), [2, 4, 4, 10], "4*4+10-2=", "next 4", (True, True, True)),
        ((), [10, 4, 4, 2], "4*4+10-2", "next 4", (True, True, True)),
        ((), ["K", "4", 4, "2"], "4*4+10-2=24", "next 4", (True, True, True)),
        ((), [2, 4, 4, 9], "4*4+10-2=", "next 4", (False, True, True)),
        ((), [2, 4, 10], "4*4+10-2=", "next 4", (False, True, True)),
        ((), "2 4 4 10", "10-2+4*4=", "next 10", (False, True, True)),
        ((), [2, 4, 4, True], "10-2+4*4=", "next 10", (False, True, True)),
        ((), [2, 4, 4, 10], "((4))*4+10-2=", "next (", (True, True, True)),
        ((), [2, 4, 4, 10], "4*4+10-2=", "next 2", (True, True, False)),
        ((), [2, 4, 4, 10], "4*4+10-2=", "add up", (True, True, False)),
        ((), [2, 4, 4, 10], "4*4+10+2=", "next 4", (True, False, True)),
        ((), [2, 4, 4, 10], "4*4+10+2=", "next -", (True, False, False)),
        ((), [2, 4, 4, 10], "2**4+4+4=", "next 2", (True, False, True)),
        ((), [2, 4, 4, 10], "10+10+4=", "next 10", (True, False, True)),
        ((), [2, 4, 4, 10], ["4*4+10-2"], "next 4", (True, False, True)),
        ((), [2, 4, 4, 10], "x", "next 4", (True, False, True)),
        ((4, "*"), [2, 4, 4, 10], "4*4+10-2=", "next 4", (True, True, True)),
        ((4, " ", "*"), [2, 4, 4, 10], "4*4+10-2=", "next 4", (True, True, True)),
        ((4, "*"), [2, 4, 4, 10], "10-2+4*4=", "next 4", (True, False, True)),
        ((4, "*", 4, "+", 10, "-", 2), [2, 4, 4, 10], "4*4+10-2=", "next =", (True, True, True)),
        ((4, "*", 4, "+", 10), [2, 4, 4, 10], "4*4+10=", "next =", (True, False, False)),
        ((2, 4), [2, 4, 4, 10], "4*4+10-2=", "next *", (True, False, False)),
    ],
)
def test_points_questions(points, formula, cards, plan, thoughts, expected):
    found = answers(points, truth_of(formula), cards, plan, thoughts)
    assert tuple(found[key] for key in ("perception", "plan", "step")) == expected


def test_another_plan_than_the_target_is_right(points):
    found = answers(points, truth_of((4, "*")), [2, 4, 4, 10], "4*10/2+4=", "next 10", target="4*4+10-2=")
    assert all(found.values())


def test_the_expert_keeps_the_target_while_it_can(points):
    assert points.expert(truth_of((10,)), "10-2+4*4=").target == "10-2+4*4="
    assert points.expert(truth_of((10, "*")), "10-2+4*4=").target == "10*4/2+4="
    assert points.expert(truth_of(("(", 2, "-")), "10-2+4*4=") is None
    assert points.plan_reachable(truth_of((10,)), "10-2+4*4=")
    assert not points.plan_reachable(truth_of((10, "*")), "10-2+4*4=")
    assert points.plan_reachable(truth_of((10, "*")), None)
    assert not points.plan_reachable(truth_of(("(", 2, "-")), None)


def test_the_expert_completes_what_no_canonical_formula_begins(points):
    expert = points.expert(truth_of((2, "*", "(")))
    assert expert.target == "2*(10+4)-4="
    assert expert.action == "10"


def test_room_for_symbols_counts_blanks(points):
    ez = load(TaskConfig(name="ezpoints", image_size=48))
    for blanks in range(5):
        truth = truth_of([" "] * blanks, ("H3", "S4"), (3, 4))
        assert (ez.expert(truth) is None) == (blanks > 2)
        assert ez.plan_reachable(truth, "4*3=") == (blanks == 0)


def test_states_are_grouped_by_hand_and_formula(points):
    one = truth_of((2, "+"))
    same = truth_of((2, "+"), ("CK", "H4", "D4", "S2"), (10, 4, 4, 2))
    assert points.state_key(one) == points.state_key(same)
    assert points.state_key(one) != points.state_key(truth_of((2, "-")))
    assert points.state_key(one) != points.state_key(truth_of((2, "+"), numbers=(2, 4, 4, 9)))


def test_prompts_say_what_the_state_says(points):
    paper = load(settings("points24", image_size=48))
    image, info = paper.make_env().reset(seed=0, options={"cards": [2, 4, 4, 13], "formula": ["(", 2, "+"]})
    text = paper.prompt(paper.observe(image, info))
    for needed in ("(2+", "24", "count as 10", '"cards"', '"formula"', '"thoughts"', '"action"', "9 10 + - *"):
        assert needed in text, needed
    assert points.prompt(points.observe(image, info)) == "formula: (2+"
    assert "11, 12 and 13" in load(settings("points24", image_size=48, faces="rank")).prompt(paper.observe(image, info))


def test_illegal_words_are_no_actions(points):
    observation = points.observe(*points.make_env().reset(seed=0))
    assert [points.to_env(word, observation) for word in ("1", "10", "+", "=", "11", "", "**", "plus")] == [
        0,
        9,
        10,
        16,
        None,
        None,
        None,
        None,
    ]


# -- readings -----------------------------------------------------------------------------------------------------
def test_readings_name_what_the_picture_shows():
    _, info = load(settings("points24")).make_env().reset(seed=0, options={"cards": ["HK", "S2", "DT", "CA"]})
    assert load(settings("points24")).visual_labels(Truth(info)) == (13, 2, 10, 1)
    line = load(TaskConfig(name="numberline"))
    assert line.visual_labels(Truth(line.make_env().reset(options={"target": 4, "current": 1})[1])) == (4, 1)
    jack = load(TaskConfig(name="blackjack"))
    _, info = jack.make_env().reset(seed=0, options={"dealer": ["HQ"], "player": ["H2", "S3", "D4"]})
    assert jack.visual_labels(Truth(info)) == (12, 2, 3, 4, 0, 0, 0, 0, 0)
    _, info = jack.make_env().reset(seed=0, options={"dealer": [1], "player": [1] * 9})
    assert jack.visual_labels(Truth(info)) is None


# -- number line and blackjack ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("stated", "thoughts", "expected"),
    [
        ((4, 1), "next +", (True, True)),
        (("4", "1"), "so the next action is +", (True, True)),
        ((4, 2), "next +", (False, True)),
        ((4, 1), "next -", (True, False)),
        ((None, [1]), "up", (False, False)),
    ],
)
def test_number_line_questions(stated, thoughts, expected):
    task = load(TaskConfig(name="numberline"))
    thought = {"target": stated[0], "current": stated[1], "thoughts": thoughts}
    parsed = parse(write(thought, "+"), True, task.thought_keys)
    found = task.check(Truth({"Target": 4, "Current": 1}), parsed, None)
    assert (found["perception"], found["step"]) == expected


@pytest.mark.parametrize(
    ("dealer", "player", "thoughts", "expected"),
    [
        (10, [1, 6], "soft 17 next hit", (True, True)),
        ("K", ["A", "6"], "the next action is hit", (True, True)),
        ("10", [11, 6], "next stand", (True, False)),
        (9, [1, 6], "next hit", (False, True)),
        (10, 17, "hit", (False, False)),
    ],
)
def test_blackjack_questions(dealer, player, thoughts, expected):
    task = load(TaskConfig(name="blackjack"))
    truth = Truth({"Dealer Card": [(10, "K", "H"), (2, "2", "S")], "Player Card": [(6, "6", "H"), (1, "A", "S")]})
    parsed = parse(write({"dealer": dealer, "player": player, "thoughts": thoughts}, "hit"), True, task.thought_keys)
    found = task.check(truth, parsed, None)
    assert (found["perception"], found["step"]) == expected


def test_blackjack_expert_does_not_see_the_hidden_card():
    task = load(TaskConfig(name="blackjack"))
    experts = [
        task.expert(Truth({"Dealer Card": [(6, "6", "H"), hidden], "Player Card": [(10, "K", "H"), (2, "2", "S")]}))
        for hidden in ((10, "K", "S"), (5, "5", "S"))
    ]
    assert experts[0] == experts[1]


@cache
def dealer_finals(hand):
    """Chance of each final score of the dealer, by gymnasium's own rules."""
    if toy.sum_hand(hand) >= 17:
        return {toy.score(hand): 1.0}
    finals = Counter()
    for card in toy.deck:
        for score, chance in dealer_finals(tuple(sorted((*hand, card)))).items():
            finals[score] += chance / len(toy.deck)
    return finals


def worth_of_standing(hand, shown):
    return sum(chance * toy.cmp(toy.score(hand), score) for score, chance in dealer_finals((shown,)).items())


@cache
def worth_of_hitting(hand, shown):
    """Expected reward of one more card and best play after it, over whole hands instead of totals."""
    grown = [tuple(sorted((*hand, card))) for card in toy.deck]
    worths = [-1.0 if toy.is_bust(new) else worth(new, shown) for new in grown]
    return sum(worths) / len(worths)


def worth(hand, shown):
    return max(worth_of_standing(hand, shown), worth_of_hitting(hand, shown))


def test_best_moves_against_a_search_over_whole_hands():
    for shown, a, b in itertools.product(range(1, 11), repeat=3):
        better = worth_of_hitting(tuple(sorted((a, b))), shown) > worth_of_standing((a, b), shown)
        assert best_move([a, b], shown) == ("hit" if better else "stand"), (shown, a, b)


def test_best_moves_on_hard_hands_are_basic_strategy():
    stand_from = {1: 17, 2: 13, 3: 13, 4: 12, 5: 12, 6: 12, 7: 17, 8: 17, 9: 17, 10: 17}
    for shown, count in itertools.product(stand_from, range(12, 21)):
        assert (best_move([10, count - 10], shown) == "stand") == (count >= stand_from[shown])

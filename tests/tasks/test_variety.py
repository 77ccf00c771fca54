"""Looks drawn at random, hands held back, and the panels that tell how far agents generalise."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import ImageColor

from gtr import tasks
from gtr.config import TaskConfig
from gtr.errors import ConfigError
from gtr.evaluate import make_panel
from gtr.evaluate.panels import Panel
from gtr.tasks.cards import RANKS, STYLES, SUITS, Look, Table
from gtr.tasks.hands import POINTS24, hand_set
from gtr.tasks.solver import solutions
from gtr.tasks.variety import LETTERS, PLACES, SHIFT, drawn

CARDS = ("points24", "ezpoints", "blackjack", "numberline")


def looks(count: int = 200) -> list[Look]:
    return [drawn(np.random.default_rng([5, number])) for number in range(count)]


def luminance(colour: str) -> float:
    red, green, blue = ImageColor.getrgb(colour)[:3]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_inks_can_be_read_on_what_they_are_drawn_on() -> None:
    for style in (look.style for look in looks()):
        for ink, paper in ((style.red, style.face), (style.black, style.face), (style.text, style.table)):
            assert abs(luminance(ink) - luminance(paper)) > 60, style
    assert not {look.style for look in looks()} & set(STYLES.values()), "no deck of the new-look split"


def test_everything_varies() -> None:
    found = looks()
    assert len({look.letters for look in found}) == len(LETTERS)
    assert {look.style.outline_only for look in found} == {True, False}
    assert {luminance(look.style.face) > 128 for look in found} == {True, False}
    assert all(len(look.shifts) == PLACES for look in found)
    spread = [abs(offset) for look in found for shift in look.shifts for offset in shift]
    assert 0.9 * SHIFT < max(spread) <= SHIFT


@pytest.mark.parametrize("look", looks(12))
def test_every_card_looks_different_in_every_look(look: Look) -> None:
    seen = set()
    for name in (suit + rank for suit in SUITS for rank in RANKS):
        table = Table(96, look)
        table.row([name], 0, 96, 4)
        seen.add(table.image().tobytes())
    assert len(seen) == 52


@pytest.mark.parametrize("game", CARDS)
def test_an_episode_keeps_its_look_and_the_next_has_another(game: str) -> None:
    task = tasks.load(tasks.settings(game, image_size=96, variety=True))
    env, again = task.make_env(), task.make_env()
    first, _ = env.reset(seed=3)
    assert np.array_equal(first, again.reset(seed=3)[0]), "the same start looks the same"
    corners = [tuple(env.reset(seed=3)[0][0, -1])]
    corners += [tuple(env.step(0)[0][0, -1]), tuple(env.reset(seed=4)[0][0, -1])]
    assert corners[0] == corners[1] != corners[2]


@pytest.mark.parametrize("game", CARDS)
def test_variety_changes_looks_alone(game: str) -> None:
    plain, varied = (tasks.load(tasks.settings(game, image_size=96, variety=on)) for on in (False, True))
    for seed in range(5):
        infos = [task.make_env().reset(seed=seed)[1] for task in (plain, varied)]
        assert infos[0] == infos[1]


def panel(split: str, **settings: object) -> Panel:
    return make_panel(tasks.settings("points24", image_size=96, hands=16, **settings), split, 12, 0)


def hands_of(one: Panel) -> set[tuple[int, ...]]:
    env = tasks.load(one.task).make_env()
    return {tuple(sorted(env.reset(**start)[1]["Numbers"])) for start in one.starts}


def test_panels_of_all_kinds() -> None:
    trained = set(hand_set(POINTS24, "ten", 16))
    same, hands, look, rules = (panel(split, variety=True) for split in ("same", "new-hands", "new-look", "new-rules"))
    assert hands_of(same) <= trained
    assert hands_of(look) == hands_of(same)
    assert not hands_of(hands) & trained
    assert hands_of(hands) <= set(hand_set(POINTS24, "ten", 32))
    config = tasks.settings("points24", image_size=96, hands=16, variety=True)
    assert hands.task == replace(config, first_hand=16)  # type: ignore[call-arg]
    assert look.task == replace(config, deck="dark", variety=False)  # type: ignore[call-arg]
    assert rules.task == replace(config, faces="rank")  # type: ignore[call-arg]
    assert len({one.name for one in (same, hands, look, rules)}) == 4
    assert panel("new-look").name == look.name, "whoever is measured there, the panel is one"
    assert panel("same").name != same.name


def test_hands_that_are_held_back_are_as_hard() -> None:
    """Canonical solutions per hand, a measure of difficulty: means within two standard errors of each other."""
    counts = [
        [len(solutions(hand, POINTS24.goal, POINTS24.operators)) for hand in hand_set(POINTS24, "ten", 128, first)]
        for first in (0, 128)
    ]
    error = np.sqrt(sum(np.var(one, ddof=1) / len(one) for one in counts))
    assert abs(np.mean(counts[0]) - np.mean(counts[1])) < 2 * error


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "task.hands is None, which holds no hand back"),
        ({"hands": 566}, "task.hands is 566, which holds no hand back"),
        ({"hands": 500, "first_hand": 67}, "has 1 to 499 solvable hands from task.first_hand 67 on"),
    ],
)
def test_hands_that_cannot_be_held_back(settings: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        tasks.load(tasks.settings("points24", **settings)).for_split("new-hands")


def test_the_rest_is_held_back_where_there_are_not_as_many() -> None:
    found = tasks.load(tasks.settings("points24", hands=500)).for_split("new-hands")
    assert (found.first_hand, found.hands) == (500, 66)  # type: ignore[attr-defined]


def test_a_game_that_is_drawn_otherwise_has_no_variety() -> None:
    with pytest.raises(ConfigError, match="variety"):
        tasks.settings("alfworld", variety=True)
    assert "variety" not in TaskConfig.__annotations__

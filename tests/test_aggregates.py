"""The RL field's measures against the definitions, pair by pair, and figures worked by hand."""

import numpy as np
import pytest

from gtr.aggregates import iqm, performance_profile, probability_of_improvement


def test_iqm_by_hand() -> None:
    # Eight scores, two dropped at each end: (2 + 3 + 4 + 5) / 4.
    assert iqm(np.array([[0.0, 1.0], [2.0, 3.0], [9.0, 5.0], [4.0, 99.0]])) == 3.5
    # Of five, int(5 / 4) = 1 at each end; of three none.
    assert iqm(np.array([[0.0], [1.0], [2.0], [6.0], [50.0]])) == 3.0
    assert iqm(np.array([[0.0], [0.0], [0.9]])) == pytest.approx(0.3)


def test_probability_of_improvement_by_hand() -> None:
    ours, theirs = np.array([[0.5], [0.7], [0.2]]), np.array([[0.5], [0.1]])
    # .5 ties .5 and beats .1; .7 beats both; .2 beats .1 only.
    assert probability_of_improvement(ours, theirs) == pytest.approx((0.5 + 1 + 2 + 1) / 6)
    assert probability_of_improvement(theirs, ours) == pytest.approx(1 - 4.5 / 6)
    assert probability_of_improvement(ours, ours) == 0.5
    assert probability_of_improvement(np.zeros((3, 1)), np.zeros((2, 1))) == 0.5


def test_probability_of_improvement_pair_by_pair_and_game_by_game() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        ours, theirs = rng.integers(0, 5, (rng.integers(1, 7), 3)), rng.integers(0, 5, (rng.integers(1, 7), 3))
        games = [
            np.mean([(x > y) + 0.5 * (x == y) for x in ours[:, game] for y in theirs[:, game]]) for game in range(3)
        ]
        assert probability_of_improvement(ours, theirs) == pytest.approx(np.mean(games))


def test_a_performance_profile_by_hand() -> None:
    scores = np.array([[0.2, 1.0], [0.6, 0.6]])
    assert performance_profile(scores, [-1.0, 0.2, 0.5, 0.6, 1.0]) == [1.0, 0.75, 0.75, 0.25, 0.0]

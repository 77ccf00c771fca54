"""Relevance, image sensitivity and distance on arrays with known answers."""

import math

import numpy as np
import pytest

from gtr.metrics import image_sensitivity, kl_to_reference, relevance


def test_retrieval_and_mutual_information_by_hand() -> None:
    # Probabilities; own prompt on the diagonal. Rows 0 and 1 find theirs, row 2 prefers prompt 0.
    p = np.array([[0.8, 0.1, 0.1], [0.2, 0.4, 0.3], [0.5, 0.25, 0.25]])
    found = relevance(np.log(p))
    assert found["relevance/retrieval"] == pytest.approx(2 / 3)
    assert found["relevance/chance"] == pytest.approx(1 / 3)
    expected = (math.log(0.8 / (1.0 / 3)) + math.log(0.4 / (0.9 / 3)) + math.log(0.25 / (1.0 / 3))) / 3
    assert found["relevance/mutual_information"] == pytest.approx(expected)
    assert found["relevance/bound"] == pytest.approx(math.log(3))


def test_a_blind_policy_scores_chance_and_no_information() -> None:
    found = relevance(np.tile(np.array([[-1.0], [-2.0], [-9.0], [-3.0]]), (1, 4)))
    assert found["relevance/retrieval"] == found["relevance/chance"] == 0.25
    assert found["relevance/mutual_information"] == pytest.approx(0.0, abs=1e-12)


def test_a_perfectly_grounded_policy_reaches_the_bound() -> None:
    matrix = np.full((5, 5), -np.inf)
    np.fill_diagonal(matrix, -0.5)
    found = relevance(matrix)
    assert found["relevance/retrieval"] == 1.0
    assert found["relevance/mutual_information"] == pytest.approx(found["relevance/bound"])


def test_independent_noise_scores_about_chance() -> None:
    matrix = np.random.default_rng(0).normal(size=(32, 32))
    scores = [relevance(np.random.default_rng(i).normal(size=(32, 32)))["relevance/retrieval"] for i in range(100)]
    assert np.mean(scores) == pytest.approx(1 / 32, abs=0.01)
    assert relevance(matrix)["relevance/mutual_information"] < 0


def test_more_thoughts_than_prompts_and_equal_states() -> None:
    # Prompts 0 and 2 show the same state "a": finding either is right, and blind chance is 2/3 for thoughts of "a".
    p = np.array([[0.1, 0.2, 0.7], [0.3, 0.6, 0.1], [0.5, 0.4, 0.1], [0.2, 0.6, 0.2]])
    found = relevance(np.log(p), own=[0, 1, 2, 0], states=["a", "b", "a"])
    assert found["relevance/retrieval"] == 3 / 4
    assert found["relevance/chance"] == pytest.approx((2 / 3 + 1 / 3 + 2 / 3 + 2 / 3) / 4)


def test_very_small_probabilities_do_not_underflow() -> None:
    found = relevance(np.array([[-2000.0, -2001.0], [-2001.0, -2000.0]]))
    expected = -math.log((1 + math.exp(-1)) / 2)
    assert found["relevance/mutual_information"] == pytest.approx(expected)


def test_unscored_thoughts_are_refused_and_none_is_nothing() -> None:
    with pytest.raises(ValueError, match="finite where a thought meets its own prompt"):
        relevance(np.array([[-np.inf, -1.0], [-1.0, -1.0]]))
    with pytest.raises(ValueError, match="must be numbers"):
        relevance(np.array([[-1.0, np.nan], [-1.0, -1.0]]))
    assert relevance(np.zeros((0, 4))) == {}


def test_image_sensitivity_by_hand() -> None:
    found = image_sensitivity(np.array([-1.0, -2.0]), np.array([-3.0, -2.5]))
    assert found == {"relevance/image_sensitivity": 1.25}
    assert image_sensitivity(np.zeros(0), np.zeros(0)) == {}


def test_kl_to_reference_against_the_exact_divergence() -> None:
    now, start = np.array([0.5, 0.3, 0.2]), np.array([0.25, 0.25, 0.5])
    drawn = np.random.default_rng(0).choice(3, 200_000, p=now)
    exact = float(np.sum(now * np.log(now / start)))
    assert kl_to_reference(np.log(now)[drawn], np.log(start)[drawn])["policy/kl_ref"] == pytest.approx(exact, rel=0.02)
    assert kl_to_reference(np.log(now), np.log(now)) == {"policy/kl_ref": 0.0}
    assert kl_to_reference(np.zeros(0), np.zeros(0)) == {}

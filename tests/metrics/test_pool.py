"""Metrics of several processes as one: numbers worked by hand."""

import pytest

from gtr.metrics.pool import pooled

OURS = {
    "episode/ended": 3.0,
    "episode/success": 1.0,
    "action/legal": 0.5,
    "action/is/+": 0.9,
    "loss/policy": 1.0,
    "update/logprob_mismatch": 1e-6,
    "update/lessons": 10.0,
    "seconds/learn": 2.0,
    "corrector/usd": 0.25,
    "corrector/seconds_p95": 3.0,
    "thought/perception": 0.5,
    "thought/right": 0.25,
    "count/judged": 30.0,
}
THEIRS = {
    "episode/ended": 1.0,
    "episode/success": 0.0,
    "action/legal": 1.0,
    "action/is/-": 0.5,
    "loss/policy": 3.0,
    "update/logprob_mismatch": 1e-5,
    "update/lessons": 12.0,
    "seconds/learn": 1.0,
    "corrector/usd": 0.5,
    "corrector/seconds_p95": 1.0,
    "thought/right": 0.75,
    "count/judged": 10.0,
}


def test_one_figure_from_two_processes() -> None:
    assert pooled([OURS, THEIRS]) == {
        "episode/ended": 4.0,
        "episode/success": 0.75,
        "action/legal": 0.75,
        "action/is/+": 0.45,
        "action/is/-": 0.25,
        "loss/policy": 2.0,
        "update/logprob_mismatch": 1e-5,
        "update/lessons": 22.0,
        "seconds/learn": 2.0,
        "corrector/usd": 0.75,
        "corrector/seconds_p95": 3.0,
        "thought/perception": 0.5,
        "thought/right": 0.375,
        "count/judged": 40.0,
    }


def test_the_figures_of_one_process_are_untouched() -> None:
    odd = {"episode/success": 1 / 3, "episode/ended": 3.0, "action/is/+": 0.1}
    assert pooled([odd]) == odd


def test_no_episode_anywhere() -> None:
    assert pooled([{"episode/ended": 0.0}, {"episode/ended": 0.0}]) == {"episode/ended": 0.0}


@pytest.mark.parametrize("order", [1, -1])
def test_a_process_without_an_episode_counts_for_none(order: int) -> None:
    both = [{"episode/ended": 2.0, "episode/length": 5.0}, {"episode/ended": 0.0}][::order]
    assert pooled(both) == {"episode/ended": 2.0, "episode/length": 5.0}

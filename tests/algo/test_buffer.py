"""The thought buffer: what it keeps, what it costs, and how it draws."""

import numpy as np
import pytest
import torch

from gtr.algo.buffer import ThoughtBuffer
from gtr.algo.cloning import per_draw
from gtr.losses.cloning import cloning_loss
from gtr.types import Prompt, Sample


def lesson(number: int, picture: int | None = None) -> Sample:
    image = np.full((4, 4, 3), number if picture is None else picture, np.uint8)
    return Sample(Prompt(image, str(number)), (number, 9), {"cloning": (1.0, 0.0)})


def texts(buffer: ThoughtBuffer) -> list[str]:
    return [one.prompt.text for one in buffer.samples]


def test_the_lessons_of_the_whole_run_are_kept_in_order() -> None:
    buffer = ThoughtBuffer()
    buffer.add([lesson(0), lesson(1)])
    buffer.add([])
    buffer.add([lesson(i) for i in (2, 3)])
    assert texts(buffer) == ["0", "1", "2", "3"]
    assert len(buffer) == 4
    assert buffer.samples[2].tokens == (2, 9)
    assert buffer.samples[2].weights == {"cloning": (1.0, 0.0)}
    assert int(buffer.samples[2].prompt.image[0, 0, 0]) == 2


def test_without_dagger_only_the_latest_rollout_is_kept() -> None:
    buffer = ThoughtBuffer(keep_run=False)
    buffer.add([lesson(0), lesson(1)])
    buffer.add([lesson(2)])
    assert texts(buffer) == ["2"]
    buffer.add([])
    assert texts(buffer) == []
    assert buffer.draw(5, np.random.default_rng(0)) == []


def test_equal_pictures_are_held_once_and_as_bytes() -> None:
    buffer = ThoughtBuffer()
    buffer.add([lesson(0, picture=7), lesson(1, picture=7)])
    buffer.add([lesson(2, picture=7), lesson(3, picture=8)])
    images = [one.prompt.image for one in buffer.samples]
    assert len({id(buffer.packed(image)) for image in images}) == len(buffer._pictures) == 2
    assert np.array_equal(images[0], images[2])
    assert {image.dtype for image in images} == {np.dtype(np.uint8)}
    assert {type(png) for png in buffer._pictures.values()} == {bytes}
    assert texts(buffer) == ["0", "1", "2", "3"], "the texts stay apart"


def test_pictures_of_other_shapes_are_other_pictures() -> None:
    buffer = ThoughtBuffer()
    flat, tall = (np.zeros(shape, np.uint8) for shape in ((2, 8, 3), (8, 2, 3)))
    buffer.add([Sample(Prompt(image, "x"), (1,), {"cloning": (1.0,)}) for image in (flat, tall)])
    assert [one.prompt.image.shape for one in buffer.samples] == [(2, 8, 3), (8, 2, 3)]


def test_an_empty_buffer_gives_nothing() -> None:
    assert ThoughtBuffer().draw(3, np.random.default_rng(0)) == []


def test_draws_are_uniform_over_the_run_and_with_replacement() -> None:
    buffer = ThoughtBuffer()
    for i in range(10):
        buffer.add([lesson(i)])
    drawn = [int(one.prompt.text) for one in buffer.draw(20_000, np.random.default_rng(0))]
    counts = np.bincount(drawn, minlength=10)
    assert ((counts - 2000) ** 2 / 2000).sum() < 29.7, "chi-squared with 9 degrees of freedom, chance 0.0005"
    assert len(buffer.draw(3, np.random.default_rng(1))) == 3
    assert len(buffer.draw(30, np.random.default_rng(1))) == 30


@pytest.mark.parametrize("seed", [0, 1])
def test_draws_follow_the_generator(seed: int) -> None:
    buffer = ThoughtBuffer()
    buffer.add([lesson(i) for i in range(50)])
    first, again, other = (
        [one.tokens for one in buffer.draw(8, np.random.default_rng(s))] for s in (seed, seed, seed + 1)
    )
    assert first == again != other


# -- any turn of the run ------------------------------------------------------------------------------------------
def test_one_pass_deals_every_turn_of_the_first_rollout_once() -> None:
    buffer, rng = ThoughtBuffer(), np.random.default_rng(0)
    buffer.add([lesson(i) for i in range(3)], turns=8)
    for _ in range(2):
        dealt = [one.prompt.text for _ in range(4) for one in buffer.deal(2, rng)]
        assert sorted(dealt) == ["0", "1", "2"]
    assert len(buffer.deal(8, rng)) == 3


def test_turns_that_were_not_corrected_are_drawn_in_vain() -> None:
    """After rollouts of 8 turns with 6 and 0 corrections, 6 of 16 draws teach: 3 of 8 in the mean."""
    buffer, rng = ThoughtBuffer(), np.random.default_rng(0)
    buffer.add([lesson(i) for i in range(6)], turns=8)
    buffer.add([], turns=8)
    assert buffer.turns == 16
    passes = [[one.prompt.text for _ in range(2) for one in buffer.deal(4, rng)] for _ in range(4000)]
    assert all(len(set(one)) == len(one) for one in passes), "no repeats within a pass"
    assert np.mean([len(one) for one in passes]) == pytest.approx(3.0, abs=0.06)
    assert ThoughtBuffer().deal(4, rng) == []


def test_without_dagger_only_the_latest_turns_count() -> None:
    buffer = ThoughtBuffer(keep_run=False)
    buffer.add([lesson(0)], turns=9)
    buffer.add([lesson(1)], turns=2)
    assert buffer.turns == 2
    assert [one.prompt.text for one in buffer.deal(2, np.random.default_rng(0))] == ["1"]


def test_vain_draws_dilute_the_loss_and_every_thought_counts_alike() -> None:
    """Thoughts of 1 and 3 taught tokens among 8 draws: (mean of the one + mean of the other) / 8."""
    short, long = (
        Sample(lesson(0).prompt, (1,) * len(weights), {"cloning": weights})
        for weights in ((1.0, 0.0), (0.0, 1.0, 1.0, 1.0))
    )
    made = [one.weights["cloning"] for one in per_draw([short, long], 8)]
    assert made == [pytest.approx((4 / 8, 0.0)), pytest.approx((0.0, 4 / 24, 4 / 24, 4 / 24))]
    # Log-probabilities -2, and -3, -6, -9: (2 + 6) / 8 = 1.
    weights = torch.tensor([[*made[0], 0.0, 0.0], made[1]])
    logprobs = torch.tensor([[-2.0, -7.0, 0.0, 0.0], [-7.0, -3.0, -6.0, -9.0]])
    count = float((weights > 0).sum())
    assert float(cloning_loss(logprobs, weights, normaliser=count)) == pytest.approx(1.0)
    assert per_draw([], 8) == []

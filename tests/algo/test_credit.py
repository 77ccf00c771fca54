"""GAE against numbers worked by hand, another library, and the textbook sum; normalisation."""

from dataclasses import dataclass

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from gtr.algo import credit
from gtr.losses.ppo import explained_variance

F = torch.float64


@dataclass(frozen=True)
class Advantages:
    advantages: Tensor
    returns: Tensor


def gae(
    rewards: Tensor, values: Tensor, bootstrap: Tensor, ended: Tensor, truncated: Tensor, gamma: float, lam: float
) -> Advantages:
    """Advantages of a table (env, time): each trajectory in it by `credit.gae`, `bootstrap` following the cut ones."""
    found = torch.empty_like(rewards)
    for e in range(len(rewards)):
        begun = 0
        for t in range(rewards.shape[1]):
            if not ended[e, t] and t < rewards.shape[1] - 1:
                continue
            follows = bool(truncated[e, t]) or not ended[e, t]
            piece = slice(begun, t + 1)
            following = float(bootstrap[e, t]) if follows else 0.0
            made = credit.gae(rewards[e, piece].numpy(), values[e, piece].numpy(), following, gamma, lam)
            found[e, piece] = torch.from_numpy(made)
            begun = t + 1
    return Advantages(found, found + values)


def normalise(advantages: Tensor, among: Tensor | None = None) -> Tensor:
    everyone = advantages if among is None else among
    return torch.from_numpy(credit.normalise(advantages.double().numpy(), everyone.double().tolist()))


def row(*values: float) -> Tensor:
    return torch.tensor([values], dtype=F)


def test_worked_by_hand_running_on_past_the_rollout() -> None:
    # gamma .5, lambda .5; the episode goes on after the last column, so bootstrap 8 follows it.
    # t=1: 2 + .5*8 - 2 = 4;  t=0: (1 + .5*2 - 1) + .25*4 = 2
    out = gae(row(1, 2), row(1, 2), row(99, 8), row(0, 0), row(0, 0), 0.5, 0.5)
    assert out.advantages.tolist() == [[2.0, 4.0]]
    assert out.returns.tolist() == [[3.0, 6.0]]


def test_worked_by_hand_termination_and_truncation_in_the_middle() -> None:
    # Same numbers but the first turn ends its episode. Terminated: 1 + 0 - 1 = 0. Truncated: 1 + .5*6 - 1 = 3.
    rewards, values, bootstrap = row(1, 2), row(1, 2), row(6, 8)
    terminated = gae(rewards, values, bootstrap, row(1, 0), row(0, 0), 0.5, 0.5)
    truncated = gae(rewards, values, bootstrap, row(1, 0), row(1, 0), 0.5, 0.5)
    assert terminated.advantages.tolist() == [[0.0, 4.0]]
    assert truncated.advantages.tolist() == [[3.0, 4.0]]


def test_last_column_takes_the_bootstrap_unless_terminated() -> None:
    rewards, values, bootstrap = row(1), row(0), row(10)
    assert gae(rewards, values, bootstrap, row(0), row(0), 0.9, 0.95).advantages.item() == 10.0
    assert gae(rewards, values, bootstrap, row(1), row(1), 0.9, 0.95).advantages.item() == 10.0
    assert gae(rewards, values, bootstrap, row(1), row(0), 0.9, 0.95).advantages.item() == 1.0


REWARDS = torch.tensor(
    [
        [0.0, 0.3, -0.27, -0.89, -0.45, -0.99],
        [0.06, 1.34, -0.49, -0.62, 0.49, 0.36],
        [0.11, -0.93, -0.03, 0.7, -1.34, -0.46],
    ],
    dtype=F,
)
VALUES = torch.tensor(
    [
        [-1.9, -1.29, -1.84, -0.24, -1.27, 0.27],
        [0.16, -0.19, -2.52, -0.54, -0.05, 0.11],
        [-1.53, -0.48, -0.98, -0.81, 1.06, -0.81],
    ],
    dtype=F,
)
BOOTSTRAP = torch.tensor(
    [
        [-0.03, 0.88, -0.58, -0.11, 0.11, 0.06],
        [-1.23, 0.08, 1.36, -1.55, 0.86, 0.12],
        [-0.64, 2.0, 0.76, -1.2, 0.07, 0.58],
    ],
    dtype=F,
)
ENDED = torch.tensor([[0, 0, 1, 0, 0, 0], [0, 1, 0, 0, 1, 1], [1, 0, 0, 1, 0, 1]]).bool()
TRUNCATED = torch.tensor([[0, 0, 1, 0, 0, 0], [0, 0, 0, 0, 1, 0], [0, 0, 0, 1, 0, 1]]).bool()


def test_equals_stable_baselines3() -> None:
    """Advantages printed by stable-baselines3 2.9.2 (`RolloutBuffer`, float32), gamma .9, lambda .95.

    It knows truncation only as gamma * value added to the reward, which is how its own collector feeds it.
    """
    expected = torch.tensor(
        [
            [1.448684, 0.83004, 1.048, -1.765751, 0.03187, -1.206],
            [1.03715, 1.53, 2.397692, 0.99847, 1.314, 0.25],
            [1.64, -0.828704, 0.58865, 0.43, -2.38344, 0.872],
        ],
        dtype=F,
    )
    out = gae(REWARDS, VALUES, BOOTSTRAP, ENDED, TRUNCATED, 0.9, 0.95)
    torch.testing.assert_close(out.advantages, expected, atol=2e-6, rtol=0)
    torch.testing.assert_close(out.returns, expected + VALUES, atol=2e-6, rtol=0)


def textbook(
    rewards: Tensor, values: Tensor, bootstrap: Tensor, ended: Tensor, truncated: Tensor, gamma: float, lam: float
) -> Tensor:
    """(1 - lambda) * sum of lambda^(n-1) * n-step advantages, each summed term by term: no recursion, no deltas."""
    envs, turns = rewards.shape
    out = torch.zeros_like(rewards)
    for e in range(envs):
        for start in range(turns):
            stop = next((t for t in range(start, turns) if ended[e, t] or t == turns - 1), turns - 1)
            tail = 0.0 if ended[e, stop] and not truncated[e, stop] else float(bootstrap[e, stop])
            longest = stop - start + 1
            steps = []
            for n in range(1, longest + 1):
                value = tail if n == longest else float(values[e, start + n])
                reward = sum(gamma**k * float(rewards[e, start + k]) for k in range(n))
                steps.append(reward + gamma**n * value - float(values[e, start]))
            mixed = (1 - lam) * sum(lam ** (n - 1) * a for n, a in enumerate(steps[:-1], 1))
            out[e, start] = mixed + lam ** (longest - 1) * steps[-1]
    return out


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("gamma", "lam"), [(0.9, 0.95), (1.0, 1.0), (0.99, 0.0), (0.0, 0.5)])
def test_equals_the_textbook_mixture_of_n_step_advantages(seed: int, gamma: float, lam: float) -> None:
    g = torch.Generator().manual_seed(seed)
    rewards, values, bootstrap = (torch.randn(4, 9, generator=g, dtype=F) for _ in range(3))
    ended = torch.rand(4, 9, generator=g) < 0.3
    truncated = ended & (torch.rand(4, 9, generator=g) < 0.5)
    out = gae(rewards, values, bootstrap, ended, truncated, gamma, lam)
    torch.testing.assert_close(
        out.advantages, textbook(rewards, values, bootstrap, ended, truncated, gamma, lam), atol=1e-12, rtol=0
    )
    assert isinstance(out.returns, Float[Tensor, "4 9"])


def test_inner_bootstraps_of_running_turns_are_never_read() -> None:
    garbage = torch.where(TRUNCATED, BOOTSTRAP, torch.full_like(BOOTSTRAP, float("nan")))
    garbage[:, -1] = BOOTSTRAP[:, -1]
    garbage[1, -1] = float("nan")  # terminated there
    clean = gae(REWARDS, VALUES, BOOTSTRAP, ENDED, TRUNCATED, 0.9, 0.95)
    dirty = gae(REWARDS, VALUES, garbage, ENDED, TRUNCATED, 0.9, 0.95)
    assert torch.equal(clean.advantages, dirty.advantages)


def test_normalise_by_hand() -> None:
    # Mean 2, population standard deviation sqrt(2/3).
    out = normalise(torch.tensor([1.0, 2.0, 3.0], dtype=F))
    torch.testing.assert_close(out, torch.tensor([-(1.5**0.5), 0.0, 1.5**0.5], dtype=F))


@pytest.mark.parametrize("value", [0.0, -1.0, 3.1])
def test_equal_advantages_stay_near_zero(value: float) -> None:
    exact = normalise(torch.full((64,), value))
    assert exact.abs().max() < 0.1
    rounding = torch.full((64,), value) + 1e-8 * torch.randn(64, generator=torch.Generator().manual_seed(0))
    assert normalise(rounding).abs().max() < 0.1  # plain whitening would give about 2.5


def test_one_advantage_is_zero_not_nan() -> None:
    assert normalise(torch.tensor([5.0])).item() == 0.0


def test_moments_of_all_processes() -> None:
    everything = torch.tensor([1.0, 2.0, 3.0, 10.0], dtype=F)
    halves = torch.cat([normalise(half, among=everything) for half in everything.split(2)])
    torch.testing.assert_close(halves, normalise(everything))


def test_explained_variance_by_hand() -> None:
    returns = torch.tensor([1.0, 2.0, 3.0, 4.0])
    assert explained_variance(returns, returns) == 1.0
    assert explained_variance(returns + 7, returns) == pytest.approx(1.0)
    assert explained_variance(torch.zeros(4), returns) == pytest.approx(0.0)
    assert explained_variance(-returns, returns) == pytest.approx(-3.0)
    assert explained_variance(returns, torch.ones(4)) == 0.0

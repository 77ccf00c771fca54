"""Advantages and returns over the turns of a rollout."""
# ruff: noqa: F722

from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped
from torch import Tensor


@dataclass(frozen=True)
class Advantages:
    """How much better each turn went than the critic expected, and what the critic should have said."""

    advantages: Float[Tensor, "env time"]
    returns: Float[Tensor, "env time"]
    """Advantages plus values: the critic's regression target (TD(lambda))."""


def gae(
    rewards: Float[Tensor, "env time"],
    values: Float[Tensor, "env time"],
    bootstrap: Float[Tensor, "env time"],
    ended: Shaped[Tensor, "env time"],
    truncated: Shaped[Tensor, "env time"],
    gamma: float,
    lam: float,
) -> Advantages:
    """Generalised advantage estimation (arXiv 1506.02438), a turn being one step.

    `ended` and `truncated` are booleans or 0/1: whether the episode ended at this turn for any reason, and whether the
    reason was a time limit, after which value may follow. `bootstrap` is the critic's value of the observation that
    came after the turn; it is read on truncated turns and, where its episode goes on, in the last column only.
    Nothing is carried from one episode into the one before it.

    Example, one environment, gamma .5, lambda 1: rewards (1, 2), values (0, 0), bootstrap (-, 4), the second turn
    truncated: advantages (1 + .5 * 4, 2 + .5 * 4) = (3, 4). Had it terminated: (2, 2).
    """
    ended, truncated = ended.bool(), truncated.bool()
    if bool((truncated & ~ended).any()):
        raise ValueError("a turn is marked truncated but not ended; mark every truncated turn as ended too")
    following = torch.cat([values[:, 1:], bootstrap[:, -1:]], dim=1)
    following = torch.where(truncated, bootstrap, following)
    following = torch.where(ended & ~truncated, torch.zeros_like(following), following)
    surprise = rewards + gamma * following - values
    decay = torch.where(ended, torch.zeros_like(values), torch.full_like(values, gamma * lam))
    advantages = torch.empty_like(surprise)
    later = torch.zeros_like(surprise[:, 0])
    for t in reversed(range(surprise.shape[1])):
        later = surprise[:, t] + decay[:, t] * later
        advantages[:, t] = later
    return Advantages(advantages, advantages + values)


def normalise(
    advantages: Float[Tensor, "*any"], among: Float[Tensor, "*all"] | None = None, floor: float = 1e-5
) -> Float[Tensor, "*any"]:
    """Advantages shifted to mean 0 and divided by their (population) standard deviation.

    The moments are those of `among`, by default the advantages themselves; several processes pass the advantages of
    all of them so that every process scales alike. `floor`, in the unit of the reward, is the smallest standard
    deviation that is scaled up to 1: when all advantages are equal, or differ by rounding only, the result stays at
    (nearly) 0 instead of blowing that noise up into a gradient.
    """
    among = advantages if among is None else among
    return (advantages - among.mean()) / among.std(correction=0).clamp(min=floor)


def explained_variance(values: Float[Tensor, "*turns"], returns: Float[Tensor, "*turns"]) -> float:
    """Share of the variance of returns that the critic's values explain: ``1 - Var(returns - values) / Var(returns)``.

    1 is a perfect critic, 0 one that knows at most the mean, below 0 one worse than that. 0 where all returns are
    equal and there is nothing to explain.
    """
    spread = float(returns.var(correction=0))
    return 1 - float((returns - values).var(correction=0)) / spread if spread > 0 else 0.0

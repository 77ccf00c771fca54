"""Losses: pure functions of named tensors, each with the count that it is divided by.

Every loss is a sum divided by a `normaliser` passed in from outside: the count of the *whole* optimiser step, of which
the tensors given may be one part. Losses and metrics of the parts therefore add up to those of the step.
"""
# ruff: noqa: F722

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

from gtr.losses.cloning import cloning_loss
from gtr.losses.kl import kl_loss, likeliest_kl_loss
from gtr.losses.ppo import Ratio, entropy_bonus, policy_normaliser, ppo_loss, value_loss

Result = tuple[Float[Tensor, ""], Mapping[str, Tensor]]
"""The loss and, by name, what else is worth a curve; both are shares of the step and add up over its parts."""


@dataclass(frozen=True)
class Rows:
    """The samples of one forward pass that a loss sees, n rows of at most L tokens, padded on the right."""

    weights: Float[Tensor, "row token"]
    """The loss's own, 0 on padding."""
    new: Float[Tensor, "row token"]
    """Log-probabilities now, in nats."""
    old: Float[Tensor, "row token"]
    reference: Float[Tensor, "row token"]
    entropy: Float[Tensor, "row token"]
    advantages: Tensor
    """(n,), or (n, L) where tokens have advantages of their own."""
    values: Tensor
    """The critic's estimates now: (n,), or (n, L) where tokens have targets of their own."""
    old_values: Tensor
    targets: Tensor
    likely: Float[Tensor, "row token likely"]
    """Log-probabilities now of a teacher's likeliest tokens at each place."""
    teacher: Float[Tensor, "row token likely"]
    """Their log-probabilities under it; minus infinity where it tells of fewer."""


@dataclass(frozen=True)
class Loss:
    """A loss as the learner calls it; further keyword arguments are the `Term.options` of the algorithm."""

    loss: Callable[..., Result]
    """``loss(rows, normaliser, **options)``."""
    count: Callable[..., float]
    """``count(weights, **options)``: what a step of rows with these token weights (row, token) is divided by."""


def _policy(rows: Rows, normaliser: float, **options: Any) -> Result:
    out = ppo_loss(rows.new, rows.old, rows.weights, rows.advantages, normaliser=normaliser, **options)
    return out.loss, {"clip_frac": out.clip_frac, "kl": out.kl_k3}


def _value(rows: Rows, normaliser: float, **options: Any) -> Result:
    columns = [rows.values, rows.old_values, rows.targets]
    if rows.values.dim() == 2:
        columns = [one[rows.weights > 0] for one in columns]
    return value_loss(*columns, normaliser=normaliser, **options).loss, {}


def _count_value(weights: Tensor, **_: Any) -> float:
    """Rows, or tokens where they have targets of their own."""
    return float((weights > 0).sum()) if bool((weights > 0).any()) else float(len(weights))


def _entropy(rows: Rows, normaliser: float) -> Result:
    return -entropy_bonus(rows.entropy, rows.weights, normaliser=normaliser), {}


def _cloning(rows: Rows, normaliser: float) -> Result:
    return cloning_loss(rows.new, rows.weights, normaliser=normaliser), {}


def _kl(rows: Rows, normaliser: float) -> Result:
    return kl_loss(rows.new, rows.reference, rows.weights, normaliser=normaliser), {}


def _distillation(rows: Rows, normaliser: float) -> Result:
    return likeliest_kl_loss(rows.likely, rows.teacher, rows.weights, normaliser=normaliser), {}


def _count_taught(weights: Tensor) -> float:
    return float((weights > 0).sum())


def _tokens(weights: Tensor) -> float:
    return float(weights.double().sum())


def _count_policy(weights: Tensor, ratio: Ratio, **_: Any) -> float:
    return policy_normaliser(weights.double(), ratio)


LOSSES: Mapping[str, Loss] = {
    "policy": Loss(_policy, _count_policy),
    "value": Loss(_value, _count_value),
    "entropy": Loss(_entropy, _tokens),
    "cloning": Loss(_cloning, _count_taught),
    "kl": Loss(_kl, _tokens),
    "distillation": Loss(_distillation, _count_taught),
}

"""Credit assignment: from the rewards of turns to their advantages. Pure functions on plain arrays.

Rows of one group, episodes or turns that began alike, are compared with one another; a group of one says nothing, and
its advantage is 0.
"""

from collections.abc import Hashable, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float64

PerTurn = Float64[np.ndarray, " turn"]
PerRow = Float64[np.ndarray, " row"]
Baseline = Literal["mean", "leave_one_out", "length", "second_best"]
Scale = Literal["std", "mean", "none"]


def gae(rewards: PerTurn, values: PerTurn, following: float, gamma: float, lam: float) -> PerTurn:
    """Generalised advantage estimation (arXiv 1506.02438) over one trajectory, a turn being one step.

    `following` is the critic's value of the observation after the last turn: 0 where the episode reached an end state,
    its estimate where a time limit or the end of the rollout cut it. The critic's targets, TD(lambda), are the
    advantages plus the values.

    >>> gae(np.array([1.0, 2.0]), np.array([0.0, 0.0]), 4.0, 0.5, 1.0).tolist()
    [3.0, 4.0]
    """
    delta: PerTurn = rewards + gamma * np.append(values[1:], following) - values
    advantages = np.empty_like(delta)
    last_gae = 0.0
    for t in reversed(range(len(delta))):
        last_gae = delta[t] + gamma * lam * last_gae
        advantages[t] = last_gae
    return advantages


def normalise(advantages: PerTurn, among: Sequence[float], floor: float = 1e-5) -> PerTurn:
    """Advantages shifted to mean 0 and divided by their (population) standard deviation.

    The moments are those of `among`, so that several processes scale alike. `floor`, in the unit of the reward, is the
    smallest standard deviation that is scaled up to 1: when all advantages are equal, or differ by rounding only, the
    result stays at (nearly) 0 instead of blowing that noise up into a gradient.
    """
    everyone = np.asarray(among, dtype=np.float64)
    scaled: PerTurn = (advantages - float(everyone.mean())) / max(floor, float(everyone.std()))
    return scaled


def returns_to_go(rewards: PerTurn, gamma: float) -> PerTurn:
    """What each turn and those after it earned, discounted per turn.

    >>> returns_to_go(np.array([0.0, 0.0, 10.0]), 0.5).tolist()
    [2.5, 5.0, 10.0]
    """
    found = np.empty_like(rewards)
    to_go = 0.0
    for t in reversed(range(len(rewards))):
        to_go = rewards[t] + gamma * to_go
        found[t] = to_go
    return found


def grouped(
    scores: PerRow,
    groups: Sequence[Hashable],
    baseline: Baseline = "mean",
    scale: Scale = "std",
    *,
    eps: float = 1e-6,
    ddof: int = 1,
    lengths: Sequence[float] = (),
) -> PerRow:
    """Scores less their group's baseline, divided by the group's scale.

    - baseline "mean" (GRPO, arXiv 2402.03300), "leave_one_out" (RLOO, arXiv 2402.14740: the mean of the others),
      "length" (OPO, arXiv 2505.23585: the mean weighted by `lengths`), or "second_best" (GRPO pass@k: only the best
      row moves, by its lead).
    - scale "std" plus `eps` (GRPO), "mean" (MaxRL, arXiv 2602.02710; 0 where the mean is not positive), or "none"
      (Dr.GRPO, arXiv 2503.20783).

    >>> grouped(np.array([10.0, -1.0, -1.0]), "sss", "leave_one_out", "none").tolist()
    [11.0, -5.5, -5.5]
    """
    members: dict[Hashable, list[int]] = {}
    for i, group in enumerate(groups):
        members.setdefault(group, []).append(i)
    found = np.zeros(len(scores))
    for rows in members.values():
        if len(rows) > 1:
            weights = np.array([lengths[i] for i in rows]) if baseline == "length" else np.ones(len(rows))
            found[rows] = _centred(scores[rows], baseline, weights) * _scale(scores[rows], scale, eps, ddof)
    return found


def _centred(scores: PerRow, baseline: Baseline, weights: PerRow) -> PerRow:
    if baseline == "second_best":
        second, best = np.sort(scores)[-2:].tolist()
        lead: PerRow = np.where(scores == best, best - second, 0.0)
        return lead
    if baseline == "leave_one_out":
        others = (scores.sum() - scores) / (len(scores) - 1)
        alone: PerRow = scores - others
        return alone
    return scores - float((weights * scores).sum() / weights.sum())


def _scale(scores: PerRow, scale: Scale, eps: float, ddof: int) -> float:
    if scale == "std":
        return 1.0 / (float(scores.std(ddof=ddof)) + eps)
    if scale == "mean":
        return 1.0 / float(scores.mean()) if scores.mean() > 0 else 0.0
    return 1.0


def whiten(scores: PerRow, among: Sequence[float], counts: Sequence[float], eps: float = 1e-8) -> PerRow:
    """Scores shifted and scaled by the moments of `among`, of which each stands for so many tokens (`counts`).

    The variance is that of a sample (Bessel), `eps` is added to it (REINFORCE++, arXiv 2501.03262, as verl does it).
    """
    everyone, weights = np.asarray(among, dtype=np.float64), np.asarray(counts, dtype=np.float64)
    total = float(weights.sum())
    mean = float((weights * everyone).sum()) / total
    variance = float((weights * (everyone - mean) ** 2).sum()) / max(1.0, total - 1)
    return (scores - mean) / float((variance + eps) ** 0.5)


def anchored(
    scores: PerRow, histories: Sequence[Sequence[Hashable]], depth: int, alpha: float, scale: Scale, eps: float = 1e-6
) -> PerRow:
    """HGPO's advantage of turns (arXiv 2602.22817): by groups of the last k states, k = 1 .. `depth`.

    `histories` are the states of each turn's trajectory up to it, the group of its start first. Within each group of
    two or more, scores less their mean (divided by the population's standard deviation where `scale` is "std");
    then the mean over k with weights (k + 1) ** alpha, in which, as in the public code, advantages of exactly 0 do not
    take part.
    """
    total, weights = np.zeros(len(scores)), np.zeros(len(scores))
    for k in range(1, depth + 1):
        # A shorter history has no last k states, and stands alone.
        keys = [(past[0], *past[-k:]) if len(past) > k else (i,) for i, past in enumerate(histories)]
        found = grouped(scores, keys, "mean", scale, eps=eps, ddof=0)
        weight = np.where(found != 0, (k + 1.0) ** alpha, 0.0)
        total, weights = total + weight * found, weights + weight
    mixed: PerRow = total / (weights + eps)
    return mixed


def bilevel_gae(
    rewards: PerTurn, values: Sequence[PerRow], gamma_turn: float, gamma: float, lam: float
) -> list[PerRow]:
    """VAGEN's bi-level GAE (arXiv 2510.16907) over one trajectory that ended: an advantage for every token.

    First GAE over the last tokens of the turns, discounted by `gamma_turn`; what a turn is then worth, its advantage
    plus value, takes the place of its reward, and GAE over its own tokens follows. `values` are the critic's at each
    token, one array per turn.
    """
    last = np.array([turn[-1] for turn in values])
    worth = gae(rewards, last, 0.0, gamma_turn, lam) + last
    return [
        gae(np.append(np.zeros(len(turn) - 1), reward), turn, 0.0, gamma, lam)
        for turn, reward in zip(values, worth, strict=True)
    ]

"""How able a starting agent is, and how far that is from what the settings ask for.

Measured as panels measure: by their rules, on whole episodes, sampled as in training and greedily. The starts are not
those at which SFT stopped: of many measurements it stops at the first that is high enough, which flatters.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from gtr.config import Config
from gtr.errors import TaskError
from gtr.evaluate import Evaluation, evaluate, evaluate_policy
from gtr.policy.policy import Policy
from gtr.stats import wilson

FRESH = 1_000_033
"""Seed of the starts: neither of a run's panel nor of those at which SFT stops."""
MODES = ("sampled", "greedy")
ABOVE_RANDOM = 0.1
"""Of the way from random play's success to the expert's, where `sft.target` is not given."""
log = logging.getLogger(__name__)
console = Console(stderr=True)


@dataclass(frozen=True)
class Target:
    """The success at which SFT stops."""

    success: float
    random: float = 0.0
    """Success of random play, above which there is something to learn."""


def target_of(config: Config) -> Target:
    """`sft.target`, or else a tenth of the way from random play to the expert's, both played here.

    Raises `TaskError` where the task does not say what success is.
    """
    if config.sft.target is not None:
        return Target(config.sft.target)
    random, expert = (
        known(evaluate(who, config, "same", config.sft.check_episodes, FRESH)).success for who in ("random", "expert")
    )
    target = random + ABOVE_RANDOM * (expert - random)
    said = f"sft.target: random play wins {random:.2f}, the expert {expert:.2f}: SFT stops at {target:.2f}"
    console.print(said, highlight=False, soft_wrap=True)
    return Target(target, random)


def known(found: Evaluation) -> Evaluation:
    """The evaluation itself; `TaskError` where the task does not say what success is."""
    if found.successes is None:
        raise TaskError(
            f"task '{found.task}' does not say what success is, and SFT stops at a measured one: put info['success'] "
            "into the last step of its environment, define Task.success, or add --sft.enabled False"
        )
    return found


def measure(policy: Policy, config: Config, target: float) -> dict[str, Any]:
    """What ``competence.json`` keeps: the target, and ``[successes, episodes]`` of both modes.

    Example: ``{"target": 0.1, "sampled": [14, 128], "greedy": [31, 128]}``.
    """
    played = {mode: _played(policy, config, greedy=mode == "greedy") for mode in MODES}
    return {"target": target} | {mode: [one.successes, one.episodes] for mode, one in played.items()}


def _played(policy: Policy, config: Config, greedy: bool) -> Evaluation:
    return evaluate_policy(policy, "sft", config, "same", config.sft.check_episodes, FRESH, greedy)[0]


def metrics(measured: Mapping[str, Any]) -> dict[str, float]:
    """``sft/success_sampled`` and ``sft/success_greedy``; none where nothing was measured."""
    counts = {mode: measured[mode] for mode in MODES if measured}
    return {f"sft/success_{mode}": wins / episodes for mode, (wins, episodes) in counts.items() if episodes}


def say(measured: Mapping[str, Any]) -> None:
    """Says how able the agent is; a warning where sampled success is off the target by more than chance (Wilson)."""
    if not measured:
        return
    shares = [wilson(*measured[mode]) for mode in MODES]
    rates = [
        f"{one.estimate:.2f} of {measured[mode][1]} fresh starts {mode} ({one.low:.2f}-{one.high:.2f})"
        for mode, one in zip(MODES, shares, strict=True)
    ]
    target, sampled = measured["target"], shares[0]
    sentence = f"the starting agent wins {', '.join(rates)}"
    if sampled.low <= target <= sampled.high:
        console.print(f"{sentence}; sft.target {target:g} sampled is within chance", highlight=False, soft_wrap=True)
    else:
        log.warning("%s: sampled success is %+.2f off sft.target %g", sentence, sampled.estimate - target, target)

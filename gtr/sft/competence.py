"""How able a starting agent is, and how far that is from what the settings ask for.

Measured as panels measure: by their rules, on whole episodes, sampled as in training and greedily. The starts are not
those at which SFT stopped: of many measurements it stops at the first that is high enough, which flatters.
"""

import logging
from collections.abc import Mapping
from typing import Any

from rich.console import Console

from gtr.config import Config
from gtr.evaluate import Evaluation, evaluate_policy
from gtr.policy.policy import Policy
from gtr.stats import wilson

FRESH = 1_000_033
"""Seed of the starts: neither of a run's panel nor of those at which SFT stops."""
MODES = ("sampled", "greedy")
log = logging.getLogger(__name__)
console = Console(stderr=True)


def measure(policy: Policy, config: Config) -> dict[str, Any]:
    """What ``competence.json`` keeps: the target, and ``[successes, episodes]`` of both modes.

    Example: ``{"target": 0.1, "sampled": [14, 128], "greedy": [31, 128]}``.
    """
    played = {mode: _played(policy, config, greedy=mode == "greedy") for mode in MODES}
    return {"target": config.sft.target} | {mode: [one.successes, one.episodes] for mode, one in played.items()}


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

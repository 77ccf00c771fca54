"""One metric's definition."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """A row of the table."""

    name: str
    """As logged; ``<...>`` stands for a text that the task or the agent fills in."""
    formula: str
    """How it is computed, over the turns of one rollout unless it says otherwise."""
    meaning: str
    healthy: str
    """Which direction is good, or what to expect."""
    source: str = ""
    n: str = ""
    """Name of the metric that counts what this one is a share or mean of; empty where nothing is counted."""

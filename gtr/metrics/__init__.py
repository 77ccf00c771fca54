"""Thought health: what a run's thoughts and actions look like, and an alarm for when they collapse."""

from gtr.metrics.learning import explained_variance, kl_to_start
from gtr.metrics.probes import image_sensitivity, relevance
from gtr.metrics.turns import health

__all__ = ["explained_variance", "health", "image_sensitivity", "kl_to_start", "relevance"]

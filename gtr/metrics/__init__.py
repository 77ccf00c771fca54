"""Thought health: what a run's thoughts and actions look like, and an alarm for when they collapse."""

from gtr.metrics.forward import image_sensitivity, kl_to_reference, relevance
from gtr.metrics.turns import health

__all__ = ["health", "image_sensitivity", "kl_to_reference", "relevance"]

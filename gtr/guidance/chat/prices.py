"""What models cost: dollars per million tokens, list prices as of November 2025. Settings override them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from gtr.config import CorrectorConfig
from gtr.errors import ConfigError

MILLION = 1_000_000
IMAGE_TOKENS = 2000
"""An upper bound for one small picture, for models that do not say."""
_DATED = re.compile(r"-\d{4}-\d{2}-\d{2}$")


@dataclass(frozen=True)
class Price:
    """Dollars per million tokens, and an upper bound of what a picture of the games counts in tokens."""

    input: float
    output: float
    image_tokens: int = IMAGE_TOKENS

    def usd(self, tokens_in: int, tokens_out: int) -> float:
        """Dollars for one answer."""
        return (self.input * tokens_in + self.output * tokens_out) / MILLION


PRICES: Mapping[str, Price] = {
    "gpt-4o": Price(2.5, 10.0),
    "gpt-4o-mini": Price(0.15, 0.6, 26_000),
    "gpt-4.1": Price(2.0, 8.0),
    "gpt-4.1-mini": Price(0.4, 1.6, 2500),
    "gpt-4.1-nano": Price(0.1, 0.4, 4000),
    "gpt-5": Price(1.25, 10.0),
    "gpt-5-mini": Price(0.25, 2.0, 2500),
    "gpt-5-nano": Price(0.05, 0.4, 4000),
}
"""By model; a dated name such as gpt-4o-2024-11-20 costs what the undated one does."""


def price_of(config: CorrectorConfig) -> Price | None:
    """The price of the settings' model: theirs, else the table's; None where neither knows it.

    Raises:
        ConfigError: a budget without a price could not be kept.
    """
    listed = PRICES.get(_DATED.sub("", config.model.rpartition("/")[2]))
    if config.price_in is not None and config.price_out is not None:
        return Price(config.price_in, config.price_out, listed.image_tokens if listed else IMAGE_TOKENS)
    if listed is None and config.budget_usd is not None:
        raise ConfigError(
            f"corrector.budget_usd is set, but the price of {config.model!r} is not known: give corrector.price_in "
            "and corrector.price_out in dollars per million tokens (0 and 0 for a server of your own)"
        )
    return listed

"""What a request can cost: list prices as of November 2025, and the most tokens that it can have taken."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from gtr.config import CorrectorConfig
from gtr.errors import ConfigError
from gtr.guidance.chat.model import Tokens

MILLION = 1_000_000
IMAGE_TOKENS = 2000
"""An upper bound for one small picture, for models that do not say."""
TEMPLATE_TOKENS = 200
"""What a server's chat template may add to what we send."""
KNOWN = 5
"""Answers after which the server's own counts bound what a request can have taken that brought none."""
MARGIN_SENT, MARGIN_WRITTEN = 1.25, 2.0
"""By how much such a request may exceed every answered one."""
_DATED = re.compile(r"-\d{4}-\d{2}-\d{2}$")


@dataclass(frozen=True)
class Price:
    """Dollars per million tokens, and an upper bound of what a picture of the games counts in tokens."""

    input: float
    output: float
    image_tokens: int = IMAGE_TOKENS

    def usd(self, tokens: Tokens) -> float:
        """Dollars for one request."""
        return (self.input * tokens.sent + self.output * tokens.written) / MILLION


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
FREE = Price(0.0, 0.0)
"""Where the price is not known and no budget has to be kept."""


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


class TokenBounds:
    """The most tokens that a request can take, before it is sent and once it has ended.

    Before: a token is at least one byte of text, a picture counts as the price table says, and `max_tokens` may be
    written. After `KNOWN` answers the server's own counts narrow that for requests of which it does not say what they
    took. What was sent is counted alike every time, so it is at most `MARGIN_SENT` times the largest share of its
    bound that any answered request took. What was written is bounded only where the server itself ended the request:
    by `MARGIN_WRITTEN` times the longest answer so far, and by more in proportion where it took longer than any
    answer did. A server that we stopped listening to may have written on, up to `max_tokens`.

    Example: bounds of 4,000 sent and 800 written, answers of 1,100 sent in 1 s and 90 written. A connection that the
    server broke off after 0.5 s took at most 1,375 sent and 180 written; one that we gave up, 1,375 and 800.
    """

    def __init__(self, image_tokens: int, max_tokens: int) -> None:
        self._image_tokens, self._max_tokens = image_tokens, max_tokens
        self._answers = 0
        self._share = self._longest = self._slowest = 0.0

    def most(self, text: int, images: int) -> Tokens:
        """For a request of so many bytes of text and so many pictures."""
        return Tokens(text + TEMPLATE_TOKENS + images * self._image_tokens, self._max_tokens)

    def learn(self, most: Tokens, taken: Tokens, seconds: float) -> None:
        """Notes what an answered request took."""
        self._answers += 1
        self._share = max(self._share, taken.sent / most.sent)
        self._longest = max(self._longest, taken.written)
        self._slowest = max(self._slowest, seconds)

    def narrowed(self, most: Tokens, seconds: float | None) -> Tokens:
        """For a request of which the server does not say what it took, and which it ended after so many seconds.

        `seconds` is None where we ended it.
        """
        if self._answers < KNOWN:
            return most
        sent = min(most.sent, math.ceil(MARGIN_SENT * self._share * most.sent))
        if seconds is None:
            return Tokens(sent, most.written)
        longer = max(1.0, seconds / self._slowest) if self._slowest else 1.0
        written = math.ceil(MARGIN_WRITTEN * self._longest * longer)
        return Tokens(sent, min(most.written, written))

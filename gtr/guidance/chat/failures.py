"""Everything that can go wrong with one request, sorted by what is to be done about it."""

import email.utils
import math
import time
from collections.abc import Mapping
from enum import StrEnum

from gtr.errors import CorrectorError


class Kind(StrEnum):
    """Why a request brought no usable answer."""

    CONNECTION = "connection"
    TIMEOUT = "timeout"
    RATE_LIMIT = "rate_limit"
    SERVER = "server"
    """Status 5xx, 408 or 409."""
    REJECTED = "rejected"
    """Any other 4xx: the server will not take this request."""
    UNREADABLE = "unreadable"
    """Status 200 without a chat completion in it."""
    OVERSIZED = "oversized"
    """More bytes than any answer needs."""
    INVALID = "invalid"
    """A chat completion whose text is not the answer that was asked for, after the repair too."""
    DOWN = "down"
    """Not sent: the server has been down for longer than corrector.patience."""
    LOST = "lost"
    """Under way when an earlier process of the run was killed."""


TRANSIENT = {Kind.CONNECTION, Kind.TIMEOUT, Kind.RATE_LIMIT, Kind.SERVER, Kind.UNREADABLE}
"""What another try may mend."""
MAYBE_BILLED = {Kind.TIMEOUT, Kind.CONNECTION, Kind.UNREADABLE, Kind.OVERSIZED}
"""Where the server may have done the work without our seeing what it cost."""


class Failure(Exception):
    """A request that brought nothing. Data, not a crash: the turn goes without a lesson."""

    def __init__(self, kind: Kind, text: str, retry_after: float | None = None, adapted: bool = False) -> None:
        super().__init__(text)
        self.kind = kind
        self.retry_after = retry_after
        self.transient = adapted or kind in TRANSIENT
        """Whether another try may mend it; `adapted` when the next one will be written otherwise."""


class Broke(Exception):
    """The budget does not cover another request."""


class Fatal(CorrectorError):
    """Nothing that is asked of this server can succeed: no key, no such model."""


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks to wait, from ``retry-after-ms`` or ``Retry-After`` (seconds or a date)."""
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) * unit
        except (KeyError, ValueError):
            continue
        return max(seconds, 0.0) if math.isfinite(seconds) else None
    try:
        date = email.utils.parsedate_to_datetime(headers["retry-after"])
    except (KeyError, ValueError, TypeError):
        return None
    return max(date.timestamp() - time.time(), 0.0)

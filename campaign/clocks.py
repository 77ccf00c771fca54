"""Clocks that jump: nothing that is learnt or shown depends on what time it is."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from random import Random
from unittest import mock

from campaign import agents
from campaign.flags import answered
from campaign.kills import contents
from campaign.outcome import Outcome
from gtr.guidance.chat.response import retry_after
from gtr.train import train

YEARS = 365.25 * 86400
DATES = (-1e9, -1.0, 0.0, 1.0, 2**31, 2**32, 4e9, 1e10, 2.5e11)
"""Seconds since 1970 that files are said to be of."""


def run(count: int, seed: int, place: Path) -> Outcome:
    """So many runs under a clock of their own; files of all times; servers whose clock is another."""
    outcome, random = Outcome(), Random(seed)
    straight = contents(train(agents.config(place, **{"name": "straight"})))
    for number in range(count):
        with jumping(random):
            name = f"jumping{number}"
            made = outcome.call(lambda n=name: train(agents.config(place, name=n)), (), f"clocks: seed {seed}", 300.0)
        alike = made is not None and contents(made) == straight
        outcome.expect(alike, f"seed {seed}, run {number}: a jumping clock changes what is learnt")
        if made is not None:
            read(outcome, random, made, place, f"seed {seed}, run {number}")
        waits(outcome, random, f"seed {seed}, run {number}")
    return outcome


@contextmanager
def jumping(random: Random) -> Iterator[None]:
    """The time of day jumps now and then, by seconds or years, back or forth."""
    real, shift = time.time, [0.0]

    def now() -> float:
        if random.random() < 0.05:
            shift[0] = random.choice((random.uniform(-100, 100), random.uniform(-50, 500) * YEARS))
        return real() + shift[0]

    with mock.patch("time.time", now):
        yield


def read(outcome: Outcome, random: Random, run: Path, place: Path, when: str) -> None:
    """Files of the past and the future are shown, compared and gone on with."""
    for file in run.rglob("*"):
        os.utime(file, (date := random.choice(DATES), date))
    updates = str(agents.UPDATES + 1)
    for words in (
        ("show", str(run), "--export", str(place / "page.html")),
        ("compare", "--from", str(run), "--out", str(place / "cmp")),
        ("train", "--resume", str(run), "--train.updates", updates),
    ):
        with jumping(random):
            outcome.call(lambda words=words: answered(words), (), f"clocks, {words[0]}: {when}", 120.0)


def waits(outcome: Outcome, random: Random, when: str) -> None:
    """A server whose clock goes otherwise may name any date."""
    for _ in range(100):
        date = datetime.now(UTC) + timedelta(days=random.uniform(-700_000, 2_900_000))
        seconds = retry_after({"retry-after": format_datetime(date)})
        outcome.expect(seconds is None or 0 <= seconds < 1e12, f"{when}: {date} gives {seconds} s")

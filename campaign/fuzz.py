"""Spoilt text at every door."""

import logging
import time
from pathlib import Path
from random import Random

from campaign.outcome import Outcome
from campaign.parsers import doors


def run(count: int, seed: int, place: Path) -> Outcome:
    """So many inputs, over all doors by their weights; a door's inputs depend on the seed and its name alone."""
    logging.disable(logging.CRITICAL)
    outcome = Outcome()
    every = doors(place)
    total = sum(door.weight for door in every)
    slowest = 0.0
    for door in every:
        random = Random(f"{seed} {door.name}")
        for number in range(max(1, round(count * door.weight / total))):
            text = door.make(random, door.corpus)
            started = time.perf_counter()
            said = f"{door.name}: input {number} of seed {seed}: {text!r}"
            outcome.call(lambda text=text, door=door: door.take(text), door.allowed, said, door.seconds)
            slowest = max(slowest, time.perf_counter() - started)
    outcome.measured = {"doors": str(len(every)), "slowest answer": f"{slowest:.2f} s"}
    logging.disable(logging.NOTSET)
    return outcome

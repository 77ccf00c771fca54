"""What the files of a run hold, record by record: values of the wrong type are dropped and named, never passed on."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from gtr.metrics.renamed import current_name

PICTURE = re.compile(r"[0-9a-f]{20}\.png")
"""Names of pictures: the hash of their pixels (see `gtr.report.transcript.ImageStore`)."""
LARGEST = 1e100
"""Numbers up to here can be squared and added up."""
LARGEST_WHOLE = 2**53
"""Whole numbers up to here are exact in a page too."""
MOST_UPDATES = 10**9
MOST_TOKENS = 100_000
"""Tokens of one reply."""
NOT_FINITE = (None, "Infinity", "-Infinity")
"""How numbers that are not finite are written."""

Record = dict[str, Any]
Kind = Callable[[Any], Any]
"""Returns a value of its type, or None."""


def number(value: Any) -> float | None:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) <= LARGEST else None


def whole(value: Any) -> int | None:
    """A whole number that is not negative."""
    good = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_WHOLE
    return value if good else None


def update_of(record: Mapping[str, Any]) -> int | None:
    """The number of a record's update."""
    found = whole(record.get("update"))
    return found if found is not None and found < MOST_UPDATES else None


def text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def truth(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def table(value: Any) -> Record | None:
    return value if isinstance(value, dict) else None


def picture(value: Any) -> str | None:
    """The name of a picture, which cannot lead anywhere else."""
    return value if isinstance(value, str) and PICTURE.fullmatch(value) else None


def answers(value: Any) -> dict[str, bool] | None:
    """Questions and whether they were passed."""
    good = isinstance(value, dict) and all(isinstance(one, bool) for one in value.values())
    return value if good else None


def wholes(value: Any) -> list[int] | None:
    """A list of whole numbers that are not negative."""
    if not isinstance(value, list) or not set(map(type, value)) <= {int}:
        return None
    return value if not value or (min(value) >= 0 and max(value) <= LARGEST_WHOLE) else None


def several(kind: Kind) -> Kind:
    """A list whose items are all of a kind."""

    def read(value: Any) -> list[Any] | None:
        good = isinstance(value, list) and all(kind(one) is not None for one in value)
        return value if good else None

    return read


def numbers(value: Any) -> list[float | None] | None:
    """A list of numbers; None for those that are not finite."""
    if isinstance(value, list) and set(map(type, value)) == {float} and sum(map(abs, value)) <= LARGEST:
        return value  # By far the most, and a transcript has millions.
    good = isinstance(value, list) and all(one in NOT_FINITE or number(one) is not None for one in value)
    return [number(one) for one in value] if good else None


def spread(value: Any) -> list[Any] | None:
    """Pairs (how many tokens, weight), of no more tokens than a reply can have."""
    if not isinstance(value, list):
        return None
    pairs = [(whole(one[0]), number(one[1])) if isinstance(one, list) and len(one) == 2 else (None,) for one in value]
    if any(None in pair for pair in pairs):
        return None
    return value if sum(pair[0] or 0 for pair in pairs) <= MOST_TOKENS else None


def metrics(value: Any) -> dict[str, float] | None:
    """Finite numbers by the metric's name today; an old name gives way to the new one."""
    if not isinstance(value, dict):
        return None
    ordered = sorted(value.items(), key=lambda item: item[0] == current_name(item[0]))
    return {current_name(name): float(one) for name, one in ordered if number(one) is not None}


def not_numbers(line: Mapping[str, Any]) -> list[str]:
    """Names under which a line of metrics holds something else."""
    return [name for name, one in line.items() if one not in NOT_FINITE and number(one) is None]


def each(kinds: Mapping[str, Kind]) -> Kind:
    """A table whose keys, where they are there, are of their kinds."""

    def read(value: Any) -> Record | None:
        if not isinstance(value, dict):
            return None
        found = {key: kind(value[key]) for key, kind in kinds.items() if value.get(key) is not None}
        return None if None in found.values() else {**value, **found}

    return read


def outcomes(value: Any) -> list[bool | None] | None:
    """Whether each start was won; None for one whose episode was aborted."""
    return value if isinstance(value, list) and all(one is None or isinstance(one, bool) for one in value) else None


LESSON = each({"text": text, "ends": wholes, "weights": spread})
TURN: Mapping[str, tuple[Kind, Any]] = {
    **dict.fromkeys(("env", "episode", "turn", "tokens"), (whole, 0)),
    **dict.fromkeys(("prompt", "reply", "status"), (text, "")),
    **dict.fromkeys(("logprob", "reward", "judge_reward"), (number, 0.0)),
    **dict.fromkeys(("value", "bootstrap", "advantage", "ratio"), (number, None)),
    **dict.fromkeys(("action", "implied"), (text, None)),
    **{key: (table, {}) for key in ("fields", "truth")},
    **{"image": (picture, ""), "ending": (text, "running"), "finished": (truth, True), "legal": (truth, True)},
    **{"success": (truth, False), "checks": (answers, None), "expert": (table, None), "lesson": (LESSON, None)},
    "verdict": (each({"judgement": text, "thought": table, "answers": answers, "target": text, "score": number}), None),
    "per_token": (
        each({"ends": wholes, "logprobs": numbers, "ratios": numbers, "weights": spread}),
        None,
    ),
}
"""Keys of a transcript's line (see `gtr.report.transcript.turn_record`), their kinds, and what stands where one is
missing, as in runs of older versions."""
EVALUATION: Mapping[str, tuple[Kind, Any]] = {
    **{"panel": (text, ""), "success": (number, None), "successes": (whole, None), "episodes": (whole, None)},
    **{"interval": (several(number), None), "health": (metrics, {}), "outcomes": (outcomes, [])},
}
START: Mapping[str, tuple[Kind, Any]] = {
    **dict.fromkeys(("gtr", "python", "device"), (text, "?")),
    **{"command": (several(text), []), "packages": (table, {}), "code": (each({"commit": text, "dirty": truth}), None)},
}
"""Of an entry of ``fingerprint.json``."""
PROBE: Mapping[str, tuple[Kind, Any]] = {
    **{"states": (several(text), []), "turns": (several(wholes), [])},
    "scores": (several(numbers), []),
}


def fitted(record: Mapping[str, Any], kinds: Mapping[str, tuple[Kind, Any]]) -> tuple[Record, list[str]]:
    """The record with every key that is known, of its kind, and all others as they are; and the keys that were not."""
    made, bad = dict(record), []
    for key, (kind, otherwise) in kinds.items():
        value = record.get(key)
        found = None if value is None else kind(value)
        made[key] = otherwise if found is None else found
        if value not in NOT_FINITE and found is None:
            bad.append(key)
    return made, bad


def evaluation(record: Mapping[str, Any]) -> tuple[Record, list[str]]:
    """An evaluation (see `EVALUATION`), and which of its keys are not of their kind, or fit no others."""
    found, bad = fitted(record, EVALUATION)
    wins, played = found["successes"], found["episodes"]
    if wins is not None and played is not None and wins > played:
        bad.append("successes")
    if len(found["interval"] or (0, 0)) != 2:
        bad.append("interval")
    if (won := found["outcomes"]) and (won.count(True), len(won) - won.count(None)) != (wins, played):
        bad.append("outcomes")
    return found, bad


def square(probe: Record) -> bool:
    """Whether a probe's scores are one row and one column per turn."""
    size = len(probe["turns"])
    rows = [probe["states"], probe["scores"], *probe["scores"]]
    return all(len(row) == size for row in rows) and all(len(place) == 3 for place in probe["turns"])

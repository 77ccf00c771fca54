"""What a list of episodes needs of an update's turns: a few numbers per episode, column by column.

An episode that lies across two updates has a part in each; whoever shows them adds the parts up.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from gtr.metrics.thought import written
from gtr.types import UNANSWERED, Judgement, ReplyStatus

COMMON = 24
"""Most frequent thoughts of an update that are kept."""
SHOWN, NAMED = 8, 5
"""Of these, thoughts whose pictures are counted, and pictures of each that are named."""
LONGEST = 400
"""Characters of a thought that are kept to tell it from others."""
COLUMNS = (
    "env",
    "episode",
    "first",
    "turns",
    "reward",
    "ending",
    "success",
    "judged",
    "corrected",
    "illegal",
    "tokens",
    "logprob",
    "kind",
)
"""Of a part of an episode. `first` is the number of its first turn; `ending` that of its last one."""


def parts(turns: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The columns of an update's parts of episodes, in the order in which they began."""
    grouped: dict[tuple[Any, Any], list[Mapping[str, Any]]] = {}
    for turn in turns:
        grouped.setdefault((turn["env"], turn["episode"]), []).append(turn)
    rows = [_part(group) for group in grouped.values()]
    return {name: [row[i] for row in rows] for i, name in enumerate(COLUMNS)}


def _part(turns: Sequence[Mapping[str, Any]]) -> tuple[Any, ...]:
    first, last = turns[0], turns[-1]
    judgements = [judgement(turn) for turn in turns]
    return (
        first["env"],
        first["episode"],
        first["turn"],
        len(turns),
        round(sum(turn["reward"] for turn in turns), 4),
        last["ending"],
        int(last["success"]),
        sum(one not in ("", *UNANSWERED) for one in judgements),
        sum(one == Judgement.INCORRECT for one in judgements),
        sum(not turn["legal"] for turn in turns),
        sum(turn["tokens"] for turn in turns),
        round(sum(turn["logprob"] for turn in turns), 3),
        kind(first),
    )


def judgement(turn: Mapping[str, Any]) -> str:
    """The corrector's judgement of a turn, of older runs too; empty where there was no corrector."""
    said = str((turn["verdict"] or {}).get("judgement") or "")
    with suppress(ValueError):
        said = str(Judgement(said))
    return said


def kind(turn: Mapping[str, Any]) -> str:
    """What kind of task its episode plays, for games of several: the text ``kind`` of the truth; else empty."""
    said = turn["truth"].get("kind")
    return said if isinstance(said, str) else ""


def common_thoughts(turns: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How often the most frequent thoughts were thought: of whole thoughts (key ``""``) and of each of their fields.

    ``pictures`` says on how many different pictures the first of them were thought, and names some of these.
    """
    counts: dict[str, Counter[str]] = {}
    seen: dict[tuple[str, str], dict[str, None]] = {}
    total = 0
    for turn in turns:
        if turn["status"] != ReplyStatus.COMPLETE:
            continue
        thought = {key: written(value) for key, value in turn["fields"].items() if key != "action"}
        total += 1
        for key, text in [("", "  ".join(thought.values())), *thought.items()]:
            counts.setdefault(key, Counter())[text[:LONGEST]] += 1
            seen.setdefault((key, text[:LONGEST]), {})[turn["image"]] = None
    tops: dict[str, list[list[Any]]] = {
        key: [list(pair) for pair in ordered(counter)[:COMMON]] for key, counter in counts.items()
    }
    pictures = {key: [_pictures(seen[key, text]) for text, _ in top[:SHOWN]] for key, top in tops.items()}
    different = {key: len(counter) for key, counter in counts.items()}
    return {"total": total, "fields": tops, "different": different, "pictures": pictures}


def _pictures(names: Iterable[str]) -> dict[str, Any]:
    known = sorted(filter(None, names))
    return {"count": len(known), "images": known[:NAMED]}


def ordered(counter: Counter[str]) -> list[tuple[str, int]]:
    """The most frequent first; equally frequent ones by their text, so that a page does not flicker."""
    return sorted(counter.items(), key=lambda item: (-item[1], item[0]))

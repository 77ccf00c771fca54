"""Damaged files of every kind in a run folder, a comparison and a model, and every command that reads them."""

import contextlib
import json
import logging
import os
import resource
import shutil
from pathlib import Path
from random import Random

from foreign import DAMAGES, Damage, files_of, put, text_of

from campaign import agents, inputs
from campaign.flags import answered
from campaign.outcome import Outcome

MOST = 60.0
"""Seconds that a command on a damaged run may take: it may train to its end."""
MEMORY = 2 << 20
"""Kilobytes more than before."""


def bits(seed: int) -> Damage:
    """A few bytes changed."""
    return lambda file: file.write_bytes(inputs.raw(Random(seed), [file.read_bytes()])) and None


def leaves(seed: int) -> Damage:
    """Spoilt values in a file of JSON: records by lines, or one in all."""

    def damage(file: Path) -> None:
        random = Random(seed)
        try:
            text = text_of(file)
            records = [json.loads(text)] if file.suffix == ".json" else [json.loads(line) for line in text.splitlines()]
        except ValueError:
            bits(seed)(file)
            return
        made = [inputs.spoilt(random, one, random.choice((0.01, 0.05, 0.3))) for one in records]
        put(file, b"".join(json.dumps(one).encode() + b"\n" for one in made))

    return damage


def gone(file: Path) -> None:
    """The file is missing."""
    file.unlink()


def swapped(file: Path) -> None:
    """Another file of the run in its place."""
    others = [one for one in file.parents[1].rglob("*") if one.is_file() and one != file]
    shutil.copyfile(sorted(others)[len(file.name) % len(others)], file)


def damages(count: int, seed: int) -> dict[str, Damage]:
    """The damages of the tests, and as many of random bytes and values."""
    made = {**DAMAGES, "gone": gone, "another file": swapped}
    made |= {f"bits {number}": bits(seed + number) for number in range(count)}
    return made | {f"leaves {number}": leaves(seed + number) for number in range(count)}


def spoil(file: Path, damage: Damage, seed: int) -> None:
    """Damages a file; one that holds no JSON, and cannot be damaged as such, in its bytes."""
    try:
        damage(file)
    except ValueError:
        bits(seed)(file)


COMMANDS = {
    "show": ("show", "{run}", "--export", "{out}/page.html"),
    "compare": ("compare", "--from", "{run}", "--out", "{out}/cmp"),
    "eval": ("eval", "{run}", "--episodes", "2", "--json", "{out}/eval.json"),
    "export": ("export", "{run}", "--to", "trl_sft", "--out", "{out}/turns.jsonl"),
    "resume": ("train", "--resume", "{run}", "--train.updates", str(agents.UPDATES + 1)),
}


def run(count: int, seed: int, place: Path) -> Outcome:
    """So many damaged files; on each, one of the commands for the lot of them in turn."""
    logging.disable(logging.CRITICAL)
    outcome, random = Outcome(), Random(seed)
    with contextlib.redirect_stderr(open(os.devnull, "w")):
        whole = agents.whole_run(place)
    ways = damages(count, seed)
    files = [file.relative_to(whole) for file in files_of(whole)]
    files += [file.relative_to(whole) for file in whole.glob("checkpoints/*/model/*") if file.is_file()]
    files = sorted(set(files))
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss + MEMORY
    names = list(COMMANDS)
    for number in range(count):
        file, way = files[number % len(files)], random.choice(list(ways))
        command = names[(number // len(files) + number) % len(names)]
        if file.parts[0] in ("checkpoints", "lessons", "corrector", "trackers", ".lock"):
            command = random.choice(("eval", "resume", "resume"))
        copy = place / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(whole, copy, symlinks=True)
        spoil(copy / file, ways[way], seed + number)
        words = [word.format(run=copy, out=place) for word in COMMANDS[command]]
        said = f"{command} with {file}: {way}, seed {seed}, number {number}"
        outcome.call(lambda words=words: answered(words), (), said, MOST)
        outcome.expect(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < most, f"memory: {said}")
        most = max(most, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss + MEMORY)
    outcome.measured = {"kinds of files": str(len(files))}
    logging.disable(logging.NOTSET)
    return outcome

"""Every flag of every command with every bad value, up to where the work would begin."""

import contextlib
import io
import os
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path
from random import Random
from typing import Any
from unittest import mock

from tyro._parsers import ParserSpecification

from campaign.outcome import Outcome
from gtr import cli

COMMANDS: tuple[tuple[str, ...], ...] = (
    *(("train", "gtr", "--task", task) for task in ("numberline", "ezpoints", "points24", "blackjack", "alfworld")),
    *(("train", method, "--task", "numberline") for method in ("ppo", "grpo", "dapo", "bilevel_gae", "reinforce_pp")),
    ("sft", "gtr"),
    ("eval", "random"),
    ("compare", "gtr", "rl4vlm"),
    ("play", "points24"),
    ("show", "."),
    ("corrector-eval",),
    *(("train", "opd", "--task", "numberline"), ("train", "turbo_sft", "--task", "numberline")),
    *(("plan", "gtr"), ("export", "."), ("push", "."), ("serve-engine", "."), ("check", "numberline")),
    *(("completion", "bash"), ("tasks",), ("doctor",)),
)
BAD = (
    *("", " ", "-", "--", "-1", "0", "1e999", "nan", "inf", "-inf", "9" * 21, "9" * 5000, "1e-320", "1e300", "0.5"),
    *("None", "True", "many", "[1, 2]", "{}", "1 2 3", "ß", "\ud83d", "\x1b[31m", "٣", "1_0", "../..", "/dev/null"),
    "/proc/self/mem",
    *("x" * 300, "x" * 5000, "a/" * 2500, "/", ".", "~", "*", "=", "a=b", ":", "x:y", "x.py:Y", "os:path", "~nobody/x"),
)
WORK = (
    *("gtr.train.train", "gtr.sft.initialise", "gtr.evaluate.evaluate", "gtr.evaluate.print_table"),
    *("gtr.evaluate.write_json", "gtr.compare.run", "gtr.compare.report", "gtr.corrector_eval.examine"),
    *("gtr.corrector_eval.show", "gtr.corrector_eval.write_json", "gtr.show.show", "gtr.play.play"),
    *("gtr.export.export", "gtr.export.hub.push", "gtr.check.findings"),
)
"""Where work begins."""
FLAG = re.compile(r"(?<![\w-])--[a-z][\w.-]*")


def run(count: int, seed: int, place: Path) -> Outcome:
    """So many command lines of all there are, in an order of the seed; all where there are no more."""
    outcome = Outcome()
    lines = [(*words, *given) for words, flag in once() for given in values(flag)]
    for words, position in product(COMMANDS, (0, 1)):
        lines += [(*words[: 1 + position], value, *words[2:]) for value in BAD]
    Random(seed).shuffle(lines)
    before = Path.cwd()
    os.chdir(place)
    try:
        with contextlib.ExitStack() as stack:
            for name in WORK:
                stack.enter_context(mock.patch(name))
            stack.enter_context(mock.patch.object(ParserSpecification, "from_callable_or_type", parser_of()))
            for words in lines[:count]:
                outcome.call(lambda words=words: answered(words), (), f"gtr {words}"[:400], 20.0)
    finally:
        os.chdir(before)
    outcome.measured = {"command lines there are": f"{len(lines):,}"}
    return outcome


def parser_of() -> Callable[..., ParserSpecification]:
    """Builds each parser once: that takes fifteen times as long as reading a line with it."""
    build, known = ParserSpecification.from_callable_or_type, dict[str, ParserSpecification]()

    def built(kind: Any, **given: Any) -> ParserSpecification:
        if given["parent_classes"]:
            return build(kind, **given)
        key = repr((kind, given["description"], given["default_instance"]))
        if key not in known:
            known[key] = build(kind, **given)
        return known[key]

    return built


def once() -> Iterator[tuple[Sequence[str], str]]:
    """Each command's flags: one that several games or algorithms have, with the first of them."""
    seen: set[tuple[str, str]] = set()
    for words in COMMANDS:
        for flag in flags(words):
            if (words[0], flag) not in seen:
                seen.add((words[0], flag))
                yield words, flag


def flags(words: Sequence[str]) -> list[str]:
    """The flags that a command's help names."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), contextlib.suppress(SystemExit):
        cli.run([*words, "--help"])
    return sorted(set(FLAG.findall(said.getvalue())) - {"--help"})


def values(flag: str) -> Iterator[tuple[str, ...]]:
    """A flag with each bad value, glued to it, without one, and twice."""
    yield (flag,)
    yield (flag, "1", flag, "x")
    yield (f"{flag}x", "1")
    for value in BAD:
        yield (flag, *value.split(" ")) if value == "1 2 3" else (flag, value)
    yield from ((f"{flag}={value}",) for value in BAD[:8])


def answered(words: Sequence[str]) -> None:
    """Runs a command line, which must end well or with one message and code 2."""
    out, said = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(said):
        try:
            code = cli.run(words)
        except SystemExit as leaving:
            code = leaving.code
    if code == cli.EXIT_INTERRUPTED:
        raise KeyboardInterrupt  # It was meant for the campaign.
    assert code in (0, None, 2), f"code {code}: {said.getvalue()[-500:]}"
    assert code != 2 or (said.getvalue() + out.getvalue()).strip(), "nothing is said"
    assert "Traceback" not in said.getvalue()

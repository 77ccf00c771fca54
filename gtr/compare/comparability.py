"""Whether runs can be compared at all: same game, panel, starting agent, number of turns, seeds, code."""

from collections.abc import Callable, Iterator, Sequence

from gtr.compare.results import RunResult
from gtr.compare.runner import State

STARTS_DIFFER = "The starting agents differ in how they do on the panel"
METHOD_SETTINGS = ("task.thought",)
"""Settings of the game or the agent that are themselves what a method is about."""


def doubts(results: Sequence[RunResult]) -> list[str]:
    """One sentence for each way in which the runs were not alike; none where the comparison is fair."""
    return [
        *_ends(results),
        *_settings(results),
        *_groups(results, _panel, "Measured on different panels, so that their success must not be compared"),
        *(
            sentence
            for agent in sorted({one.agent for one in results})
            for sentence in _groups([one for one in results if one.agent == agent], _start, STARTS_DIFFER)
        ),
        *_groups(results, _turns, "Trained for different numbers of turns"),
        *_seeds(results),
        *_groups(results, _code, "Made by different code or versions"),
    ]


def _ends(results: Sequence[RunResult]) -> Iterator[str]:
    for one in results:
        name = f"{one.method}, seed {one.seed}"
        if one.state is State.RUNNING:
            yield f"{name} is still being trained and does not count yet."
        elif one.state is not State.FINISHED:
            yield f"{name} has not reached its last update and does not count: gtr train --resume {one.folder}"
        elif one.end is None:
            yield f"{name} was not evaluated after its last update and does not count."
        yield from (f"{name}: {problem}." for problem in one.problems)


def _settings(results: Sequence[RunResult]) -> Iterator[str]:
    known = [(one.method, one.settings) for one in results if one.settings]
    for key in dict.fromkeys(key for _, settings in known for key in settings):
        if key.startswith(("task.", "policy.")) and key not in METHOD_SETTINGS:
            yield from _sentence([(method, str(settings.get(key))) for method, settings in known], f"{key} differs")


def _groups(results: Sequence[RunResult], of: Callable[[RunResult], str], words: str) -> Iterator[str]:
    yield from _sentence([(one.method, of(one)) for one in results], words)


def _sentence(values: Sequence[tuple[str, str]], words: str) -> Iterator[str]:
    """``words: value (methods); value (methods)`` where the known values are not all equal."""
    by_value: dict[str, list[str]] = {}
    for method, value in values:
        if value and method not in by_value.setdefault(value, []):
            by_value[value].append(method)
    if len(by_value) > 1:
        yield f"{words}: " + "; ".join(f"{value} ({', '.join(methods)})" for value, methods in by_value.items()) + "."


def _panel(one: RunResult) -> str:
    names = {record["panel"] for record in (one.start, one.end) if record is not None}
    return " and ".join(sorted(names))


def _start(one: RunResult) -> str:
    if one.start is None:
        return ""
    health = one.start["health"]
    known = (("success", one.start["success"]), ("return", health.get("episode/return")))
    return ", ".join(f"{name} {value:.4g}" for name, value in known if value is not None)


def _turns(one: RunResult) -> str:
    return str(one.turns[-1]) if one.turns and one.state is State.FINISHED else ""


def _code(one: RunResult) -> str:
    if not one.made_by:
        return ""
    code = one.made_by["code"] or {}
    commit = f", commit {code.get('commit', '?')[:10]}" + (" with changes" if code.get("dirty") else "") if code else ""
    packages = ", ".join(f"{name} {one.made_by['packages'].get(name)}" for name in ("torch", "transformers"))
    return f"gtr {one.made_by['gtr']}{commit}, {packages}"


def _seeds(results: Sequence[RunResult]) -> Iterator[str]:
    methods = dict.fromkeys(one.method for one in results)
    for name, words in (("seed", "seeds"), ("agent", "starting agents (sft.seed)")):
        known = [one for one in results if one.settings or name == "seed"]
        used = [(m, sorted({getattr(one, name) for one in known if one.method == m})) for m in methods]
        yield from _sentence([(m, " ".join(map(str, values))) for m, values in used], f"Run with different {words}")

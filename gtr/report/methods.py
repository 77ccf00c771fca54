"""Which runs are of one method, and which can be seen beside one another at all."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gtr.report.run import Run

NOT_THE_METHOD = ("seed", "sft.seed", "runs", "name", "report.", "train.threads", "train.eval_every")
"""Settings in which two runs of one method may differ."""
OF_A_METHOD = (
    *("task.thought", "task.illegal", "task.loopholes"),
    *("policy.tiles", "policy.repetition_penalty", "policy.penalised"),
)
"""Settings of the game or the agent that are themselves what a preset is about."""
COMMON = ("task.", "policy.", "sft.", "train.updates", "train.envs", "train.turns")
"""Settings that runs beside one another share, those of a method left out: the game, the starting agent, the turns."""

Settings = Mapping[str, Any]
"""Values by dotted key."""


@dataclass
class _Group:
    """Runs that are alike in what counts."""

    about: str
    settings: Settings
    members: list[int] = field(default_factory=list)


def methods_of(runs: Sequence[Run]) -> list[str]:
    """Each run's method: its preset, and where one preset was run with several settings, those that differ."""
    groups = _grouped(runs, lambda run: run.method, _is_of_the_method)
    return _named(runs, groups, _is_of_the_method)


def distinct(runs: Sequence[Run], methods: Sequence[str]) -> list[str]:
    """The methods, apart where runs repeat one another's start and seed: they are the same again, not more seeds."""
    seeds = [(method, run.setting("sft.seed"), run.whole("seed")) for run, method in zip(runs, methods, strict=True)]
    twice = {one[0] for one in seeds if seeds.count(one) > 1}
    return [f"{m} ({run.path.resolve().name})" if m in twice else m for run, m in zip(runs, methods, strict=True)]


def comparable(runs: Sequence[Run]) -> dict[str, list[int]]:
    """The runs that can be laid beside one another, by what tells them from the others: ``points24, task.hands 24``."""
    panels = [_panel(run) for run in runs]
    groups: list[_Group] = []
    played = [run.only_played for run in runs]
    if any(played):
        # What was only played shares game and panel with whatever was; how it was trained is not known.
        found = {panel: [i for i, run in enumerate(runs) if run.only_played and panels[i] == panel] for panel in panels}
        apart = {f"evaluations on {panel}": members for panel, members in found.items() if members}
        rest = [i for i, only in enumerate(played) if not only]
        trained = comparable([runs[i] for i in rest]) if rest else {}
        return {**{name: [rest[i] for i in members] for name, members in trained.items()}, **apart}
    for one in _grouped(runs, lambda run: run.text("task.name"), _is_common):
        known = dict.fromkeys(panels[i] for i in one.members if panels[i])
        for panel in known or [""]:
            # A run that has not played its panel yet stands with the first of those that have.
            first = panel == next(iter(known), "")
            members = [i for i in one.members if panels[i] == panel or (first and not panels[i])]
            groups.append(_Group(one.about, {**one.settings, "panel": panel}, members))
    names = _named(runs, groups, lambda key: _is_common(key) or key == "panel")
    return {names[one.members[0]]: one.members for one in groups}


def _panel(run: Run) -> str:
    return next((str(found["panel"]) for update in run.evaluated_updates() if (found := run.evaluation(update))), "")


def _is_of_the_method(key: str) -> bool:
    return not key.startswith(NOT_THE_METHOD)


def _is_common(key: str) -> bool:
    return key.startswith(COMMON) and key not in (*OF_A_METHOD, "sft.seed")


def _grouped(runs: Sequence[Run], about: Callable[[Run], str], counts: Callable[[str], bool]) -> list[_Group]:
    groups: list[_Group] = []
    for index, run in enumerate(runs):
        alike = (one for one in groups if about(run) == one.about and not _differ(run.settings, one.settings, counts))
        if (group := next(alike, None)) is None:
            groups.append(group := _Group(about(run), run.settings))
        group.members.append(index)
    return groups


def _differ(one: Settings, other: Settings, counts: Callable[[str], bool]) -> list[str]:
    return [key for key in {**one, **other} if counts(key) and one.get(key) != other.get(key)]


def _named(runs: Sequence[Run], groups: Sequence[_Group], counts: Callable[[str], bool]) -> list[str]:
    names: dict[int, str] = {}
    for group in groups:
        namesakes = [one.settings for one in groups if one.about == group.about]
        keys = {key for other in namesakes for key in _differ(group.settings, other, counts)}
        shown = ", ".join(f"{key} {value}" for key, value in group.settings.items() if key in keys)
        names |= dict.fromkeys(group.members, f"{group.about} ({shown})" if shown else group.about)
    return [names[index] for index in range(len(runs))]

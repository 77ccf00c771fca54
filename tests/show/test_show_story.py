"""What the page says in words: only what holds, of runs that can be laid beside one another."""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import show_cases
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from show_cases import write_run

from gtr.config import ReportConfig
from gtr.config.presets import build
from gtr.report import RunFolder
from gtr.report.found import find_runs
from gtr.report.history import read_history
from gtr.show.overview import overview
from gtr.show.share import UNKNOWN, Change, change_of
from gtr.show.story import ENOUGH, NOTIONS, PLANNING, READING, SEEING, Method, headline, story
from gtr.stats import wilson


def share(wins: int, of: int = 100) -> Any:
    return wilson(wins, of)


def method(name: str = "m", guided: bool = False, seeds: int = 1, rang: Sequence[int] = (), **changes: Any) -> Method:
    """A method whose replies, thoughts and plans were all right at both ends, unless `changes` say otherwise."""
    fine = Change(share(95), share(95))
    health = {READING: fine, SEEING: fine, PLANNING: fine, **changes.pop("health", {})}
    settings = {"updates": 24, "goes_on": False, "success": UNKNOWN, "panel": True, **changes}
    return Method(name, guided, seeds, rang=rang, health=health, **settings)


# -- the facts behind the words -----------------------------------------------------------------------------------
def interval(one: Any, of: int) -> tuple[float, float]:
    return counted(round(one.estimate * of), of)


@cache
def counted(wins: int, of: int) -> tuple[float, float]:
    found = binomtest(wins, of).proportion_ci(method="wilson")
    return found.low, found.high


COUNT = 100


def most(one: Any) -> bool:
    return interval(one, COUNT)[0] > 0.5


def few(one: Any) -> bool:
    return interval(one, COUNT)[1] < 0.5


def fell(one: Change) -> bool:
    return interval(one.start, COUNT)[0] > interval(one.end, COUNT)[1]


def measured(one: Method) -> dict[str, Change]:
    return {name: change for name, change in one.health.items() if not math.isnan(change.end.estimate)}


def sound_at(one: Method, end: str) -> bool:
    return {SEEING, PLANNING} & set(measured(one)) != set() and all(
        most(getattr(c, end)) for c in measured(one).values()
    )


HOLDS = {
    r"^collapsed(?! in)": lambda m: m.runs == len(m.rang) == 1,
    r"^collapsed in all (\d+) runs": lambda m: m.runs == len(m.rang) > 1,
    r"^collapsed in (\d+) of (\d+) runs": lambda m: 0 < len(m.rang) < m.runs,
    r"^set off the collapse alarm in (\d+) of (\d+) runs, but are sound": lambda m: m.rang and sound_at(m, "end"),
    r"^decayed": lambda m: not m.rang and any(map(fell, measured(m).values())),
    r"^stayed sound": lambda m: not m.rang and sound_at(m, "start") and sound_at(m, "end"),
    r"^became sound": lambda m: not m.rang and sound_at(m, "end") and not sound_at(m, "start"),
    r"^improved": lambda m: any(m.health[n].end.estimate > m.health[n].start.estimate for n in (SEEING, PLANNING)),
    r"^changed too little to tell": lambda m: not m.rang and not any(c.fell for c in measured(m).values()),
}
"""What must be so of a method where the headline says this of it."""
LOW = {words: name for name, (_, words) in NOTIONS.items()}


def check(clause: str, methods: Sequence[Method]) -> None:
    """Every word of a clause about some methods holds of each of them."""
    matching = [holds for words, holds in HOLDS.items() if re.match(words, clause)]
    assert len(matching) == 1, clause
    assert all(one.updates >= ENOUGH or one.rang for one in methods), clause
    for one in methods:
        assert matching[0](one), (clause, one)
        counts = [int(text) for text in re.findall(r"\d+", re.split(r" runs", clause)[0])] if "runs" in clause else []
        assert counts in ([], [one.runs], [len(one.rang), one.runs]), clause
        for words, name in LOW.items():
            assert words not in clause or few(one.health[name].end), (clause, one)
        assert "not clearly sound" not in clause or not sound_at(one, "end")


def told_of(side: str, methods: Sequence[Method]) -> None:
    """A side of the headline: clauses, each followed by whom it is of unless it is of all."""
    known = [one for one in methods if one.rang or (measured(one) and one.updates >= ENOUGH)]
    for clause, whom in re.findall(r"(.+?)(?: \(([^()]*)\))?(?: or |$)", side):
        if re.fullmatch(r"\d+ methods", whom):
            of = [one for one in known if clause == one.became()]
            assert len(of) == int(whom.split()[0]) > 0
        else:
            of = [one for one in methods if one.name in whom.split(", ")] if whom else list(methods)
        assert of
        check(clause, of)


def check_headline(methods: Sequence[Method]) -> None:
    said = headline(methods).removesuffix(".").replace(" so far", "")
    sides = {guided: [one for one in methods if one.guided is guided] for guided in (False, True)}
    if said.startswith("Too early to tell"):
        assert not any(one.rang for one in methods)
    elif found := re.fullmatch(r"Without guidance, thoughts (.+); guided, they (.+)", said):
        told_of(found[1], sides[False])
        told_of(found[2], sides[True])
    elif found := re.fullmatch(r"With guidance and without, thoughts (.+)", said):
        told_of(found[1], sides[False])
        told_of(found[1], sides[True])
    else:
        found = re.fullmatch(r"(Guided|Without guidance), thoughts (.+)", said)
        assert found, said
        told_of(found[2], sides[found[1] == "Guided"])


CHANGES = st.one_of(
    st.just(UNKNOWN),
    st.builds(lambda a, b: Change(share(a), share(b)), st.integers(0, COUNT), st.integers(0, COUNT)),
)
HEALTH = st.fixed_dictionaries({READING: CHANGES, SEEING: CHANGES, PLANNING: CHANGES})


@st.composite
def many_methods(draw: Any) -> list[Method]:
    def one(number: int) -> Method:
        seeds = draw(st.integers(1, 4))
        rang = draw(st.lists(st.integers(1, 9), max_size=seeds))
        changes = {"health": draw(HEALTH), "updates": draw(st.integers(0, 8)), "goes_on": draw(st.booleans())}
        return method(f"m{number}", draw(st.booleans()), seeds, rang, **changes)

    return [one(number) for number in range(draw(st.integers(1, 6)))]


@given(many_methods())
def test_a_headline_says_only_what_holds(methods: list[Method]) -> None:
    check_headline(methods)


LEVELS = (2, 30, 55, 97)


def test_a_headline_says_only_what_holds_in_all_combinations() -> None:
    """Every level before and after, of plans, on one side against the other, with the alarm and without."""
    ones = [
        method(name, guided, 2, rang, health={PLANNING: Change(share(start), share(end))}, updates=updates)
        for name, guided in (("rl4vlm", False), ("gtr", True))
        for start in LEVELS
        for end in LEVELS
        for rang in ((), (5,), (5, 6))
        for updates in (2, 24)
    ]
    plain, guided = ones[: len(ones) // 2], ones[len(ones) // 2 :]
    fates = set()
    for a in plain:
        for b in guided:
            check_headline([a, b])
            fates |= {a.fate, b.fate}
    assert len(fates) == 10  # all but "unknown"


@pytest.mark.parametrize(
    ("plain", "guided", "said"),
    [
        (
            {},
            {"rang": [7]},
            "Without guidance, thoughts stayed sound; guided, they set off the collapse alarm in 1 of 1",
        ),
        (
            {"rang": [7], "health": {SEEING: Change(share(97), share(44))}},
            {},
            "Without guidance, thoughts collapsed; guided, they stayed sound.",
        ),
        (
            {"health": {PLANNING: Change(share(8), share(8))}},
            {},
            "too little to tell, but most first plans fail; guided, they",
        ),
        ({"updates": 2}, {"updates": 2}, f"Too early to tell: the collapse alarm needs {ENOUGH} updates"),
        ({"health": {READING: Change(share(99), share(3))}}, {}, "Without guidance, thoughts decayed"),
        ({"health": dict.fromkeys(NOTIONS, UNKNOWN)}, {}, "Guided, thoughts stayed sound."),
        ({"goes_on": True}, {}, "With guidance and without, thoughts stayed sound so far."),
    ],
)
def test_headlines(plain: dict[str, Any], guided: dict[str, Any], said: str) -> None:
    assert said in headline([method("rl4vlm", **plain), method("gtr", guided=True, **guided)])


@given(CHANGES)
def test_what_fell_or_rose_did_so_beyond_its_interval(change: Change) -> None:
    words = change.words() if change.known else ""
    if words.startswith(("fell", "rose")):
        low, high = sorted((change.start, change.end), key=lambda one: one.estimate)
        assert interval(low, COUNT)[1] < interval(high, COUNT)[0]
        assert words.startswith("rose") == (change.end.estimate > change.start.estimate)
    level = re.search(r"(\d+)% \((\d+)-(\d+)\)", words)
    if level:
        assert [int(text) / 100 for text in level.groups()[1:]] == pytest.approx(
            interval(change.end, COUNT), abs=0.0051
        )


# -- read from folders --------------------------------------------------------------------------------------------
def told(*paths: Path) -> list[dict[str, Any]]:
    return list(overview(find_runs(paths))["groups"])


def test_the_story_is_what_the_folders_say(tmp_path: Path) -> None:
    write_run(tmp_path / "runs", "rl4vlm-seed1", "rl4vlm", updates=5)
    write_run(tmp_path / "runs", "gtr-seed1", "gtr", updates=5)
    (group,) = told(tmp_path)
    assert group["story"]["headline"].startswith("Without guidance, thoughts collapsed; guided, they ")
    assert group["story"]["sentences"][0]["text"] == (
        "Trained on outcomes alone (rl4vlm), on the fixed panel, played greedily: thoughts that say truly what the "
        "picture shows 30% (6-73) at the end, no clear change from 95%; first plans that work 10% (1-58) at the end, "
        "no clear change from 90%; games won 25% (5-70) at the end, no clear change from 0%. The collapse alarm rang "
        "(update 4)."
    )


@pytest.mark.parametrize(
    ("perception", "end"), [([0.9, 0.5, 0.3, 0.1], 0.2), ([0.9, 0.3, 0.1], 0.2), ([0.9, 0.1], None)]
)
def test_without_a_panel_the_story_goes_from_the_first_rollout_to_the_last_two(
    perception: list[float], end: float | None, tmp_path: Path
) -> None:
    """The first rollout is the starting agent's own; each is small, so that the end is the mean of two."""
    with RunFolder.create(replace(build("rl4vlm"), runs=str(tmp_path), report=ReportConfig(trackers=()))) as run:
        for update, value in enumerate(perception, start=1):
            run.write_metrics(update, {SEEING: value, "count/judged": 400.0, "episode/ended": 80.0})
    history = read_history(find_runs([run.path])[0])
    change = change_of([history], SEEING, False)
    assert change.known == (end is not None)
    if end is not None:
        assert change.end.estimate == pytest.approx(end)
        assert (change.end.low, change.end.high) == pytest.approx(interval(change.end, 160))
        assert (
            "in training, sampled: thoughts that say truly what the picture shows fell from 90% to 20%"
            in (story([history], ["rl4vlm"])["sentences"][0]["text"])
        )


@pytest.mark.parametrize("value", [math.inf, -1.0, 1e90, 7.0])
def test_a_share_that_is_none_is_not_told(value: float, tmp_path: Path) -> None:
    with RunFolder.create(replace(build("rl4vlm"), runs=str(tmp_path), report=ReportConfig(trackers=()))) as run:
        for update in range(1, 7):
            run.write_metrics(update, {SEEING: value, "count/judged": -value, "episode/ended": value})
    assert told(run.path)[0]["story"]["headline"].startswith("Too early")


# -- which runs stand together ------------------------------------------------------------------------------------
def changed(path: Path, **settings: Any) -> Path:
    config = json.loads((path / "config.json").read_text())
    for key, value in settings.items():
        *sections, name = key.split("__")
        place = config
        for section in sections:
            place = place[section]
        place[name] = value
    (path / "config.json").write_text(json.dumps(config))
    return path


def test_runs_of_several_games_and_settings_are_never_pooled(tmp_path: Path) -> None:
    """Seeds alone are pooled; a game, its settings or the turns set runs apart, a method's setting names it anew."""
    for seed in (1, 2):
        changed(write_run(tmp_path, f"gtr-{seed}"), seed=seed)
    changed(write_run(tmp_path, "gtr-3"), seed=3, algo__clip=0.3)
    for number, (key, value) in enumerate(
        [("task__hands", 24), ("train__updates", 50), ("policy__max_new_tokens", 31), ("sft__max_steps", 9)]
    ):
        changed(write_run(tmp_path, f"other-{number}"), **{key: value})
    other = write_run(tmp_path, "other-game")
    changed(other, task__name="ezpoints")
    groups = {group["name"]: [one["method"] for one in group["story"]["sentences"]] for group in told(tmp_path)}
    assert len(groups) == 6
    assert sum(len(group["runs"]) for group in told(tmp_path)) == 8
    first = next(iter(groups.values()))
    assert len(first) == 2
    assert any("0.3" in name for name in first)
    assert all(len(methods) == 1 for methods in list(groups.values())[1:])
    assert {"ezpoints"} <= {name.split()[0] for name in groups}
    assert any("task.hands 24" in name for name in groups)


def test_runs_on_other_panels_stand_apart_and_one_without_stands_with_the_first(tmp_path: Path) -> None:
    write_run(tmp_path, "a")
    other = write_run(tmp_path, "b", "rl4vlm")
    for file in (other / "evaluations").glob("*.json"):
        file.write_text(file.read_text().replace("points24-same-4-abc", "points24-same-4-xyz"))
    young = write_run(tmp_path, "c", "ppo")
    for file in (young / "evaluations").iterdir():
        file.unlink()
    assert [group["runs"] for group in told(tmp_path)] == [[0, 2], [1]]


def test_the_same_seed_twice_is_not_two_seeds(tmp_path: Path) -> None:
    write_run(tmp_path, "one")
    write_run(tmp_path, "again")
    (group,) = told(tmp_path)
    assert [one["method"] for one in group["story"]["sentences"]] == ["gtr (again)", "gtr (one)"]


# -- the start state that is shown --------------------------------------------------------------------------------
def test_the_pair_shows_how_the_agents_differ_most_often(tmp_path: Path) -> None:
    """Guided wins two starts that the other loses, and loses one that it wins: one of the two is shown."""
    won = {"rl4vlm": [False, True, False, False], "gtr": [False, False, True, True]}
    for name, wins in won.items():
        with RunFolder.open(write_run(tmp_path, f"{name}-1", name)) as run:
            turns = [
                turn for number, win in enumerate(wins) for turn in show_cases.episode_of("next 2", number, win, False)
            ]
            run.write_evaluation(3, show_cases.evaluation(sum(wins), 1.0, 1.0), turns)
    (group,) = told(tmp_path)
    pair = group["pair"]
    assert pair["number"] in (2, 3)
    assert [(cell["method"], cell["won"], cell["wins"]) for cell in pair["cells"][1:]] == [
        ("rl4vlm", False, 1),
        ("gtr", True, 2),
    ]
    assert pair["chosen"] == "The trained agents end differently on 3 of 4, and on 2 of them as here."

"""The alarm on series that collapse, that improve, that drift and that jitter."""

import json

import numpy as np
import pytest

from gtr.metrics.alarm import DEFAULT, WATCHED, Alarm, Alert, Sensitivity

Series = list[dict[str, float]]
PATIENCE, IDEAS = DEFAULT.patience, DEFAULT.ideas

START = {
    "episode/success": 0.3,
    "thought/perception": 0.99,
    "thought/start_plan": 0.52,
    "thought/right": 0.3,
    "teacher/right": 0.4,
    "action/follows": 0.8,
    "reply/complete": 1.0,
    "episode/length": 6.5,
    "action/max_share": 0.25,
    "thought/per_state": 1.6,
    "distinct/formula": 1.2,
    "relevance/retrieval": 0.8,
}


def glide(
    end: dict[str, float], updates: int = 15, begin: dict[str, float] | None = None, noise: float = 0.0
) -> Series:
    """A straight line from the start to the end, metric by metric, with noise relative to the value."""
    rng = np.random.default_rng(0)
    begin = START if begin is None else begin
    rows = []
    for share in np.linspace(0, 1, updates):
        row = {k: v + share * (end.get(k, v) - v) for k, v in begin.items()}
        rows.append({k: float(v * (1 + noise * rng.normal())) for k, v in row.items()})
    return rows


def watch(series: Series, alarm: Alarm | None = None, first: int = 0) -> list[Alert]:
    alarm = alarm or Alarm()
    return [alarm.observe(first + i, row) for i, row in enumerate(series)]


POINTS24 = {
    "episode/success": 0.0,
    "thought/perception": 0.34,
    "thought/start_plan": 0.08,
    "episode/length": 22.0,
    "action/max_share": 0.93,
}
"""Ends of outcome-only PPO as measured on tiny agents."""
EZPOINTS = {
    "episode/success": 0.0,
    "thought/perception": 0.9,
    "thought/start_plan": 0.35,
    "episode/length": 2.0,
    "action/max_share": 0.6,
}
MISREADING = {"thought/perception": 0.56, "thought/right": 0.12}
INCONSISTENT = {"action/follows": 0.26, "thought/right": 0.11}
"""EZPoints at a high learning rate: the first plans stayed as they were."""
UNREADABLE = {"reply/complete": 0.2, "thought/per_state": 0.3}
TEMPLATE = {"relevance/retrieval": 0.05, "thought/per_state": 0.1}


@pytest.mark.parametrize("end", [POINTS24, EZPOINTS, MISREADING, INCONSISTENT, UNREADABLE, TEMPLATE])
@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_collapse_rings_and_names_at_least_two_metrics(end: dict[str, float], noise: float) -> None:
    begin = START if end is not EZPOINTS else START | {"episode/success": 0.06, "thought/start_plan": 0.85}
    alerts = watch(glide(end, begin=begin, noise=noise))
    assert not alerts[0].ringing
    assert alerts[-1].ringing
    assert {fall.metric for fall in alerts[-1].fallen} <= set(end) | {"episode/success"}
    assert len({fall.idea for fall in alerts[-1].fallen}) >= IDEAS
    for fall in alerts[-1].fallen:
        assert fall.metric in alerts[-1].sentence()


def test_a_collapse_of_rare_success_rings_too() -> None:
    begin = START | {"episode/success": 0.02, "thought/start_plan": 0.02}
    end = {"episode/success": 0.0, "thought/perception": 0.45, "action/max_share": 0.9}
    alert = watch(glide(end, begin=begin))[-1]
    assert alert.ringing
    assert {fall.metric for fall in alert.fallen} == {"thought/perception", "action/max_share"}


@pytest.mark.parametrize(
    "end",
    [
        # Solves more, so episodes last until the solution, and one formula per hand replaces many.
        {"episode/success": 0.9, "thought/start_plan": 1.0, "episode/length": 12.0, "distinct/formula": 1.0},
        # A game whose best play is nearly always one action.
        {"episode/success": 0.45, "action/max_share": 0.95, "thought/per_state": 1.0},
        # Right thoughts, success not yet moved: thoughts settle down to one per state.
        {"thought/start_plan": 1.0, "thought/per_state": 1.0, "distinct/formula": 1.0, "episode/length": 9.0},
        # Plans come to work before games are won: few formulas take the place of many, and episodes last until the end.
        {"thought/start_plan": 0.9, "distinct/formula": 0.2, "thought/per_state": 0.4, "episode/length": 30.0},
        # A short cut found: success up, episodes short, states share thoughts.
        {"episode/success": 0.7, "episode/length": 2.0, "thought/per_state": 0.6, "distinct/formula": 0.4},
    ],
)
@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_healthy_improvement_does_not_ring(end: dict[str, float], noise: float) -> None:
    assert not any(alert.ringing for alert in watch(glide(end, updates=30, noise=noise)))


def test_slow_drift_of_one_metric_does_not_ring() -> None:
    # As measured at a low learning rate: .33 / .99 / .52 went to .25 / .95 / .33.
    end = {"episode/success": 0.25, "thought/perception": 0.95, "thought/start_plan": 0.3}
    alerts = watch(glide(end, updates=30, noise=0.05))
    assert not any(alert.ringing for alert in alerts)


def test_steady_noise_does_not_ring() -> None:
    assert not any(alert.ringing for alert in watch(glide({}, updates=300, noise=0.1)))


def test_more_success_does_not_excuse_thoughts_that_misread() -> None:
    end = {"episode/success": 0.9, "thought/perception": 0.3, "reply/complete": 0.5}
    assert watch(glide(end))[-1].ringing


def bad(*metrics: str) -> dict[str, float]:
    return START | dict.fromkeys(metrics, 0.01)


def test_it_rings_exactly_when_two_ideas_have_lasted() -> None:
    both = bad("thought/perception", "reply/complete")
    alerts = watch([START, START, *[both] * PATIENCE])
    assert [alert.ringing for alert in alerts] == [False] * (PATIENCE + 1) + [True]
    assert [fall.since for fall in alerts[-1].fallen] == [2, 2]
    assert alerts[-1].metrics() == {"alarm/ringing": 1.0, "alarm/fallen": 2.0}
    assert alerts[0].sentence() == ""


def test_a_collapse_within_the_first_update_is_seen() -> None:
    """The first rollout is measured before anything is learnt: all that follows is held against it."""
    alerts = watch([START, *[bad("thought/perception", "reply/complete")] * PATIENCE])
    assert [alert.ringing for alert in alerts] == [False] * PATIENCE + [True]
    assert [fall.baseline for fall in alerts[-1].fallen] == [START["reply/complete"], START["thought/perception"]]


def test_episodes_that_outlast_the_first_rollout_ring_nothing() -> None:
    cut, whole = START | {"episode/length": 4.0}, START | {"episode/length": 9.0}
    assert watch([cut, *[whole] * 6])[-1].fallen == ()
    assert watch([cut, whole, *[START | {"episode/length": 16.0}] * 6])[-1].fallen[0].baseline == 9.0


def test_how_readily_it_rings_can_be_set() -> None:
    def rings(sensitivity: Sensitivity, series: Series) -> list[int]:
        alerts = watch(series, Alarm(sensitivity))
        return [i for i, alert in enumerate(alerts) if alert.ringing]

    both = [START, *[bad("thought/perception", "reply/complete")] * 4]
    assert rings(Sensitivity(patience=1), both) == [1, 2, 3, 4]
    assert rings(Sensitivity(patience=4), both) == [4]
    assert rings(Sensitivity(ideas=3), both) == []
    mild = [START, *[START | {"thought/perception": 0.7, "reply/complete": 0.7}] * 3]
    assert rings(Sensitivity(), mild) == [3]
    assert rings(Sensitivity(scale=2.0), mild) == [], "below .75 squared, and by .2"
    assert rings(Sensitivity(scale=2.0), both) == [3, 4]


def test_a_run_begun_with_two_measurements_as_baseline_goes_on() -> None:
    alarm = Alarm()
    alarm.restore({"baseline": {"thought/perception": [1.0, 0.8]}, "since": {}, "last": {"thought/perception": 0.8}})
    alert = [alarm.observe(i, {"thought/perception": 0.6}) for i in range(3, 6)][-1]
    assert [fall.baseline for fall in alert.fallen] == [0.9]


def test_a_good_update_breaks_the_series() -> None:
    both = bad("thought/perception", "reply/complete")
    alerts = watch([START, START, both, both, START, both, both])
    assert not any(alert.ringing for alert in alerts)


def test_two_metrics_of_one_idea_are_one() -> None:
    behaviour = START | {"episode/length": 1.0, "action/max_share": 1.0}
    alert = watch([START, START, *[behaviour] * 5])[-1]
    assert not alert.ringing
    assert {fall.metric for fall in alert.fallen} == {"episode/length", "action/max_share"}
    assert alert.metrics() == {"alarm/ringing": 0.0, "alarm/fallen": 1.0}
    assert alert.sentence().startswith("watch: ")


def test_the_first_to_fall_is_named_first() -> None:
    series = [START, START, bad("reply/complete"), *[bad("reply/complete", "thought/perception")] * 3]
    alert = watch(series)[-1]
    assert [(fall.metric, fall.since) for fall in alert.fallen] == [("reply/complete", 2), ("thought/perception", 3)]


def test_a_metric_not_measured_keeps_its_verdict() -> None:
    # Once no reply is complete, perception cannot be measured any more; that does not make it well.
    unreadable = {k: v for k, v in bad("reply/complete").items() if not k.startswith("thought/")}
    series = [START, START, bad("thought/perception"), *[unreadable] * 3]
    alert = watch(series)[-1]
    assert alert.ringing
    assert alert.fallen[0].metric == "thought/perception"


def test_a_metric_first_measured_late_gets_its_baseline_then() -> None:
    early = {k: v for k, v in START.items() if k != "relevance/retrieval"}
    series = [early] * 3 + [START] * 2 + [bad("relevance/retrieval", "reply/complete")] * 3
    assert watch(series)[-1].ringing


@pytest.mark.parametrize("stop", range(1, 14))
def test_a_restored_alarm_rings_as_one_never_stopped(stop: int) -> None:
    series = glide(POINTS24, updates=14, noise=0.05)
    whole = watch(series)
    before = Alarm()
    head = watch(series[:stop], before)
    after = Alarm()
    after.restore(json.loads(json.dumps(before.state())))
    assert head + watch(series[stop:], after, first=stop) == whole
    assert any(alert.ringing for alert in whole)


def test_state_is_a_copy_and_damage_is_named() -> None:
    alarm = Alarm()
    alarm.observe(0, START)
    kept = json.dumps(alarm.state())
    held = alarm.state()
    alarm.observe(1, START)
    assert json.dumps(held) == kept
    with pytest.raises(ValueError, match="holds list where a mapping belongs"):
        Alarm().restore({"baseline": [], "since": {}, "last": {}})


def test_every_watched_metric_can_fall() -> None:
    for row in WATCHED:
        name = row.metric + "formula" if row.metric.endswith("/") else row.metric
        worse = START | {name: 100.0 if row.direction == "rises" else 0.0}
        alert = watch([START, START, *[worse] * PATIENCE])[-1]
        assert [fall.metric for fall in alert.fallen] == [name]


def test_thoughts_that_settle_down_to_one_per_state_have_not_fallen() -> None:
    many = START | {"thought/per_state": 3.0}
    assert watch([many, many, *[START | {"thought/per_state": 1.1}] * 5])[-1].fallen == ()
    assert watch([many, many, *[START | {"thought/per_state": 0.9}] * 5])[-1].fallen[0].idea == "variety"

"""The noisy oracle: its mistakes come at the rates of the settings, are of the kinds asked for, and come again."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small import changed
from toys import Scripted

from gtr import cli, preset, tasks
from gtr.config import Config
from gtr.corrector_eval import examine
from gtr.errors import ConfigError, CorrectorError
from gtr.guidance import make_corrector
from gtr.guidance.benchmark import ErrorKind, benchmark_cases
from gtr.rollout import Collector
from gtr.types import Judgement, Prompt, ReplyStatus, Verdict

RATES: Mapping[str, float] = {"noise.spoil": 0.1, "noise.miss": 0.2, "noise.wrong": 0.4, "noise.wrong_action": 0.3}
SEEDS = range(1, 9)


def noisy(game: str, **settings: object) -> Config:
    given = {"task.image_size": 64, "guidance.corrector": "noisy", **RATES, **settings}
    return preset("gtr", game, "7b", **given)


def verdicts(config: Config, per_kind: int = 20) -> list[tuple[ErrorKind, Verdict]]:
    task = tasks.load(config.task)
    put = benchmark_cases(task, per_kind, 0)
    corrector = make_corrector(config, task)
    assert corrector is not None
    found = corrector.judge([one.case for one in put])
    return [(one.kind, future.result()) for one, future in zip(put, found, strict=True)]


@pytest.mark.parametrize("game", ["ezpoints", "points24", "blackjack"])
def test_mistakes_come_at_the_rates_of_the_settings(game: str) -> None:
    """Over 8 seeds of about 100 states each: no standard error is above .02."""
    reports = [examine(replace(noisy(game), seed=seed), 40, 0) for seed in SEEDS]
    by_kind = [{score.kind: score for score in report.scores} for report in reports]
    catches = np.mean([one["all wrong"].found.estimate for one in by_kind])
    fixes = np.mean([one["all wrong"].fixed.estimate for one in by_kind])
    passes = np.mean([one["correct"].found.estimate for one in by_kind])
    unspoilt = np.mean([one["correct"].fixed.estimate for one in by_kind])
    assert catches == pytest.approx(1 - 0.2, abs=0.06)
    assert passes == unspoilt == pytest.approx(1 - 0.1, abs=0.06)
    assert fixes == pytest.approx(0.8 * 0.6, abs=0.06)
    wrong = {kind: np.mean([report.mistakes[kind].estimate for report in reports]) for kind in reports[0].mistakes}
    kinds = ("misread", "wrong plan", "wrong step") if game != "blackjack" else ("misread", "wrong step")
    # Right thoughts that are spoilt are wrong corrections too.
    asked, wrong_ones = 0.1 / 4 + 0.8 * 3 / 4, 0.1 / 4 + 0.8 * 0.4 * 3 / 4
    for kind in kinds:
        assert wrong[kind] == pytest.approx(wrong_ones / asked / len(kinds), abs=0.06)
    assert wrong["wrong action"] == pytest.approx(0.3, abs=0.08)


def test_the_command_holds_a_noisy_oracle_against_its_settings(tmp_path: Path) -> None:
    file = tmp_path / "found.json"
    words = f"corrector-eval --task ezpoints --who noisy --noise.miss 1 --thoughts 5 --json {file}"
    assert cli.run(words.split()) == 0
    scores = {one["kind"]: one for one in json.loads(file.read_text())["scores"]}
    assert scores["correct"]["found"]["estimate"] == 1
    assert scores["all wrong"]["found"]["estimate"] == 0


@pytest.mark.parametrize(("key", "kind"), [("misread", "misread"), ("plan", "wrong plan"), ("step", "wrong step")])
def test_a_kind_may_be_chosen(key: str, kind: str) -> None:
    parts = {f"noise.{one}": float(one == key) for one in ("misread", "plan", "step")}
    report = examine(noisy("points24", **{**parts, "noise.wrong": 1.0, "noise.spoil": 1.0, "noise.miss": 0.0}), 10, 0)
    assert report.mistakes[kind].estimate == 1
    assert all(score.fixed.estimate == 0 for score in report.scores)


def test_without_rates_it_is_the_oracle() -> None:
    zero = dict.fromkeys(RATES, 0.0)
    exact = changed(noisy("points24", **zero), **{"guidance.corrector": "oracle"})
    assert verdicts(noisy("points24", **zero)) == verdicts(exact)


def test_a_state_is_judged_alike_whenever_and_after_whatever_it_comes() -> None:
    config = noisy("points24")
    assert verdicts(config) == verdicts(config)
    assert verdicts(config) != verdicts(replace(config, seed=config.seed + 1))
    task = tasks.load(config.task)
    put = [one.case for one in benchmark_cases(task, 20, 0)]
    begun, whole, resumed = (make_corrector(config, task) for _ in range(3))
    assert begun is not None
    assert whole is not None
    assert resumed is not None
    begun.judge(put[:50])
    resumed.restore(json.loads(json.dumps(begun.state())))
    ends = [future.result() for future in whole.judge(put)][50:]
    assert [future.result() for future in resumed.judge(put[50:])] == ends


def test_what_is_passed_leaves_no_new_target_and_what_is_unreadable_is_never_passed() -> None:
    config = noisy("points24", **{"noise.miss": 1.0, "noise.spoil": 0.0, "noise.wrong": 0.0})
    task = tasks.load(config.task)
    (right, *_), wrong = ([one.case for one in benchmark_cases(task, 3, 0)][i : i + 3] for i in (0, 6))
    corrector = make_corrector(config, task)
    assert corrector is not None
    first = corrector.judge([wrong[0]])[0].result()
    assert (first.judgement, first.target, first.stop) == (Judgement.CORRECT, None, False)
    assert all(first.answers.values())
    kept = corrector.judge([right])[0].result().target
    assert kept is not None
    later = replace(wrong[0], env=right.env, index=1)
    assert corrector.judge([later])[0].result().target == kept
    unread = replace(later, parsed=replace(later.parsed, status=ReplyStatus.CUT))
    assert corrector.judge([unread])[0].result().judgement is not Judgement.CORRECT


def test_a_noisy_judge_scores_right_thoughts_low_and_wrong_ones_high() -> None:
    config = noisy("points24", **{"guidance.judge": "score", "noise.spoil": 1.0, "noise.miss": 1.0})
    found = verdicts(config)
    assert {verdict.score for kind, verdict in found if kind is ErrorKind.NONE} == {0.0}
    assert {verdict.score for kind, verdict in found if kind is not ErrorKind.NONE} == {1.0}


@pytest.mark.parametrize(
    ("game", "settings", "message"),
    [
        ("points24", {"guidance.corrector": "oracle"}, "set guidance.corrector noisy"),
        ("points24", {"guidance.corrector": "none", "noise.wrong": 0.0}, "set guidance.corrector noisy"),
        ("points24", {"noise.wrong": 1.5}, "from 0 to 1"),
        ("points24", {"noise.misread": 0.0, "noise.plan": 0.0, "noise.step": 0.0}, "set one of noise.misread"),
        ("numberline", {"noise.misread": 0.0, "noise.step": 0.0}, "set one of noise.misread, noise.step above 0"),
    ],
)
def test_settings_that_cannot_work(game: str, settings: Mapping[str, object], message: str) -> None:
    with pytest.raises((ConfigError, CorrectorError), match=message):
        verdicts(noisy(game, **settings))


class Unvalued(Scripted):
    """A player with no idea of what a picture is worth."""

    def values(self, prompts: Sequence[Prompt]) -> list[float]:
        return [0.0] * len(prompts)


@pytest.mark.parametrize("stops", [True, False])
@pytest.mark.parametrize("game", ["numberline", "ezpoints", "blackjack"])
def test_an_announced_action_is_the_thoughts_not_the_correctors(game: str, stops: bool) -> None:
    """Right thoughts beside actions that are always wrong: what is taught is what the thought says."""
    given = {**dict.fromkeys(RATES, 0.0), "noise.wrong_action": 1.0, "guidance.clone": "announced_action"}
    small = {"train.envs": 8, "train.turns": 3, "guidance.stop_early": stops}
    config = noisy(game, **given, **small)
    task = tasks.load(config.task)
    wrong = Unvalued(lambda prompt, _: task.write(dict.fromkeys(task.thought_keys, "none"), "?"))
    turns = Collector(task, wrong, make_corrector(config, task), config).collect().flat()
    taught = [turn.verdict for turn in turns if turn.verdict is not None and turn.verdict.thought is not None]
    assert taught
    for turn in turns:
        if turn.verdict is None or turn.verdict.thought is None:
            continue
        expert = task.expert(turn.truth, turn.verdict.target)
        assert expert is not None
        assert turn.verdict.announced is not None
        assert task.same_action(turn.verdict.announced, expert.action)
        assert not task.same_action(turn.verdict.announced, turn.verdict.action or "")

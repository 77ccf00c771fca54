"""Judges: their scores become rewards and nothing else; a model behind a real HTTP server scores as the oracle does."""

import json
from dataclasses import replace
from itertools import count

import pytest

pytest.importorskip("openai")
from chat_cases import ScriptedPolicy, case_of, collector_of, load, misread, right
from chat_cases import settings as chat_settings
from chat_server import Server
from small import cut, rows_of

from gtr.algo.cloning import corrected
from gtr.algo.ppo import PPO
from gtr.config.presets import build
from gtr.errors import ConfigError
from gtr.guidance import make_corrector
from gtr.guidance.judge import OracleJudge, flipped, matches, reward_of, scored
from gtr.metrics import health
from gtr.types import Judgement, Verdict


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret-0123456789")


def judging(url, judge, game="points24", **corrector):
    config = chat_settings(url, game, **{"tools": "off", **corrector})
    return replace(config, guidance=replace(config.guidance, judge=judge))


def asked(judge, cases):
    return [future.result(30) for future in judge.judge(cases)]


def shown(server, cases):
    for case in cases:
        server.show(case.prompt.image, case.truth)
    return cases


@pytest.mark.parametrize("game", ["points24", "ezpoints", "numberline", "blackjack"])
def test_a_model_scores_and_what_cannot_be_read_is_worth_nothing(game, tmp_path):
    task = load(judging(None, "score", game))
    kinds = (right, misread, "no JSON at all")
    with Server(task) as server:
        judge = make_corrector(judging(server.url, "score", game), task, tmp_path)
        cases = shown(server, [case_of(task, kind, seed=3, env=env) for env, kind in enumerate(kinds)])
        verdicts = asked(judge, cases)
        judge.close()
        questions = [body for body in server.requests if body["messages"][0]["role"] == "system"]
    assert {verdict.judgement for verdict in verdicts} == {Judgement.SCORED}
    exact = [verdict.score for verdict in asked(OracleJudge(task, False), cases)]
    assert [verdict.score for verdict in verdicts] == pytest.approx(exact, abs=0.05), "ten steps"
    assert (exact[0], exact[2]) == (1, 0)
    assert exact[1] < 1
    assert len(questions) == 2, "nobody is asked about what cannot be read"


def test_comparisons_say_who_is_better_whoever_is_named_first(tmp_path):
    task = load(judging(None, "compare"))
    kinds = [right, misread, misread, right, right, "no JSON at all", right, misread, right]
    seeds = (seed for seed in count() if task.expert(case_of(task, "", seed=seed).truth))
    cases = [case_of(task, kind, next(seeds), env, index=env // 4) for env, kind in enumerate(kinds)]
    assert [match.first.env for match in matches(cases)] == [0, 3, 6, 7], "now the left one, now the right one"
    with Server(task) as server:
        config = judging(server.url, "compare", structured="json_schema")
        judge = make_corrector(config, task, tmp_path)
        verdicts = asked(judge, shown(server, cases))
        judge.close()
        assert len(server.requests) == 4, "one question for two thoughts"
        replaying = replace(config, corrector=replace(config.corrector, replay=str(tmp_path)))
        again = make_corrector(replaying, task, tmp_path / "again")
        assert asked(again, cases) == verdicts
        again.close()
        assert len(server.requests) == 4
    scores = [verdict.score for verdict in verdicts]
    assert scores[:4] == [1, 0, 0, 1]
    assert scores[4:7] == [0.5, 0, 0.5], "two right ones, and one that cannot be read"
    assert scores[7:] == [0, 1]
    assert scores == [verdict.score for verdict in asked(OracleJudge(task, True), cases)]
    lines = [json.loads(line) for line in (tmp_path / "corrector" / "verdicts-0.jsonl").read_text().splitlines()]
    assert sorted(line["env"] for line in lines) == list(range(9)), "one line per turn"


def test_an_odd_one_out_is_compared_too_and_a_lone_thought_is_neither_good_nor_bad():
    task = load(judging(None, "compare"))
    cases = [case_of(task, kind, seed=3, env=env) for env, kind in enumerate((right, right, misread))]
    assert [verdict.score for verdict in asked(OracleJudge(task, True), cases)] == [0.5, 0.5, 0]
    assert [verdict.score for verdict in asked(OracleJudge(task, True), cases[:1])] == [0.5]


def test_a_reward_by_hand():
    guidance = replace(build("judge_reward").guidance, judge_reward=3.0)
    assert [reward_of(scored(share), guidance) for share in (0, 0.25, 0.5, 1)] == [-3, -1.5, 0, 3]
    assert reward_of(Verdict(Judgement.ABSENT), guidance) == 0
    assert flipped(scored(0.25)).score == 0.75


def advantages_of(rollout, config):
    algorithm = PPO(replace(config, algo=PPO.Settings(name="ppo")), None, None)
    return [float(one) for part in algorithm.advantages(rollout) for one in part]


@pytest.mark.parametrize("judge", ["score", "compare"])
def test_scores_enter_the_reward_and_nothing_is_cloned(judge, tmp_path, monkeypatch):
    task = load(judging(None, judge))
    with Server(task) as server:
        config = judging(server.url, judge, structured="json_schema")
        config = replace(config, guidance=replace(config.guidance, judge_reward=2.0))
        guide = make_corrector(config, task, tmp_path)
        rollout = collector_of(config, server, guide, ScriptedPolicy(task), monkeypatch).collect()
        guide.close()
    turns = rollout.flat()
    assert [turn.judge_reward for turn in turns] == [2.0 * (2 * turn.verdict.score - 1) for turn in turns]
    assert len({turn.judge_reward for turn in turns}) > 1
    assert [corrected(turn, task, None, config.guidance) for turn in turns] == [None] * len(turns)
    found = health(rollout, task, 0)
    assert found["guidance/score"] == pytest.approx(sum(turn.verdict.score for turn in turns) / len(turns))
    assert found["guidance/judge_reward"] == pytest.approx(4 * found["guidance/score"] - 2)
    assert "guidance/correction" not in found
    rows = rows_of(rollout)
    plain = cut([[replace(turn, judge_reward=0.0) for turn in row] for row in rows])
    moved = cut([[replace(t, reward=t.reward + t.judge_reward, judge_reward=0.0) for t in row] for row in rows])
    as_played, as_moved, without = (advantages_of(one, config) for one in (rollout, moved, plain))
    assert as_played == pytest.approx(as_moved)
    assert as_played != pytest.approx(without)
    same = {name: value for name, value in health(plain, task, 0).items() if name != "guidance/judge_reward"}
    assert same.items() <= found.items(), "rewards and returns that are reported stay the game's own"


def test_settings_that_cannot_work_are_named():
    from gtr.config.checks import validate

    config = build("judge_reward")
    with pytest.raises(ConfigError, match="name who judges"):
        validate(replace(config, guidance=replace(config.guidance, corrector="none")))
    sft = build("sft_only")
    with pytest.raises(ConfigError, match="nothing would be learnt"):
        validate(replace(sft, guidance=replace(sft.guidance, judge="score")))
    local = replace(config, guidance=replace(config.guidance, corrector="local"))
    with pytest.raises(ConfigError, match=r"corrector\.tools is call, which takes a server"):
        validate(replace(local, corrector=replace(local.corrector, tools="call")))

"""API models as agents, against a real HTTP server (the solver behind the protocol)."""

import pytest

pytest.importorskip("openai")
from chat_cases import replace, settings
from chat_server import Scripted, Server
from hostile import kinds

from gtr import tasks
from gtr.agents.chat import ChatAgent
from gtr.config import TaskConfig
from gtr.envs import VecEnv
from gtr.errors import CorrectorError
from gtr.evaluate import evaluate
from gtr.tasks.reply import parse

KEY = "sk-very-secret-0123456789"


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.mark.parametrize("agent", ["openai:gpt-4o", "openai+tool:gpt-4o"])
def test_an_api_model_plays_the_panel(agent, monkeypatch):
    task = tasks.load(TaskConfig("ezpoints", image_size=64))
    see = VecEnv._see
    with Server(task) as server:

        def seen(self, state, image, info):
            see(self, state, image, info)
            server.show(state.prompt.image, state.truth)

        monkeypatch.setattr(VecEnv, "_see", seen)
        config = settings(server.url, "ezpoints")
        config = replace(config, task=replace(config.task, hands=5))
        found = evaluate(agent, config, episodes=6)
    assert (found.success, found.episodes, found.mode) == (1.0, 6, "greedy")
    assert found.health["corrector/usd"] > 0
    assert (found.health["corrector/tool_calls"] > 0) is ("tool" in agent)
    assert {body["temperature"] for body in server.requests} == {0.0}


def test_an_episode_without_a_reply_is_left_out_and_a_spent_budget_ends_the_evaluation(monkeypatch):
    task = tasks.load(TaskConfig("ezpoints", image_size=64))
    see = VecEnv._see
    with Server(task, fault_share=0.15, faults=("500",)) as server:

        def seen(self, state, image, info):
            see(self, state, image, info)
            server.show(state.prompt.image, state.truth)

        monkeypatch.setattr(VecEnv, "_see", seen)
        config = settings(server.url, "ezpoints", retries=0, breaker=1000)
        config = replace(config, task=replace(config.task, hands=5))
        found = evaluate("openai:gpt-4o", config, episodes=12)
        assert found.aborted > 0
        assert (found.episodes + found.aborted, found.success) == (12, 1.0)
        poor = replace(config, corrector=replace(config.corrector, budget_usd=0.02))
        with pytest.raises(CorrectorError, match=r"budget of \$0.02 was spent before the panel"):
            evaluate("openai:gpt-4o", poor, episodes=12)


def test_whatever_a_server_sends_an_agent_has_a_reply_or_none(caplog):
    caplog.set_level("DEBUG")
    config = settings(None, "ezpoints", retries=0, timeout=2.0, patience=0.0, when_down="continue", breaker=10**6)
    task = tasks.load(config.task)
    envs = VecEnv(task, 1, config)
    state = envs.states[0]
    envs.begin(state, {"seed": 3}, 0)
    every = kinds(KEY, {"cards": [2, 4], "thoughts": "next 2", "action": "2"})
    replies, errors = {}, {}
    with Scripted(task, fault_share=1.0, faults=("scripted",)) as server:
        reached = replace(config.corrector, base_url=server.url)
        agent = ChatAgent("openai+tool:gpt-4o", task, replace(reached, tool_rounds=1), True)
        for name, server.raw in every.items():
            agent._client._breaker.succeeded()
            try:
                (replies[name],) = agent.act([state])
            except CorrectorError as error:
                errors[name] = str(error)
            assert not agent.ledger._open, name
        agent.close()
    said = {name: reply.text for name, reply in replies.items() if reply is not None}
    assert len(said) > 100
    for text in said.values():
        text.encode()
        parsed = parse(text, True, task.thought_keys)
        assert KEY not in f"{text} {parsed}"
    assert all("refuses every request" in text for text in errors.values())
    assert KEY not in f"{caplog.text} {errors}"

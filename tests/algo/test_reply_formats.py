"""Which tokens are trained where thoughts are free text: action and thought, corrections, and a whole tiny run."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small import changed, counted, plain_turn

from gtr import tasks
from gtr.algo.cloning import CLONING, corrected
from gtr.config import Config, presets
from gtr.policy.policy import Policy
from gtr.report.run import Run
from gtr.sft import agents, stages
from gtr.sft.stages import taught
from gtr.tasks.think import write
from gtr.train import train
from gtr.types import Judgement, Prompt, Reply, Turn, Verdict

Settings = Callable[..., Config]
THOUGHT = {"target": 4, "current": 1, "thoughts": "next +"}
TEXT = write(THOUGHT, "+")


@pytest.fixture
def policy(make_policy: Callable[..., Policy]) -> Policy:
    return make_policy()


@pytest.fixture
def native(make_policy: Callable[..., Policy]) -> Policy:
    """One whose chat template opens the thought itself, as those of models that come with thinking do."""
    made = make_policy()
    made.processor.chat_template += "<think>{{ '\\n' }}"
    return made


def task_of(config: Config) -> tasks.Task:
    return tasks.load(changed(config, **{"task.format": "think"}).task)


def turn_of(policy: Policy, text: str, task: tasks.Task) -> Turn:
    tokens = policy.encode_reply(text)
    reply = Reply(policy.decode(tokens), tokens, (-0.5,) * len(tokens), True, 0.0)
    return replace(plain_turn(0.0, 0.0), reply=reply, parsed=task.parse(reply.text))


@pytest.mark.parametrize("what", ["value", "field"])
def test_thought_and_action_are_told_apart(what: str, policy: Policy, settings: Settings) -> None:
    config = settings(**{"algo.thought_weight": 0.5, "algo.action_tokens": what})
    turn = turn_of(policy, TEXT, task_of(config))
    action, thought = (counted(policy, turn, weight, config) for weight in (1.0, 0.5))
    if what == "value":
        assert thought == TEXT[: TEXT.rindex("+")]
        assert action.startswith("+<")
    else:
        assert thought + action == TEXT
        assert action.endswith("<answer>+</answer>")
        assert "next +" not in action


@pytest.mark.parametrize("opens", [False, True])
@pytest.mark.parametrize("clone", ["thought", "announced_action", "thought_and_action"])
def test_corrections_are_cloned_around_the_own_action(
    clone: Any, opens: bool, policy: Policy, native: Policy, settings: Settings
) -> None:
    agent, config = native if opens else policy, settings()
    task = task_of(config)
    own = agent.continued(write({**THOUGHT, "current": 9}, "-"))
    assert own.startswith("<think>") is not opens
    verdict = Verdict(Judgement.INCORRECT, thought=THOUGHT, action="+", announced="++")
    turn = replace(turn_of(agent, own, task), verdict=verdict)
    assert turn.parsed.action == "-"
    sample = corrected(turn, task, agent, replace(config.guidance, clone=clone))
    assert sample is not None
    taught = {"thought": "-", "announced_action": "++", "thought_and_action": "+"}
    text = agent.continued(write(THOUGHT, taught[clone]))
    assert agent.decode(sample.tokens) == text
    spans = zip(agent.offsets(sample.tokens), sample.weights[CLONING], strict=True)
    hidden = "".join(text[a:b] for (a, b), weight in spans if weight == 0)
    assert hidden == ("-" if clone == "thought" else "")
    unread = replace(turn, verdict=replace(verdict, announced=None))
    if clone == "announced_action":
        plain = corrected(turn, task, agent, config.guidance)
        assert corrected(unread, task, agent, replace(config.guidance, clone=clone)) == plain


def test_a_thought_that_the_template_opens_is_not_opened_again(native: Policy, policy: Policy) -> None:
    prompt = Prompt(np.zeros((96, 96, 3), np.uint8), "move:")
    read = [agent.tokenizer.decode(agent.prompts.encode(prompt)["input_ids"][0]) for agent in (native, policy)]
    assert [text.endswith("<think>\n") for text in read] == [True, False]
    said = [agent.decode(taught(agent, prompt, TEXT, ended=True).tokens) for agent in (native, policy)]
    assert said == [TEXT.removeprefix("<think>\n"), TEXT]


@pytest.mark.slow
def test_sft_and_guided_training_with_free_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tiny agent learns the form, writes it, is corrected in it, and clones in it."""
    monkeypatch.setattr(agents, "EPISODES", 80)
    monkeypatch.setattr(stages, "WARM_UP_IMAGES", 64)
    shaping = {"sft.target": 0.4, "sft.reading": 0.0, "sft.max_steps": 40, "sft.check_every": 40, "sft.batch": 16}
    small = {"train.updates": 2, "train.envs": 4, "train.turns": 4, "train.minibatch": 8, "train.eval_episodes": 2}
    config = changed(
        presets.build("gtr", "numberline"),
        **{"runs": str(tmp_path), "task.format": "think", "policy.value_hidden": (16,), "sft.check_episodes": 2},
        **{"report.probe_turns": 2, "report.trackers": (), "train.threads": 1},
        **{**shaping, **small},
    )
    run = Run(train(config))
    lines = run.metrics()
    assert len(lines) == 2
    assert all(line["update/logprob_mismatch"] < 1e-4 for line in lines)
    assert lines[-1]["reply/complete"] > 0.5
    turns = [turn for update in run.updates_with_turns() for turn in run.turns(update)]
    lessons = [turn["lesson"]["text"] for turn in turns if turn["lesson"]]
    assert lessons
    assert all(text.startswith("<think>\ntarget: ") and text.endswith("</answer>") for text in lessons)

"""Earlier turns in a prompt (`task.history_turns`): from environments to tokens, scores, lessons and checkpoints."""

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small import changed, curve, rows_of
from toys import CountTask, Scripted, count_of, say

from gtr import sft, tasks
from gtr.algo.buffer import ThoughtBuffer
from gtr.algo.ppo import PPO
from gtr.checkpoint import load_lessons, save_lessons
from gtr.config import Config
from gtr.config.presets import build
from gtr.errors import PolicyError
from gtr.evaluate import make_panel
from gtr.policy import tiny
from gtr.policy.policy import Policy
from gtr.rollout import Collector
from gtr.sft.agents import agent_name
from gtr.tasks.alfworld import package
from gtr.train import train
from gtr.types import Exchange, Prompt, Sample

Settings = Callable[..., Config]
KINDS = tuple(tiny.BUILDERS)


# -- environments -------------------------------------------------------------------------------------------------
def collector(settings: Settings, turns: int, answer: Callable[[Prompt, int], str]) -> Collector:
    config = settings(**{"train.envs": 2, "train.turns": 5, "task.history_turns": turns, "guidance.stop_early": False})
    return Collector(CountTask(), Scripted(answer), None, config, spec=PPO(config, CountTask(), None).rollout)


def counts(prompt: Prompt) -> list[int]:
    """What each shown turn counts, by its words and by its picture."""
    shown = [*prompt.past, prompt]
    assert [int(one.text.split()[1]) for one in shown] == [int(one.image[1, 1, 0]) for one in shown]
    return [int(one.image[1, 1, 0]) for one in shown]


def test_a_prompt_shows_the_last_turns_of_its_episode(settings: Settings) -> None:
    played = collector(settings, 2, lambda p, i: say("fly" if i == 1 else "win" if count_of(p) == 3 else "go"))
    for row in rows_of(played.collect()):
        assert [counts(turn.prompt) for turn in row] == [[0], [0, 1], [0, 1, 1], [1, 1, 2], [1, 2, 3]], "no action at 1"
        for before, turn in pairwise(row):
            assert turn.prompt.past[-1] == Exchange(before.prompt.image, before.prompt.text, before.reply.text)
    for row in rows_of(played.collect()):
        assert row[0].prompt.past == (), "another episode has begun"


def test_no_history_is_the_prompt_as_it_was(settings: Settings) -> None:
    played = collector(settings, 0, lambda p, i: say("go"))
    assert all(turn.prompt.past == () for turn in played.collect().flat())
    assert all("said" not in one for one in played.state()["seats"])


def test_what_was_said_is_put_back(settings: Settings) -> None:
    answer = lambda p, i: say("fly" if count_of(p) == 2 and len(p.past) < 4 else "go", str(len(p.past)))  # noqa: E731
    played, again = (collector(settings, 4, answer) for _ in range(2))
    played.collect()
    again.restore(json.loads(json.dumps(played.state())))
    for one, other in zip(played.envs.states, again.envs.states, strict=True):
        assert len(one.prompt.past) == 4
        assert [(e.text, e.reply) for e in one.prompt.past] == [(e.text, e.reply) for e in other.prompt.past]
        assert counts(one.prompt) == counts(other.prompt)


# -- tokens -------------------------------------------------------------------------------------------------------
@pytest.fixture
def told(prompts: list[Prompt]) -> list[Prompt]:
    """Prompts with none, one and two earlier turns."""
    past = [Exchange(one.image, one.text, f"said {one.text}") for one in prompts]
    return [replace(prompts[4 + count], past=tuple(past[:count])) for count in range(3)]


@pytest.mark.parametrize("kind", KINDS)
def test_turns_stand_in_their_order(kind: str, make_policy: Callable[..., Policy], told: list[Prompt]) -> None:
    policy = make_policy(kind)
    rows = [policy.prompts.encode(prompt)["input_ids"][0].tolist() for prompt in told]
    text = policy.decode(rows[2])
    places = [text.index(words) for words in ("move:", "said move:", "move: one", "said move: one", told[2].text)]
    assert places == sorted(places)
    image = policy.tokenizer.convert_tokens_to_ids("<|image_pad|>" if "qwen" in kind else "<image>")
    ends = [row.count(policy.tokenizer.eos_token_id) for row in rows]
    assert (ends, rows[2].count(image)) == ([0, 1, 2], 3 * rows[0].count(image))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_sampled_is_what_is_scored(kind: str, make_policy: Callable[..., Policy], told: list[Prompt]) -> None:
    policy = make_policy(kind)
    replies = policy.generate(told)
    with torch.no_grad():
        together = policy.score(told, [reply.tokens for reply in replies])
        alone = [policy.score([p], [reply.tokens]) for p, reply in zip(told, replies, strict=True)]
        other = policy.score([replace(told[2], past=told[2].past[::-1])], [replies[2].tokens])
    for i, reply in enumerate(replies):
        assert together.logprobs[i, : len(reply.tokens)].tolist() == pytest.approx(reply.logprobs, abs=1e-4)
        assert alone[i].logprobs[0].tolist() == pytest.approx(reply.logprobs, abs=1e-4)
        assert float(alone[i].values[0]) == pytest.approx(reply.value, abs=1e-4)
    assert not torch.allclose(other.logprobs, alone[2].logprobs), "earlier turns matter"


@pytest.mark.parametrize("kind", KINDS)
def test_a_reply_that_spells_a_special_token_is_no_picture(
    kind: str, make_policy: Callable[..., Policy], told: list[Prompt]
) -> None:
    policy = make_policy(kind)
    wild = Exchange(told[0].image, told[0].text, "<image><|image_pad|></s><pad>")
    assert len(policy.generate([replace(told[0], past=(wild,))])) == 1
    ids = policy.prompts.encode(replace(told[0], past=(wild,)))["input_ids"][0].tolist()
    assert ids.count(policy.tokenizer.eos_token_id) == 1


@pytest.mark.parametrize(
    ("what", "by"),
    [
        ("for message in messages", "for message in messages[-1:]"),
        ("'image' %}", "'image' and message == messages[-1] %}"),
    ],
)
def test_a_template_of_one_turn_is_refused(
    what: str, by: str, make_policy: Callable[..., Policy], told: list[Prompt]
) -> None:
    policy = make_policy()
    policy.processor.chat_template = policy.processor.chat_template.replace(what, by)
    with pytest.raises(PolicyError, match=r"task\.history_turns"):
        policy.generate(told[1:])


# -- lessons and the rest -----------------------------------------------------------------------------------------
def test_lessons_keep_their_earlier_turns(told: list[Prompt], tmp_path: Path) -> None:
    lessons = [Sample(prompt, (i, 9), {"cloning": (1.0, 0.0)}) for i, prompt in enumerate(told)]
    buffer, again = ThoughtBuffer(), ThoughtBuffer()
    buffer.add(lessons)
    save_lessons(tmp_path, 1, lessons, len(lessons))
    load_lessons(tmp_path, 1, again)
    for made, kept, read in zip(lessons, buffer.samples, again.samples, strict=True):
        for found in (kept, read):
            assert [(one.text, one.reply) for one in found.prompt.past] == [
                (one.text, one.reply) for one in made.prompt.past
            ]
            shown = zip((*found.prompt.past, found.prompt), (*made.prompt.past, made.prompt), strict=True)
            assert all(np.array_equal(a.image, b.image) for a, b in shown)
    assert len(buffer._pictures) == 5, "a picture that several prompts show is held once"


def test_experts_show_what_they_did(settings: Settings) -> None:
    config = settings(**{"task.history_turns": 2})
    task = tasks.load(config.task)
    examples = sft.expert_examples(task, 4, np.random.default_rng(0))
    for before, example in pairwise(examples):
        if example.prompt.past:
            assert example.prompt.past[-1].reply == before.reply
    assert {len(one.prompt.past) for one in examples} == {0, 1, 2}


def test_neither_panels_nor_agents_of_before_have_other_names() -> None:
    config = build("gtr", "numberline")
    told = changed(config, **{"task.history_turns": 2})
    assert make_panel(config.task, "same", 2, 0).name == make_panel(told.task, "same", 2, 0).name
    assert agent_name(config) != agent_name(told)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["numberline", "alfworld"])
def test_a_run_resumes_bit_for_bit(task: str, settings: Settings) -> None:
    if task == "alfworld" and package.missing():
        pytest.skip(package.INSTALL)
    own: dict[str, Any] = {"task.games": 4, "task.space": 4, "task.clutter": 1, "task.workers": False}
    small = {"policy.max_new_tokens": 6, "train.updates": 3, "train.envs": 2, "train.minibatch": 3}
    small |= {"train.lr": 1e-3, "train.lr_final": 1e-3, "guidance.stop_early": False}
    config = settings("gtr", task, **{"task.history_turns": 2, **small, **(own if task == "alfworld" else {})})
    whole = train(changed(config, name="whole"))
    broken = train(changed(config, name="broken", **{"train.updates": 1}))
    train(changed(config, name="broken"), resume=broken)
    lines = [[{k: v for k, v in one.items() if "panel" not in k} for one in curve(run)] for run in (whole, broken)]
    assert lines[0] == lines[1]
    assert all(line["update/logprob_mismatch"] < 1e-3 for line in lines[0])

"""Algorithms with a teacher: what it is asked, what comes of its word, how it follows the agent, and who may be one."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from small import changed, cut, plain_turn, shaken, spoken
from toys import CountTask, Scripted, say

from gtr import cli, learner
from gtr.algo.cloning import CLONING
from gtr.algo.credit import gae, normalise
from gtr.algo.opd import OPD, gated
from gtr.algo.teacher import HINT, place_of, spread
from gtr.algo.turbo_kl import TurboKL
from gtr.algo.turbo_sft import TurboSFT
from gtr.config import Config
from gtr.errors import ConfigError, PolicyError, RunError
from gtr.guidance import make_corrector
from gtr.guidance.teachers import Pair, tally
from gtr.losses import LOSSES
from gtr.policy.models import model_folder
from gtr.policy.policy import Policy
from gtr.policy.reference import OtherPolicy
from gtr.rollout import Collector
from gtr.tasks.reply import parse
from gtr.train import train
from gtr.types import Ending, Judgement, Prompt, Reply, Rollout, Sample, Trajectory, Truth, Turn, Verdict

Settings = Callable[..., Config]
MakePolicy = Callable[..., Policy]
HERE = Path(__file__).parents[1]
LORA = {"policy.finetune": "lora", "policy.lora_rank": 4, "policy.lora_alpha": 8}


def sampled(policy: Policy, prompts: Sequence[Prompt]) -> list[Turn]:
    """Turns as an agent plays them, one environment each."""
    replies = policy.generate(prompts)
    read = [parse(reply.text, reply.finished, ("thoughts",)) for reply in replies]
    return [
        replace(plain_turn(0.0, 0.0), env=i, prompt=prompt, reply=reply, parsed=said, truth=Truth({"count": i}))
        for i, (prompt, reply, said) in enumerate(zip(prompts, replies, read, strict=True))
    ]


class Fixed:
    """A teacher whose words the test decides."""

    def __init__(self, texts: Sequence[str] = ()) -> None:
        self.texts, self.asked = list(texts), 0

    def replies(self, policy: Any, prompts: Sequence[Prompt], greedy: bool = False) -> list[Reply]:
        self.asked += len(prompts)
        return [Reply(self.texts.pop(0), (1,), (-0.5,), True) for _ in prompts]


# -- who scores ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("finetune", [{}, LORA])
@pytest.mark.parametrize("name", ["turbo_kl", "opd"])
def test_a_teacher_of_equal_weights_is_no_distance_away(
    name: str, finetune: dict[str, Any], settings: Settings, make_policy: MakePolicy, prompts: list[Prompt]
) -> None:
    """Scores are those of the sampled tokens under the picture: equal weights give a divergence of 0 to rounding."""
    policy = make_policy(**finetune)
    algorithm = {"turbo_kl": TurboKL, "opd": OPD}[name](settings(name, **finetune), CountTask(), policy)
    turns = sampled(policy, prompts)
    metrics = algorithm.listen(turns)
    assert metrics["teacher/kl"] == pytest.approx(0, abs=1e-6)
    assert all(np.abs(algorithm.apart(turn, "k1")).max() < 1e-4 for turn in turns)
    assert algorithm._distances()["teacher/distance_agent"] == 0
    turns = sampled(shaken(policy), prompts)
    assert algorithm.listen(turns)["teacher/kl"] > 1e-4
    moved = [Prompt(prompts[i - 1].image, prompt.text) for i, prompt in enumerate(prompts)]
    before = dict(algorithm.said)
    algorithm.listen([replace(turn, prompt=prompt) for turn, prompt in zip(turns, moved, strict=True)])
    assert any(not np.allclose(algorithm.said[key], before[key], atol=1e-5) for key in before), "pictures count"


def test_the_merged_teacher_is_the_mean_of_the_agents_it_saw(
    settings: Settings, make_policy: MakePolicy, prompts: list[Prompt]
) -> None:
    """Against a second policy, into which the mean of the weights was loaded."""
    policy, other = make_policy(), make_policy()
    algorithm = TurboKL(settings("turbo_kl", **{"algo.merge": "mean"}), CountTask(), policy)
    turns, seen = sampled(policy, prompts), []
    for update in range(1, 4):
        seen.append({name: value.clone() for name, value in shaken(policy).network.model.state_dict().items()})
        algorithm.updated(update)
    mean = {
        name: torch.stack([one[name] for one in seen]).mean(0) for name in seen[0] if seen[0][name].is_floating_point()
    }
    other.network.model.load_state_dict({**seen[0], **mean})
    other.network.eval()
    algorithm.listen(turns)
    with torch.no_grad():
        wanted = other.score([turn.prompt for turn in turns], [turn.reply.tokens for turn in turns]).logprobs
    for turn, row in zip(turns, wanted.tolist(), strict=True):
        assert algorithm.said[place_of(turn)].tolist() == pytest.approx(row[: len(turn.reply.tokens)], abs=1e-4)


# -- turbo_kl -----------------------------------------------------------------------------------------------------
def held(kind: type[Any], config: Config, turns: Sequence[Turn], policy: Policy, gaps: Sequence[float]) -> Any:
    """An algorithm whose teacher finds every token of a turn so much less likely than the agent."""
    algorithm = kind(config, CountTask(), policy)
    algorithm.said = {
        place_of(turn): np.array(turn.reply.logprobs) - gap for turn, gap in zip(turns, gaps, strict=True)
    }
    return algorithm


def told(policy: Policy) -> list[Turn]:
    state = Truth({"count": 1})
    said = [spoken(policy, say("+", words)) for words in ("go", "go up", "go on")]
    turns = [replace(turn, index=i, truth=state) for i, turn in enumerate(said)]
    return [*turns[:-1], replace(turns[-1], ending=Ending.TERMINATED, reward=1.0, success=True)]


def test_the_divergence_is_a_reward_that_reaches_the_turns_before(settings: Settings, make_policy: MakePolicy) -> None:
    policy = make_policy()
    turns, config = told(policy), settings("turbo_kl", **{"algo.gamma": 0.9, "algo.gae_lambda": 0.95, "algo.beta": 2.0})
    algorithm = held(TurboKL, config, turns, policy, [0.5, -1.0, 0.25])
    wanted = gae(np.array([-1.0, 0.0, 1.0 - 0.5]), np.zeros(3), 0.0, 0.9, 0.95)
    (found,) = algorithm.advantages(Rollout([Trajectory(turns)]))
    assert found.tolist() == pytest.approx(wanted.tolist())
    algorithm.settings = replace(algorithm.settings, divergence="k1")
    assert algorithm.rewards(Trajectory(turns)).tolist() == pytest.approx([-1.0, 2.0, 0.5])


def test_only_the_thought_counts_unless_all_is_asked_for(settings: Settings, make_policy: MakePolicy) -> None:
    policy = make_policy()
    turn = told(policy)[0]
    algorithm = TurboKL(settings("turbo_kl"), CountTask(), policy)
    counted = algorithm.scored(turn)
    thought = "".join(policy.decode([t]) for t, hit in zip(turn.reply.tokens, counted, strict=True) if hit)
    assert '"thoughts": "go' in thought
    assert "action" not in thought
    gap = np.where(counted, 1.0, 5.0)
    algorithm.said = {place_of(turn): np.array(turn.reply.logprobs) - gap}
    assert algorithm.cost(turn) == pytest.approx(1.0)
    algorithm.settings = replace(algorithm.settings, tokens="all")
    assert algorithm.cost(turn) == pytest.approx(gap.mean())
    unread = replace(turn, parsed=parse("", True, ()))
    algorithm.settings = replace(algorithm.settings, tokens="thought")
    assert algorithm.scored(unread).all(), "without an action all is thought"


def test_per_token_it_is_taken_off_the_normalised_advantage(settings: Settings, make_policy: MakePolicy) -> None:
    policy = make_policy()
    turns, config = told(policy), settings("turbo_kl_per_token", **{"algo.normalise_floor": 1e-5})
    algorithm = held(TurboKL, config, turns, policy, gaps := [0.5, -1.0, 0.25])
    plain = gae(np.array([0.0, 0.0, 1.0]), np.zeros(3), 0.0, config.algo.gamma, config.algo.gae_lambda)
    wanted = normalise(plain, plain.tolist()) - gaps
    for sample, value in zip(algorithm.made(Rollout([Trajectory(turns)])), wanted, strict=True):
        assert sample.advantage == pytest.approx((value,) * len(sample.tokens), abs=1e-5)
        assert sample.weights["policy"] == (1.0,) * len(sample.tokens)


# -- opd ----------------------------------------------------------------------------------------------------------
def test_gates_of_the_gap() -> None:
    gaps = np.array([2.0, 0.0, -2.0])
    assert gated(gaps, gaps, "none").tolist() == [2, 0, -2]
    assert gated(gaps, gaps, "positive").tolist() == [2, 0, 0]
    assert gated(gaps, gaps, "sigmoid").tolist() == pytest.approx([2 * 0.880797, 0, -2 * 0.119203], abs=1e-6)


@pytest.mark.parametrize(("episodes", "pulls"), [("all", [-0.5, 1.0, 3.0]), ("good", [-0.5, 1.0, 0.0])])
def test_tokens_are_drawn_to_the_teacher(
    episodes: str, pulls: list[float], settings: Settings, make_policy: MakePolicy
) -> None:
    policy = make_policy()
    won = told(policy)[1:]
    lost = replace(told(policy)[0], env=1, ending=Ending.TERMINATED, success=False)
    config = settings("opd", **{"algo.outcome_weight": 0.0, "algo.episodes": episodes})
    algorithm = held(OPD, config, [*won, lost], policy, [0.5, -1.0, -3.0])
    samples = algorithm.made(Rollout([Trajectory(won), Trajectory([lost])]))
    for sample, pull in zip(samples, pulls, strict=True):
        assert sample.advantage == pytest.approx((pull,) * len(sample.tokens), abs=1e-6)


def exactly(policy: Policy, turn: Turn) -> np.ndarray:
    """(L, vocabulary) probabilities at each token of a reply, in double precision, without batch or padding."""
    inputs, length = policy.inputs([turn.prompt]), len(turn.reply.tokens)
    reply = torch.tensor([turn.reply.tokens])
    ids = torch.cat([inputs["input_ids"], reply], dim=1)
    with torch.no_grad():
        logits = policy.network.model.eval()(
            **{**inputs, "input_ids": ids, "attention_mask": torch.ones_like(ids)}
        ).logits
    logits = logits[0, -length - 1 : -1].double()
    logits[:, policy.network.forbidden] = -torch.inf
    return (logits / policy.config.temperature).softmax(-1).numpy()


def apart(p: np.ndarray, q: np.ndarray, count: int) -> float:
    """KL(p || q) over q's likeliest, and the rest as one."""
    best = np.argsort(-q)[:count]
    p, q = (np.append(one[best], np.delete(one, best).sum()) for one in (p, q))
    return float(sum(a * np.log(a / b) for a, b in zip(p, q, strict=True) if a > 0))


@pytest.mark.parametrize(
    ("count", "chosen"),
    [(3, {}), (1000, {"algo.tokens": "thought"}), (3, {"algo.episodes": "good"}), (3, {"algo.gate": "sigmoid"})],
)
def test_the_divergence_is_over_the_teachers_likeliest_tokens_and_the_rest(
    count: int, chosen: dict[str, Any], settings: Settings, make_policy: MakePolicy
) -> None:
    """The loss against numpy in double precision on each model's plain forward pass."""
    policy, other = make_policy(), shaken(make_policy())
    algorithm = OPD(settings("opd", **{"algo.top_k": count, "algo.outcome_weight": 0.0}, **chosen), CountTask(), policy)
    algorithm._teacher = OtherPolicy(other)
    won, lost = told(policy)[1:], replace(told(policy)[0], env=1, ending=Ending.TERMINATED, success=False)
    turns = [*won, lost]
    algorithm.listen(turns)
    samples = algorithm.made(Rollout([Trajectory(won), Trajectory([lost])]))
    assert all(np.all(np.array(sample.advantage) == 0) for sample in samples), "the loss pulls, not the advantage"
    wanted, weights = [], []
    for turn in turns:
        gaps = algorithm.said[place_of(turn)] - turn.reply.logprobs
        gate = 1 / (1 + np.exp(-gaps)) if algorithm.settings.gate == "sigmoid" else np.ones(len(gaps))
        counted = algorithm.scored(turn) * (algorithm.settings.episodes == "all" or turn is not lost)
        wanted += [apart(p, q, count) for p, q in zip(exactly(policy, turn), exactly(other, turn), strict=True)]
        weights += (gate * counted).tolist()
    found = descended(policy, algorithm, samples)
    assert found == pytest.approx(float(np.dot(wanted, weights)) / np.count_nonzero(weights), rel=1e-4)
    assert found > 1e-4
    sizes = [float(p.grad.abs().max()) for p in policy.network.model.parameters() if p.grad is not None]
    assert max(sizes) > 1e-5


def descended(policy: Policy, algorithm: OPD, samples: Sequence[Sample]) -> float:
    """The distillation loss of samples, as the learner computes it; its gradient stays in the policy."""
    seen = [i for i, sample in enumerate(samples) if "distillation" in sample.weights]
    policy.network.zero_grad()
    scores = policy.score(
        [one.prompt for one in samples],
        [one.tokens for one in samples],
        likely=[one.likely[0] if one.likely else None for one in samples],
    )
    count = LOSSES["distillation"].count(learner._weights("distillation", samples))
    rows = learner._rows("distillation", samples, seen, scores)
    loss, _ = LOSSES["distillation"].loss(rows, count)
    loss.backward()
    return float(loss.detach())


@pytest.mark.parametrize("finetune", [{}, LORA])
def test_equal_weights_are_no_distance_apart_at_any_token(
    finetune: dict[str, Any], settings: Settings, make_policy: MakePolicy, prompts: list[Prompt]
) -> None:
    policy = make_policy(**finetune)
    algorithm = OPD(settings("opd", **{"algo.top_k": 5}, **finetune), CountTask(), policy)
    turns = sampled(policy, prompts)
    algorithm.listen(turns)
    samples = algorithm.made(cut([[turn] for turn in turns]))
    assert len([one for one in samples if one.likely]) == len(prompts)
    assert descended(policy, algorithm, samples) == pytest.approx(0, abs=1e-6)
    assert all(p.grad is None or p.grad.abs().max() < 1e-5 for p in policy.network.parameters())


def test_tokens_that_the_agent_does_not_have_belong_to_the_rest(settings: Settings, make_policy: MakePolicy) -> None:
    """Output layers have more rows than there are words, and not all the same number."""
    policy = make_policy()
    algorithm = OPD(settings("opd", **{"algo.top_k": 2}), CountTask(), policy)
    (turn,) = told(policy)[:1]
    size = len(turn.reply.tokens)
    algorithm.said = {place_of(turn): np.array(turn.reply.logprobs)}
    ids = np.array([[5, policy.network.vocabulary]] * size)
    algorithm.likely = {place_of(turn): (ids, np.full((size, 2), np.log(0.25), np.float32))}
    (sample,) = algorithm.made(cut([[replace(turn, ending=Ending.TERMINATED)]]))
    assert sample.likely[0].tolist() == [[5, 0]] * size
    assert np.isneginf(sample.likely[1]).tolist() == [[False, True]] * size
    assert np.isfinite(descended(policy, algorithm, [sample]))


def test_a_hint_is_for_the_teacher_alone(settings: Settings, make_policy: MakePolicy, prompts: list[Prompt]) -> None:
    policy = make_policy()
    algorithm = OPD(settings("opd", **{"algo.teacher": "hint"}), CountTask(), policy)
    turn = sampled(policy, prompts[:1])[0]
    assert algorithm.prompt(turn).text == turn.prompt.text + HINT + say("go")
    assert algorithm.prompt(turn).image is turn.prompt.image
    plain = TurboKL(settings("turbo_kl"), CountTask(), policy)
    assert plain.prompt(turn) is turn.prompt
    assert algorithm.listen([turn])["teacher/kl"] > 1e-6


def test_without_an_expert_there_is_no_hint(settings: Settings, make_policy: MakePolicy) -> None:
    class Blind(CountTask):
        expert = CountTask.__mro__[1].expert

    with pytest.raises(ConfigError, match=r"algo\.teacher is hint, but the task count has no expert"):
        OPD(settings("opd", **{"algo.teacher": "hint"}), Blind(), make_policy())


# -- turbo_sft ----------------------------------------------------------------------------------------------------
def test_the_teachers_thought_is_cloned_around_the_agents_own_action(
    settings: Settings, make_policy: MakePolicy
) -> None:
    policy = make_policy()
    algorithm = TurboSFT(settings("turbo_sft"), CountTask(), policy)
    turns = [replace(turn, env=i, ending=Ending.TERMINATED) for i, turn in enumerate([*told(policy), told(policy)[0]])]
    known = Verdict(Judgement.INCORRECT, {"thoughts": "corrected"}, "-")
    turns[2] = replace(turns[2], verdict=known)
    turns[3] = replace(turns[3], verdict=Verdict(Judgement.SKIPPED))
    broken = '{"thoughts": "never whole'
    algorithm._teacher = Fixed([say("-", "first"), broken, say("-", "third"), broken, broken])
    algorithm.samples(cut([[turn] for turn in turns]), 0)
    assert algorithm._teacher.asked == 5, "three tries for what is not whole, none where the corrector answered"
    assert algorithm.metrics()["count/teacher_tokens"] == 5
    lessons = algorithm.cloning.latest
    assert [policy.decode(one.tokens) for one in lessons] == [
        say("+", "first"),
        say("+", "corrected"),
        say("+", "third"),
    ]
    for lesson in lessons:
        taught = [policy.decode([t]) for t, w in zip(lesson.tokens, lesson.weights[CLONING], strict=True) if w > 0]
        masked = [policy.decode([t]) for t, w in zip(lesson.tokens, lesson.weights[CLONING], strict=True) if w == 0]
        assert "thoughts" in "".join(taught)
        assert "+" in "".join(masked)
        assert "thoughts" not in "".join(masked)
    assert turns[0].verdict is None, "the rollout is as it was played"


def test_a_teachers_announced_actions_are_not_cloned(settings: Settings, make_policy: MakePolicy) -> None:
    asked = settings("turbo_sft", **{"guidance.clone": "announced_action"})
    with pytest.raises(ConfigError, match=r"guidance\.clone is announced_action, but turbo_sft"):
        TurboSFT(asked, CountTask(), make_policy())


def test_a_corrector_may_be_asked_about_a_share_of_the_turns(settings: Settings) -> None:
    config = settings("turbo_hybrid", **{"train.envs": 8, "train.turns": 40, "guidance.stop_early": False})
    assert config.guidance.corrector == "oracle"
    config = changed(config, **{"corrector.ask_share": 0.3})
    task = CountTask()

    def verdicts(rank: int = 0) -> list[Judgement]:
        corrector = make_corrector(config, task, rank=rank)
        answer = Scripted(lambda prompt, call: say("go", "wrong"))
        rollout = Collector(task, answer, corrector, config, rank).collect()
        return [turn.verdict.judgement for turn in rollout.flat()]

    found = verdicts()
    asked = [one for one in found if one is not Judgement.SKIPPED]
    assert 0.2 < len(asked) / len(found) < 0.4
    assert set(asked) == {Judgement.INCORRECT}
    assert found == verdicts(), "the same turns again"
    assert found != verdicts(rank=1)


# -- examining ----------------------------------------------------------------------------------------------------
def test_thoughts_of_both_are_held_against_the_task() -> None:
    """The toy task finds "fine" right."""
    task, state = CountTask(), Truth({"count": 1})

    def said(words: str) -> Any:
        return parse(say("go", words) if words else "", True, task.thought_keys)

    rows = [("fine", "fine"), ("fine", "bad"), ("bad", "fine"), ("bad", "bad"), ("bad", "worse"), ("bad", ""), ("", "")]
    found = tally(task, [Pair(state, said(agent), said(teacher)) for agent, teacher in rows])
    assert (found.states, found.agent, found.teacher, found.both, found.same) == (7, 2, 2, 1, 2)
    assert found.mends == 1


def test_turns_are_spread() -> None:
    assert spread(list(range(10)), 3) == [0, 3, 6]
    assert spread([1, 2], 3) == [1, 2]
    assert spread([1, 2], 0) == []


# -- when it takes part -------------------------------------------------------------------------------------------
def test_the_teacher_waits_for_success(
    settings: Settings, make_policy: MakePolicy, caplog: pytest.LogCaptureFixture
) -> None:
    policy = make_policy()
    algorithm = TurboKL(settings("turbo_kl", **{"algo.warm_up": 0.5}), CountTask(), policy)
    lost = [replace(turn, success=False) for turn in told(policy)]
    algorithm.samples(cut([lost]), 0)
    algorithm.updated(1)
    assert "won 0.00 of its episodes" in caplog.text
    assert (algorithm.said, algorithm.merged.count) == ({}, 0)
    algorithm.samples(cut([lost, told(policy)]), 1)
    algorithm.updated(2)
    assert algorithm.said
    assert algorithm.merged.count == 1
    algorithm.samples(cut([lost]), 2)
    assert algorithm.said, "once begun it stays"


def test_nobody_may_teach_before_the_first_merge(settings: Settings, make_policy: MakePolicy) -> None:
    policy = make_policy()
    chosen = {"algo.first_teacher": "none", "algo.merge_every": 2}
    algorithm = TurboKL(settings("turbo_kl", **chosen), CountTask(), policy)
    for update, teaching in ((0, False), (1, False), (2, True)):
        algorithm.samples(cut([told(policy)]), update)
        assert bool(algorithm.said) is teaching
        algorithm.updated(update + 1)


# -- who may be one -----------------------------------------------------------------------------------------------
def test_another_model_teaches(
    settings: Settings, make_policy: MakePolicy, prompts: list[Prompt], tmp_path: Path
) -> None:
    policy, other = make_policy(), shaken(make_policy(**{"policy.value_hidden": (8, 8)}))
    other.save(tmp_path / "other")
    algorithm = OPD(settings("opd", **{"algo.teacher": str(tmp_path / "other")}), CountTask(), policy)
    turns = sampled(policy, prompts)
    assert algorithm.listen(turns)["teacher/kl"] > 1e-3
    other.network.eval()
    with torch.no_grad():
        wanted = other.score([turn.prompt for turn in turns], [turn.reply.tokens for turn in turns]).logprobs
    found = [algorithm.said[place_of(turn)].tolist() for turn in turns]
    for row, theirs in zip(found, wanted.tolist(), strict=True):
        assert row == pytest.approx(theirs[: len(row)], abs=1e-5)
    assert not [p for p in algorithm.teacher._other.network.parameters() if p.requires_grad]


def test_who_cannot_be_a_teacher_is_told(
    settings: Settings, make_policy: MakePolicy, build_model: Callable[..., Path], tmp_path: Path
) -> None:
    policy = make_policy()
    (tmp_path / "empty" / "checkpoints").mkdir(parents=True)
    (tmp_path / "empty" / "config.json").write_text("{}")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "config.json").write_text("no json")
    wrong = {
        str(tmp_path / "missing"): "there is no folder",
        "no/such folder": "is no folder here",
        str(tmp_path / "empty"): "holds no finished checkpoint",
        str(tmp_path / "damaged"): "cannot load",
        str(build_model("tiny-qwen2.5-vl")): "is of the family qwen2_5_vl, the agent of llava",
        str(build_model("tiny-llava", "points24")): "has another vocabulary than the agent",
    }
    for path, words in wrong.items():
        with pytest.raises(PolicyError, match=words) as raised:
            OPD(settings("opd", **{"algo.teacher": path}), CountTask(), policy)
        assert str(raised.value).startswith(f"algo.teacher {path}")


def test_a_run_stands_for_its_last_checkpoint(tmp_path: Path) -> None:
    """Last by number: names of six digits sort before those of five."""
    for number in ("00002", "99999", "100000"):
        (tmp_path / "run" / "checkpoints" / f"update_{number}" / "model").mkdir(parents=True)
    (tmp_path / "run" / "checkpoints" / ".update_100001.part").mkdir()
    (tmp_path / "run" / "config.json").write_text("{}")
    assert model_folder(str(tmp_path / "run")) == str(tmp_path / "run/checkpoints/update_100000/model")
    early = tmp_path / "run/checkpoints/update_00002"
    (early / "state.json").write_text("{}")
    assert model_folder(str(early)) == str(early / "model")
    for other in ("owner/name", str(early / "model"), str(tmp_path)):
        assert model_folder(other) == other


def test_a_checkpoint_without_its_teacher_is_told(settings: Settings, make_policy: MakePolicy) -> None:
    policy = make_policy()
    algorithm = TurboKL(settings("turbo_kl"), CountTask(), policy)
    algorithm.updated(1)
    held = dict(algorithm.tensors())
    for kind in ("merged", "base"):
        lost = next(name for name in held if name.startswith(kind))
        algorithm.restore(algorithm.state())
        with pytest.raises(RunError, match="lacks the teacher's tensor"):
            algorithm.restore_tensors({name: value for name, value in held.items() if name != lost})


# -- whole runs ---------------------------------------------------------------------------------------------------
SMALL = {"train.envs": 8, "train.minibatch": 8, "policy.temperature": 1.0, "task.illegal": "random"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "chosen"),
    [
        ("turbo_kl_per_token", {"algo.merge": "mean"}),
        ("turbo_kl_base", {}),
        ("turbo_hybrid", {}),
        ("opd", {"algo.teacher": "hint", "algo.top_k": 4}),
        ("turbo_kl", LORA),
        ("turbo_kl", {"algo.warm_up": 0.9}),
    ],
)
def test_every_teacher_goes_on_exactly(name: str, chosen: dict[str, Any], settings: Settings, tmp_path: Path) -> None:
    config = settings(name, **SMALL, **chosen)
    run = train(config)
    last = run / "checkpoints/update_00002"
    kept = {file.name: file.read_bytes() for file in (last / "model").glob("*.safetensors")}
    kept |= {file.name: file.read_bytes() for file in last.glob("algorithm.safetensors")}
    shutil.rmtree(last)
    train(config, run)
    assert {
        name: (last / "model" / name if "algorithm" not in name else last / name).read_bytes() for name in kept
    } == kept
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert all(np.isfinite(value) for line in lines for value in line.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["turbo_kl", "turbo_sft", "opd"])
def test_two_processes_keep_one_teacher(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    for out in ("straight", "resumed"):
        (tmp_path / out).mkdir(exist_ok=True)
        done = subprocess.run(
            [*command, str(HERE / "two_processes.py"), "taught", str(tmp_path / out), name],
            env=environment, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        one, other = (load_file(tmp_path / out / f"{rank}.safetensors") for rank in (0, 1))
        assert all(torch.equal(one[key], other[key]) for key in one), "two shares of the work, one agent"
        if out == "straight":
            folder = Path(json.loads((tmp_path / out / "0.json").read_text())["folder"])
            shutil.copytree(folder, tmp_path / "resumed" / "run", ignore=shutil.ignore_patterns("update_00002"))
    straight, resumed = (load_file(tmp_path / out / "1.safetensors") for out in ("straight", "resumed"))
    assert all(torch.equal(resumed[key], value) for key, value in straight.items()), "and gone on with exactly"


@pytest.mark.slow
def test_a_teacher_is_examined_from_the_command_line(
    speaker: Callable[..., Path], settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = {"policy.model": str(speaker()), "policy.max_new_tokens": 48, "report.probe_turns": 8}
    run = train(settings("turbo_sft", **chosen))
    line = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    assert line["update/lessons"] > 0
    assert 0 <= line["teacher/right"] <= 1
    assert line["teacher/distance_base"] > line["teacher/distance_agent"] == 0, "the first merge is the agent alone"
    assert (line["teacher/merged"], line["count/taught_states"] > 0) == (1, True)
    words = f"corrector-eval --agent {run} --thoughts 4 --json {tmp_path / 'found.json'}"
    assert cli.run(words.split()) == 0
    found = json.loads((tmp_path / "found.json").read_text())["found"]
    assert 0 < found["states"] >= found["teacher"] >= found["both"]
    assert cli.run([*words.split(), "--teacher", str(run)]) == 0
    itself = json.loads((tmp_path / "found.json").read_text())["found"]
    assert (
        itself["same"] == found["states"]
        if itself["agent"] == itself["states"]
        else itself["agent"] == itself["teacher"]
    )
    assert cli.run([*words.split(), "--teacher", "base"]) == 0
    plain = train(settings("ppo", name="plain", **chosen))
    capsys.readouterr()
    for more, message in (
        (["--agent", str(plain)], "was trained without a teacher"),
        (["--agent", str(plain), "--teacher", "merged"], "holds no merged teacher"),
        (["--agent", str(tmp_path / "none")], "is not a run folder"),
        (["--agent", str(run), "--teacher", str(tmp_path / "none")], f"algo.teacher {tmp_path / 'none'}"),
        (["--teacher", str(run)], "name the agent that it would teach"),
    ):
        assert cli.run(["corrector-eval", *more]) == 2
        assert message in " ".join(capsys.readouterr().err.split())

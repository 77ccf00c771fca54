"""One update, against hand computations and against itself cut into other pieces."""

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from small import changed, cut, plain_turn, spoken
from torch import Tensor

from gtr.algo.buffer import ThoughtBuffer
from gtr.algo.cloning import ThoughtCloning
from gtr.algo.ppo import PPO
from gtr.config import Config
from gtr.errors import DivergenceError
from gtr.learner import Learnt, learn, learning_rate, make_optimizer
from gtr.policy.policy import Policy
from gtr.tasks.reply import parse
from gtr.types import Ending, Prompt, Sample, Turn

Settings = Callable[..., Config]
MakePolicy = Callable[..., Policy]


# -- schedules ----------------------------------------------------------------------------------------------------
def test_the_learning_rate_falls_along_a_cosine(settings: Settings) -> None:
    config = settings(**{"train.updates": 5, "train.lr": 1e-3, "train.lr_final": 1e-5})
    found = [learning_rate(config.train, update) for update in range(5)]
    middle = (1e-3 + 1e-5) / 2
    quarter = 1e-5 + 0.5 * (1e-3 - 1e-5) * (1 + math.sqrt(0.5))
    assert found == pytest.approx([1e-3, quarter, middle, 1e-3 + 1e-5 - quarter, 1e-5])
    assert learning_rate(settings(**{"train.updates": 1, "train.lr": 1e-3}).train, 0) == pytest.approx(1e-3)


@pytest.mark.parametrize("updates", [4, 14, 29])
def test_a_cosine_of_its_own_length_is_that_of_torch(updates: int, settings: Settings) -> None:
    """As the public code schedules it: 25 updates for runs of 4, 14 and 29."""
    config = settings(**{"train.updates": updates, "train.lr": 1e-5, "train.lr_final": 1e-9, "train.lr_updates": 25})
    optimizer = torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=1e-5)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=25, eta_min=1e-9)
    for update in range(updates):
        assert learning_rate(config.train, update) == pytest.approx(schedule.get_last_lr()[0], rel=1e-6)
        optimizer.step()
        schedule.step()


def test_the_cloning_weight_anneals_to_nothing(settings: Settings) -> None:
    fading = ThoughtCloning(settings(**{"guidance.weight": 2.0, "guidance.anneal_updates": 4}).guidance, None, None)
    assert [fading.weight(update) for update in range(6)] == pytest.approx([2.0, 1.5, 1.0, 0.5, 0.0, 0.0])
    lasting = ThoughtCloning(settings(**{"guidance.weight": 2.0}).guidance, None, None)
    assert [lasting.weight(update) for update in (0, 99)] == [2.0, 2.0]


def test_the_value_head_has_its_own_learning_rate(settings: Settings, make_policy: MakePolicy) -> None:
    policy, config = make_policy(), settings(**{"train.lr": 1e-4, "train.value_lr": 2e-3, "policy.freeze_vision": True})
    optimizer = make_optimizer(policy, config.train)
    assert [group["scale"] for group in optimizer.param_groups] == pytest.approx([1.0, 20.0])
    body, head = ({id(p) for p in group["params"]} for group in optimizer.param_groups)
    assert head == {id(p) for p in policy.network.value_head.parameters()}
    assert body == {id(p) for p in policy.network.model.parameters() if p.requires_grad}
    assert len(body) < len(list(policy.network.model.parameters())), "the frozen tower is left out"


# -- steps --------------------------------------------------------------------------------------------------------
class Bench:
    """An agent, a rollout it could have played, lessons, and everything to learn from them."""

    def __init__(self, policy: Policy, pictures: list[np.ndarray], lessons: int = 6) -> None:
        self.policy = policy
        moves = ["+", "-", "stay", "+"]
        words = ["next +", "next -", "hm", "go up a little, next +"]
        texts = [
            f'{{"target": {i % 6}, "current": {i % 5}, "thoughts": "{words[i % 4]}", "action": "{moves[i % 3]}"}}'
            for i in range(12)
        ]
        prompts = [Prompt(pictures[i % 8], "move: " + "now " * (i % 3)) for i in range(12)]
        keys = ("target", "current", "thoughts")
        turns = [replace(spoken(policy, text, keys=keys), prompt=p) for text, p in zip(texts, prompts, strict=True)]
        with torch.no_grad():
            scores = policy.score(prompts, [t.reply.tokens for t in turns])
        rng = np.random.default_rng(0)
        rewards = rng.normal(size=12)
        shift = rng.normal(size=12) * 0.2
        self.turns = [
            replace(
                turn,
                reward=float(rewards[i]),
                ending=Ending.TERMINATED if i % 3 == 2 else Ending.RUNNING,
                reply=replace(
                    turn.reply,
                    logprobs=tuple(float(x) + shift[i] for x in scores.logprobs[i, : len(turn.reply.tokens)]),
                    value=float(scores.values[i]) + shift[i] / 4,
                ),
            )
            for i, turn in enumerate(turns)
        ]
        self.rollout = cut([self.turns[:6], self.turns[6:]])
        self.buffer = ThoughtBuffer()
        for i in range(lessons):
            tokens = policy.encode_reply(texts[-1 - i])
            weights = [1.0] * len(tokens)
            weights[-3] = 0.0
            self.buffer.add([Sample(prompts[i], tokens, {"cloning": tuple(weights)})])
        self.start = copy.deepcopy(policy.network.state_dict())

    def learn(
        self, config: Config, optimizer: Any = None, update: int = 0
    ) -> tuple[dict[str, float], dict[str, Tensor]]:
        """One update from the start: what is logged, and the weights after it."""
        self.policy.network.load_state_dict(self.start)
        optimizer = optimizer(self.policy) if optimizer else make_optimizer(self.policy, config.train)
        rng = np.random.default_rng(7)
        learnt = self.learnt(config, optimizer, update, rng)
        metrics = {**learnt.metrics, **self.algorithm.metrics()}
        del metrics["seconds/learn"]
        return metrics, {k: v.clone() for k, v in self.policy.network.state_dict().items()}

    def learnt(self, config: Config, optimizer: Any, update: int, rng: np.random.Generator) -> Learnt:
        """One update of PPO and cloning from wherever the weights are."""
        self.algorithm = PPO(config, None, self.policy)
        self.algorithm.cloning.buffer = self.buffer
        samples = self.algorithm.samples(self.rollout, update)
        return learn(samples, self.algorithm, self.policy, optimizer, config.train, Accelerator(), rng)

    def gradient(self, config: Config) -> dict[str, Tensor]:
        """The gradient of one whole step: what plain descent with rate 1 subtracts."""
        _, after = self.learn(config, descent)
        return {name: self.start[name] - value for name, value in after.items()}


def descent(policy: Policy) -> torch.optim.Optimizer:
    groups = [{"params": [p for p in policy.network.parameters() if p.requires_grad], "scale": 1.0}]
    return torch.optim.SGD(groups, lr=1.0)


WHOLE = {
    "train.minibatch": 12,
    "train.accumulation": 1,
    "train.epochs": 1,
    "train.lr": 1.0,
    "train.grad_norm": 1e9,
    "policy.freeze_vision": False,
    "algo.value_gradient": "flow",
}


@pytest.fixture
def bench(make_policy: MakePolicy, pictures: list[np.ndarray]) -> Bench:
    return Bench(make_policy(**{"policy.freeze_vision": False}), pictures)


def close(a: dict[str, Tensor], b: dict[str, Tensor], atol: float = 2e-6) -> bool:
    return all(torch.allclose(a[name], b[name], atol=atol, rtol=1e-3) for name in a)


def size(gradient: dict[str, Tensor]) -> float:
    return math.sqrt(sum(float((g**2).sum()) for g in gradient.values()))


@pytest.mark.parametrize("ratio", ["turn", "token"])
@pytest.mark.parametrize("kind", ["tiny-llava", "tiny-qwen2.5-vl"])
def test_accumulation_equals_the_batch(
    kind: str, ratio: str, settings: Settings, make_policy: MakePolicy, pictures: list[np.ndarray]
) -> None:
    """12 turns at once, 3 x 4 and 5 + 5 + 2: lessons are longer and shorter than turns, and counts differ by part."""
    bench = Bench(make_policy(kind, **{"policy.freeze_vision": False}), pictures)
    chosen = {**WHOLE, "algo.ratio": ratio, "algo.thought_weight": 0.3, "algo.entropy_weight": 0.1}
    whole_log, whole = bench.learn(settings(**chosen), descent)
    assert size({n: w - bench.start[n] for n, w in whole.items()}) > 0.1
    for minibatch, accumulation in ((4, 3), (5, 3)):
        config = settings(**{**chosen, "train.minibatch": minibatch, "train.accumulation": accumulation})
        parts_log, parts = bench.learn(config, descent)
        assert close(parts, whole)
        for name in whole_log:
            assert parts_log[name] == pytest.approx(whole_log[name], rel=1e-3, abs=1e-5), name


def test_accumulation_equals_the_batch_through_adam_and_clipping(bench: Bench, settings: Settings) -> None:
    chosen = {**WHOLE, "train.lr": 1e-3, "train.grad_norm": 0.05, "train.adam_eps": 1e-5, "train.epochs": 2}
    _, whole = bench.learn(settings(**chosen))
    _, parts = bench.learn(settings(**{**chosen, "train.minibatch": 3, "train.accumulation": 4}))
    moved = max(float((whole[n] - bench.start[n]).abs().max()) for n in whole)
    assert moved > 5e-4
    assert all(torch.allclose(whole[n], parts[n], atol=moved / 20) for n in whole)


@pytest.mark.parametrize("together", [False, True])
def test_the_norm_is_of_model_and_critic_each_or_of_both(together: bool, bench: Bench, settings: Settings) -> None:
    """Norms a and b at most c: c / a and c / b apart, c / sqrt(a^2 + b^2) together."""

    def in_two(policy: Policy) -> torch.optim.Optimizer:
        parts = [[*module.parameters()] for module in (policy.network.model, policy.network.value_head)]
        return torch.optim.SGD([{"params": part, "scale": 1.0} for part in parts], lr=1.0)

    config = settings(**{**WHOLE, "train.grad_norm": 1e-3, "train.clip_together": together})
    whole = bench.gradient(settings(**WHOLE))
    logged, after = bench.learn(config, in_two)
    head = {name for name in whole if name.startswith("value_head")}
    a, b = size({n: g for n, g in whole.items() if n not in head}), size({n: whole[n] for n in head})
    assert min(a, b) > 0.02
    both = math.hypot(a, b)
    for name, gradient in whole.items():
        norm = both if together else b if name in head else a
        assert torch.allclose(bench.start[name] - after[name], gradient * 1e-3 / norm, atol=2e-7), name
    assert logged["update/grad_norm"] == pytest.approx(both if together else a, rel=1e-3)


def test_the_gradient_is_that_of_a_loss_written_out(bench: Bench, settings: Settings) -> None:
    """One step's gradient against autograd on the formulas, sample by sample, without padding or batching."""
    config = settings(**{**WHOLE, "algo.thought_weight": 0.3, "algo.value_clip": 0.2})
    found = bench.gradient(config)
    policy, samples = bench.policy, PPO(config, None, bench.policy).samples(bench.rollout, 0)
    policy.network.load_state_dict(bench.start)
    policy.network.zero_grad()
    lessons = bench.buffer.draw(12, after_permutation(12))
    total = torch.zeros(())
    for i, turn in enumerate(bench.turns):
        scores = policy.score([turn.prompt], [turn.reply.tokens])
        weights = torch.tensor(samples[i].weights["policy"])
        log_ratio = (weights * (scores.logprobs[0] - torch.tensor(turn.reply.logprobs))).sum()
        ratio, advantage = log_ratio.exp(), samples[i].advantage
        gain = torch.min(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage)
        value, old, wanted = scores.values[0], turn.reply.value, samples[i].target
        near = old + (value - old).clamp(-0.2, 0.2)
        worse = torch.max((value - wanted) ** 2, (near - wanted) ** 2)
        total = total - gain / 12 + 0.5 * worse / 12
    tokens = sum(sum(lesson.weights["cloning"]) for lesson in lessons)
    for lesson in lessons:
        logprobs = policy.score([lesson.prompt], [lesson.tokens], temperatures=[1.0]).logprobs[0]
        total = total - (torch.tensor(lesson.weights["cloning"]) * logprobs).sum() / tokens
    total.backward()
    wanted = {n: p.grad for n, p in policy.network.named_parameters() if p.grad is not None}
    assert len(wanted) > 50
    assert close({n: found[n] for n in wanted}, wanted)


def after_permutation(count: int) -> np.random.Generator:
    """The update's generator after it has shuffled the turns."""
    rng = np.random.default_rng(7)
    rng.permutation(count)
    return rng


def test_lessons_do_not_dilute_ppo(bench: Bench, settings: Settings) -> None:
    """The gradient with both is the sum of the gradients of each alone: neither is divided by the other's count."""
    alone = {"algo.policy_weight": 0.0, "algo.value_weight": 0.0}
    both = bench.gradient(settings(**WHOLE))
    ppo = bench.gradient(settings(**WHOLE, **{"guidance.weight": 0.0}))
    cloning = bench.gradient(settings(**WHOLE, **alone))
    assert size(ppo) > 0.05
    assert size(cloning) > 0.05
    assert close({n: ppo[n] + cloning[n] for n in both}, both)
    double = bench.gradient(settings(**WHOLE, **alone, **{"guidance.weight": 2.0}))
    assert close({n: 2 * g for n, g in cloning.items()}, double)


def test_the_masked_action_of_a_lesson_teaches_nothing(bench: Bench, settings: Settings) -> None:
    config = settings(**WHOLE, **{"algo.policy_weight": 0.0, "algo.value_weight": 0.0})
    zero = [replace(one, weights={"cloning": (0.0,) * len(one.tokens)}) for one in bench.buffer.samples]
    bench.buffer = ThoughtBuffer()
    bench.buffer.add(zero)
    assert size(bench.gradient(config)) == 0.0


def test_sft_only_leaves_ppo_out(bench: Bench, settings: Settings) -> None:
    config = settings("sft_only", **WHOLE)
    config = replace(config, policy=replace(config.policy, model=bench.policy.config.model))
    before = bench.gradient(config)
    bench.turns = [replace(turn, reward=turn.reward * -50) for turn in bench.turns]
    bench.rollout = cut([bench.turns[:6], bench.turns[6:]])
    assert close(bench.gradient(config), before), "rewards change nothing"
    assert size(before) > 0.05
    assert not any(bool(g.any()) for n, g in before.items() if n.startswith("value_head"))
    logged, _ = bench.learn(config, descent)
    assert logged["loss/policy"] == logged["loss/value"] == 0.0
    assert logged["loss/cloning"] > 0


def test_an_empty_buffer_and_plain_rl_learn_without_lessons(bench: Bench, settings: Settings) -> None:
    alone = bench.gradient(settings(**WHOLE, **{"guidance.weight": 0.0}))
    bench.buffer = ThoughtBuffer()
    logged, _ = bench.learn(settings(**WHOLE), descent)
    assert logged["loss/cloning"] == 0.0
    assert logged["update/lessons"] == 0.0
    assert close(bench.gradient(settings(**WHOLE)), alone)


def test_guidance_that_has_faded_is_gone(bench: Bench, settings: Settings) -> None:
    config = settings(**WHOLE, **{"guidance.anneal_updates": 3, "train.updates": 5})
    losses = [bench.learn(config, descent, update)[0]["loss/cloning"] for update in range(4)]
    assert losses[0] > losses[1] > losses[2] > losses[3] == 0.0
    assert losses[1] == pytest.approx(losses[0] * 2 / 3, rel=1e-4)


def test_what_is_logged(bench: Bench, settings: Settings) -> None:
    logged, _ = bench.learn(settings(**{**WHOLE, "train.lr": 1e-3, "train.minibatch": 4, "train.epochs": 3}))
    with torch.no_grad():
        bench.policy.network.load_state_dict(bench.start)
        scores = bench.policy.score([t.prompt for t in bench.turns], [t.reply.tokens for t in bench.turns]).logprobs
    gaps = [
        max(abs(float(a) - b) for a, b in zip(scores[i], turn.reply.logprobs, strict=False))
        for i, turn in enumerate(bench.turns)
    ]
    assert 0 < logged["update/logprob_mismatch"] <= max(gaps) + 1e-4
    assert logged["update/learning_rate"] == 1e-3
    assert logged["update/lessons"] == 6.0
    assert 0 <= logged["update/clip_frac"] <= 1
    assert logged["update/grad_norm"] > 0
    assert logged["update/explained_variance"] < 1
    assert all(math.isfinite(value) for value in logged.values())


def test_an_honest_rollout_has_no_logprob_mismatch(
    settings: Settings, make_policy: MakePolicy, prompts: list[Prompt]
) -> None:
    policy = make_policy(**{"policy.freeze_vision": False})
    replies = policy.generate(prompts)
    turns = [
        replace(plain_turn(float(i), r.value), prompt=p, reply=r, parsed=parse(r.text, r.finished, ()))
        for i, (p, r) in enumerate(zip(prompts, replies, strict=True))
    ]
    config = settings(**{"train.minibatch": 4, "train.lr": 1e-3, "guidance.weight": 0.0})
    algorithm = PPO(config, None, policy)
    samples, optimizer = algorithm.samples(cut([turns]), 0), make_optimizer(policy, config.train)
    logged = learn(samples, algorithm, policy, optimizer, config.train, Accelerator(), np.random.default_rng(0)).metrics
    assert logged["update/logprob_mismatch"] < 1e-4


@pytest.mark.parametrize("ratio", ["token", "turn", "turn_mean"])
def test_the_policy_loss_of_another_sampler_is_weighted(ratio: str, bench: Bench, settings: Settings) -> None:
    config = settings(**WHOLE, **{"algo.ratio": ratio, "algo.policy_weight": 1.0})
    plain, _ = bench.learn(config, descent)

    def sampled(factor: float) -> list[Turn]:
        """The turns, each token's probability less than the trainer's by a factor when it was sampled."""
        shift = math.log(factor)
        replies = [replace(t.reply, sampled=tuple(x - shift for x in t.reply.logprobs)) for t in bench.turns]
        return [replace(t, reply=reply) for t, reply in zip(bench.turns, replies, strict=True)]

    def logged(factor: float, **dotted: Any) -> dict[str, float]:
        turns = sampled(factor)
        bench.rollout = cut([turns[:6], turns[6:]])
        return bench.learn(changed(config, **dotted), descent)[0]

    weighted, cut_off = logged(1.5), logged(4.0)
    assert weighted["loss/policy"] == pytest.approx(1.5 * plain["loss/policy"], rel=1e-5)
    assert cut_off["loss/policy"] == pytest.approx(2.0 * plain["loss/policy"], rel=1e-5), "the cap"
    assert logged(4.0, **{"engine.correction_mode": "mask"})["loss/policy"] == 0
    assert logged(4.0, **{"engine.correction": "off"})["loss/policy"] == pytest.approx(plain["loss/policy"], rel=1e-6)
    for name in ("loss/cloning", "loss/value"):
        assert weighted[name] == pytest.approx(plain[name], rel=1e-6)
    assert weighted["engine/weight"] == pytest.approx(1.5)
    assert (weighted["engine/cut"], cut_off["engine/cut"]) == (0, 1)
    assert weighted["engine/mismatch"] == pytest.approx(math.log(1.5))
    assert weighted["engine/kl_k1"] == pytest.approx(-math.log(1.5))
    assert not any(name.startswith("engine/") for name in plain), "the trainer's own samples are left alone"


def test_the_learning_rate_reaches_both_groups(bench: Bench, settings: Settings) -> None:
    config = settings(**{**WHOLE, "train.lr": 1e-3, "train.lr_final": 1e-4, "train.value_lr": 1e-2, "train.updates": 3})
    optimizer = make_optimizer(bench.policy, config.train)
    bench.learn(config, lambda _: optimizer, update=2)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([1e-4, 1e-3])


# -- divergence ---------------------------------------------------------------------------------------------------
def test_a_policy_loss_that_is_not_a_number_is_named_and_no_step_taken(bench: Bench, settings: Settings) -> None:
    first = bench.turns[0]
    broken = replace(first.reply, logprobs=(math.nan,) * len(first.reply.tokens))
    turns = [replace(first, reply=broken), *bench.turns[1:]]
    bench.rollout = cut([turns[:6], turns[6:]])
    with pytest.raises(DivergenceError, match=r"the policy loss became nan.*train\.lr"):
        bench.learn(settings(**WHOLE), descent)
    now = bench.policy.network.state_dict()
    assert all(torch.equal(now[name], bench.start[name]) for name in now)


def test_a_value_loss_that_is_not_a_number_is_named(bench: Bench, settings: Settings) -> None:
    bench.start["value_head.layers.0.bias"].fill_(math.inf)
    with pytest.raises(DivergenceError, match=r"the value loss became (nan|inf)"):
        bench.learn(settings(**WHOLE), descent)


def test_a_cloning_loss_that_is_not_a_number_is_named(bench: Bench, settings: Settings) -> None:
    """A lesson that asks for a token the policy can never write has probability 0."""
    one = bench.buffer.samples[0]
    bench.buffer = ThoughtBuffer()
    bench.buffer.add([replace(one, tokens=(bench.policy.tokenizer.bos_token_id, *one.tokens[1:]))])
    with pytest.raises(DivergenceError, match="the cloning loss became inf"):
        bench.learn(settings(**WHOLE), descent)


def test_a_gradient_that_is_not_a_number_is_named(bench: Bench, settings: Settings) -> None:
    weight = next(p for p in bench.policy.network.model.parameters() if p.requires_grad)
    hook = weight.register_hook(lambda grad: torch.full_like(grad, math.nan))
    with pytest.raises(DivergenceError, match=r"gradient's norms became \[nan"):
        bench.learn(settings(**WHOLE), descent)
    hook.remove()
    now = bench.policy.network.state_dict()
    assert all(torch.equal(now[name], bench.start[name]) for name in now)


def test_the_last_pass_over_each_turn_is_told(bench: Bench, settings: Settings) -> None:
    config = settings(**{**WHOLE, "train.epochs": 2, "train.minibatch": 4, "train.accumulation": 3})
    bench.policy.network.load_state_dict(bench.start)
    optimizer = descent(bench.policy)
    once = settings(**{**WHOLE, "train.minibatch": 4, "train.accumulation": 3})
    rng = np.random.default_rng(7)
    scored = bench.learnt(config, optimizer, 0, rng).logprobs
    bench.policy.network.load_state_dict(bench.start)
    rng = np.random.default_rng(7)
    bench.learnt(once, optimizer, 0, rng)
    # One step an epoch: the second pass sees the weights that the first epoch left.
    with torch.no_grad():
        after = bench.policy.score([t.prompt for t in bench.turns], [t.reply.tokens for t in bench.turns]).logprobs
    for row, turn, expected in zip(scored, bench.turns, after, strict=True):
        assert len(row) == len(turn.reply.tokens)
        assert np.allclose(row, expected[: len(row)], atol=1e-4)
    moved = max(
        abs(a - b)
        for row, turn in zip(scored, bench.turns, strict=True)
        for a, b in zip(row, turn.reply.logprobs, strict=True)
    )
    assert moved > 1e-3

"""One update, against hand computations and against itself cut into other pieces."""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import Tensor
from toys import say

from gtr.buffer import ThoughtBuffer
from gtr.config import Config
from gtr.errors import DivergenceError
from gtr.policy.policy import Policy
from gtr.tasks.reply import parse
from gtr.types import Ending, Lesson, Prompt, Reply, Rollout, Truth, Turn
from gtr.update import advantages_of, batch_of, cloning_weight, learn, learning_rate, make_optimizer, token_weights

Settings = Callable[..., Config]
MakePolicy = Callable[..., Policy]


def plain_turn(
    reward: float, value: float, ending: str = "running", bootstrap: float = 0.0, bonus: float = 0.0
) -> Turn:
    prompt = Prompt(np.zeros((2, 2, 3), np.uint8), "")
    reply = Reply("", (1,), (-1.0,), True, value)
    return Turn(
        0, 0, 0, prompt, Truth({}), reply, parse("", True, ()), True, reward, Ending(ending),
        bootstrap=bootstrap, format_reward=bonus,
    )  # fmt: skip


# -- advantages ---------------------------------------------------------------------------------------------------
ROWS = [
    [
        plain_turn(1.0, 0.5),
        plain_turn(-1.0, 0.2, "terminated", 9.0, bonus=5.0),
        plain_turn(0.0, 0.1),
        plain_turn(2.0, 0.4, bootstrap=0.7),
    ],
    [
        plain_turn(0.0, 0.3, "truncated", 0.9),
        plain_turn(1.0, -0.2, "stopped", 0.8, bonus=5.0),
        plain_turn(0.0, 0.6, "aborted", 0.6),
        plain_turn(3.0, 0.1, "terminated", 9.0),
    ],
]


def by_hand(row: Sequence[Turn], gamma: float, lam: float, stopped: str, bonus: bool) -> list[float]:
    """Every advantage as its own sum of discounted surprises, episode by episode: no recursion."""
    cut = {Ending.TRUNCATED, Ending.ABORTED} | ({Ending.STOPPED} if stopped == "truncation" else set())
    found = []
    for t in range(len(row)):
        total, weight = 0.0, 1.0
        for k in range(t, len(row)):
            turn = row[k]
            if turn.ending is Ending.RUNNING:
                after = row[k + 1].reply.value if k + 1 < len(row) else turn.bootstrap
            elif turn.ending in cut:
                after = turn.bootstrap
            else:
                after = 0.0
            reward = turn.reward + (turn.format_reward if bonus else 0.0)
            total += weight * (reward + gamma * after - turn.reply.value)
            weight *= gamma * lam
            if turn.ending is not Ending.RUNNING:
                break
        found.append(total)
    return found


@pytest.mark.parametrize("stopped", ["termination", "truncation"])
@pytest.mark.parametrize("where", ["reward", "return"])
def test_advantages_of_turns_are_those_of_a_hand_computation(stopped: str, where: str, settings: Settings) -> None:
    config = settings(
        **{"ppo.gamma": 0.9, "ppo.gae_lambda": 0.7, "ppo.stopped_is": stopped, "ppo.format_reward_in": where}
    )
    found = advantages_of(Rollout(ROWS), config)
    for env, row in enumerate(ROWS):
        wanted = by_hand(row, 0.9, 0.7, stopped, bonus=where == "reward")
        late = [t.format_reward if where == "return" else 0.0 for t in row]
        assert found.advantages[env].tolist() == pytest.approx([a + x for a, x in zip(wanted, late, strict=True)])
        values = [t.reply.value for t in row]
        assert (found.returns - found.advantages)[env].tolist() == pytest.approx(values)


def test_numbers_worked_on_paper(settings: Settings) -> None:
    """gamma .5, lambda 1. Row 0: 3 + .5(4) = 5, 4 ends. Row 1, cut at the first turn: 1 + .5(6) = 4, then 2 - 1 = 1."""
    rows = [
        [plain_turn(3.0, 0.0), plain_turn(4.0, 0.0, "terminated")],
        [plain_turn(1.0, 0.0, "truncated", 6.0), plain_turn(2.0, 1.0, "terminated")],
    ]
    found = advantages_of(Rollout(rows), settings(**{"ppo.gamma": 0.5, "ppo.gae_lambda": 1.0}))
    assert found.advantages.tolist() == [[5.0, 4.0], [4.0, 1.0]]
    assert found.returns.tolist() == [[5.0, 4.0], [4.0, 2.0]]


@pytest.mark.parametrize("normalise", [True, False])
def test_a_batch_lies_turn_by_turn(normalise: bool, settings: Settings, make_policy: MakePolicy) -> None:
    config = settings(**{"ppo.normalise": normalise})
    batch = batch_of(Rollout(ROWS), make_policy(), config)
    raw = advantages_of(Rollout(ROWS), config)
    wanted = raw.advantages.flatten()
    if normalise:
        wanted = (wanted - wanted.mean()) / wanted.std(correction=0)
    torch.testing.assert_close(batch.advantages, wanted.float())
    torch.testing.assert_close(batch.returns, raw.returns.flatten().float())
    assert batch.values.tolist() == pytest.approx([t.reply.value for row in ROWS for t in row])
    assert list(batch.turns) == [t for row in ROWS for t in row]


# -- token weights ------------------------------------------------------------------------------------------------
def spoken(policy: Policy, text: str, ended: bool = True, keys: tuple[str, ...] = ("thoughts",)) -> Turn:
    tokens = policy.encode_reply(text)[: None if ended else -1]
    turn = plain_turn(0.0, 0.0)
    reply = Reply(policy.decode(tokens), tokens, (-0.5,) * len(tokens), ended, 0.0)
    return replace(turn, reply=reply, parsed=parse(reply.text, ended, keys))


def counted(policy: Policy, turn: Turn, weight: float, config: Config) -> str:
    """The characters whose tokens have a weight."""
    spans = policy.offsets(turn.reply.tokens)
    weights = token_weights(turn, policy, config)
    assert len(weights) == len(turn.reply.tokens)
    return "".join(turn.reply.text[a:b] for (a, b), w in zip(spans, weights, strict=True) if w == weight)


TEXT = '{"target": 4, "current": 1, "thoughts": "next +", "action": "+"}'


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_ppo_sees_the_action_and_lambda_times_the_thought(
    share: float, settings: Settings, make_policy: MakePolicy
) -> None:
    policy, config = make_policy(), settings(**{"ppo.thought_weight": share})
    turn = spoken(policy, TEXT)
    assert counted(policy, turn, 1.0, config) in ('+"', '+"}'), "the value and the sign that closes it"
    before = TEXT[: TEXT.rindex('+"')]
    rest = counted(policy, turn, share, config)
    assert rest.startswith(before) if share == 0.0 else rest == before
    assert token_weights(turn, policy, config)[-1] == 0.0, "the end token is neither"


def test_the_whole_action_field_counts_where_the_settings_say_so(settings: Settings, make_policy: MakePolicy) -> None:
    policy = make_policy()
    config = settings(**{"ppo.thought_weight": 0.5, "ppo.action_tokens": "field"})
    turn = spoken(policy, TEXT)
    field = counted(policy, turn, 1.0, config)
    assert field.endswith('"action": "+"}')
    assert len(field) <= len('", "action": "+"}'), "at most the token that holds the key's first sign begins earlier"
    assert counted(policy, turn, 0.5, config) + field == TEXT
    assert token_weights(turn, policy, config)[-1] == 1.0, "everything to the end of the reply (code)"


def test_a_key_named_action_inside_the_thought_is_not_the_action(settings: Settings, make_policy: MakePolicy) -> None:
    policy = make_policy()
    turn = spoken(policy, say("-", 'my \\"action\\": + or "'.replace("\\", "")))
    assert turn.parsed.action == "-"
    for what in ("value", "field"):
        config = settings(**{"ppo.action_tokens": what})
        chosen = counted(policy, turn, 1.0, config)
        assert "-" in chosen
        assert "my" not in chosen
        assert "+" not in chosen


@pytest.mark.parametrize("text", ["", "rubbish", '{"thoughts": "next +", "act'])
def test_a_reply_without_an_action_is_all_thought(text: str, settings: Settings, make_policy: MakePolicy) -> None:
    policy = make_policy()
    turn = spoken(policy, text)
    assert counted(policy, turn, 0.5, settings(**{"ppo.thought_weight": 0.5})) == text
    assert not any(token_weights(turn, policy, settings(**{"ppo.thought_weight": 0.0})))


def test_an_unreadable_reply_with_a_visible_action_answers_for_it(settings: Settings, make_policy: MakePolicy) -> None:
    policy = make_policy()
    turn = spoken(policy, '{"thoughts" "next +", "action": "+"}')
    assert turn.parsed.action is None
    assert "+" in counted(policy, turn, 1.0, settings())


# -- schedules ----------------------------------------------------------------------------------------------------
def test_the_learning_rate_falls_along_a_cosine(settings: Settings) -> None:
    config = settings(**{"train.updates": 5, "train.lr": 1e-3, "train.lr_final": 1e-5})
    found = [learning_rate(config, update) for update in range(5)]
    middle = (1e-3 + 1e-5) / 2
    quarter = 1e-5 + 0.5 * (1e-3 - 1e-5) * (1 + math.sqrt(0.5))
    assert found == pytest.approx([1e-3, quarter, middle, 1e-3 + 1e-5 - quarter, 1e-5])
    assert learning_rate(settings(**{"train.updates": 1, "train.lr": 1e-3}), 0) == pytest.approx(1e-3)


def test_the_cloning_weight_anneals_to_nothing(settings: Settings) -> None:
    fading = settings(**{"guidance.weight": 2.0, "guidance.anneal_updates": 4})
    assert [cloning_weight(fading, update) for update in range(6)] == pytest.approx([2.0, 1.5, 1.0, 0.5, 0.0, 0.0])
    assert [cloning_weight(settings(**{"guidance.weight": 2.0}), u) for u in (0, 99)] == [2.0, 2.0]


def test_the_value_head_has_its_own_learning_rate(settings: Settings, make_policy: MakePolicy) -> None:
    policy, config = make_policy(), settings(**{"train.lr": 1e-4, "train.value_lr": 2e-3, "policy.freeze_vision": True})
    optimizer = make_optimizer(policy, config)
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
        self.rollout = Rollout([self.turns[:6], self.turns[6:]])
        self.buffer = ThoughtBuffer()
        for i in range(lessons):
            tokens = policy.encode_reply(texts[-1 - i])
            weights = [1.0] * len(tokens)
            weights[-3] = 0.0
            self.buffer.add([Lesson(prompts[i], tokens, tuple(weights))])
        self.start = copy.deepcopy(policy.network.state_dict())

    def learn(
        self, config: Config, optimizer: Any = None, update: int = 0
    ) -> tuple[dict[str, float], dict[str, Tensor]]:
        """One update from the start: what is logged, and the weights after it."""
        self.policy.network.load_state_dict(self.start)
        optimizer = optimizer(self.policy) if optimizer else make_optimizer(self.policy, config)
        rng = np.random.default_rng(7)
        logged = learn(self.rollout, self.buffer, self.policy, optimizer, config, update, Accelerator(), rng)
        return logged, {k: v.clone() for k, v in self.policy.network.state_dict().items()}

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
    "ppo.value_gradient": "flow",
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
    chosen = {**WHOLE, "ppo.ratio": ratio, "ppo.thought_weight": 0.3, "ppo.entropy_weight": 0.1}
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


def test_the_gradient_is_that_of_a_loss_written_out(bench: Bench, settings: Settings) -> None:
    """One step's gradient against autograd on the formulas, sample by sample, without padding or batching."""
    config = settings(**{**WHOLE, "ppo.thought_weight": 0.3, "ppo.value_clip": 0.2})
    found = bench.gradient(config)
    policy, batch = bench.policy, batch_of(bench.rollout, bench.policy, config)
    policy.network.load_state_dict(bench.start)
    policy.network.zero_grad()
    lessons = bench.buffer.sample(12, after_permutation(12))
    total = torch.zeros(())
    for i, turn in enumerate(bench.turns):
        scores = policy.score([turn.prompt], [turn.reply.tokens])
        weights = torch.tensor(token_weights(turn, policy, config))
        log_ratio = (weights * (scores.logprobs[0] - torch.tensor(turn.reply.logprobs))).sum()
        ratio, advantage = log_ratio.exp(), batch.advantages[i]
        gain = torch.min(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage)
        value, old, wanted = scores.values[0], turn.reply.value, batch.returns[i]
        near = old + (value - old).clamp(-0.2, 0.2)
        worse = torch.max((value - wanted) ** 2, (near - wanted) ** 2)
        total = total - gain / 12 + 0.5 * worse / 12
    tokens = sum(sum(lesson.weights) for lesson in lessons)
    for lesson in lessons:
        logprobs = policy.score([lesson.prompt], [lesson.tokens], temperatures=[1.0]).logprobs[0]
        total = total - (torch.tensor(lesson.weights) * logprobs).sum() / tokens
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
    alone = {"ppo.policy_weight": 0.0, "ppo.value_weight": 0.0}
    both = bench.gradient(settings(**WHOLE))
    ppo = bench.gradient(settings(**WHOLE, **{"guidance.weight": 0.0}))
    cloning = bench.gradient(settings(**WHOLE, **alone))
    assert size(ppo) > 0.05
    assert size(cloning) > 0.05
    assert close({n: ppo[n] + cloning[n] for n in both}, both)
    double = bench.gradient(settings(**WHOLE, **alone, **{"guidance.weight": 2.0}))
    assert close({n: 2 * g for n, g in cloning.items()}, double)


def test_the_masked_action_of_a_lesson_teaches_nothing(bench: Bench, settings: Settings) -> None:
    config = settings(**WHOLE, **{"ppo.policy_weight": 0.0, "ppo.value_weight": 0.0})
    bench.buffer.lessons = [replace(one, weights=(0.0,) * len(one.tokens)) for one in bench.buffer.lessons]
    assert size(bench.gradient(config)) == 0.0


def test_sft_only_leaves_ppo_out(bench: Bench, settings: Settings) -> None:
    config = settings("sft_only", **WHOLE)
    config = replace(config, policy=replace(config.policy, model=bench.policy.config.model))
    before = bench.gradient(config)
    bench.turns = [replace(turn, reward=turn.reward * -50) for turn in bench.turns]
    bench.rollout = Rollout([bench.turns[:6], bench.turns[6:]])
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


def test_an_honest_rollout_has_no_sampling_gap(
    settings: Settings, make_policy: MakePolicy, prompts: list[Prompt]
) -> None:
    policy = make_policy(**{"policy.freeze_vision": False})
    replies = policy.generate(prompts)
    turns = [
        replace(plain_turn(float(i), r.value), prompt=p, reply=r, parsed=parse(r.text, r.finished, ()))
        for i, (p, r) in enumerate(zip(prompts, replies, strict=True))
    ]
    config = settings(**{"train.minibatch": 4, "train.lr": 1e-3, "guidance.weight": 0.0})
    logged = learn(
        Rollout([turns]), ThoughtBuffer(), policy, make_optimizer(policy, config), config, 0, Accelerator(),
        np.random.default_rng(0),
    )  # fmt: skip
    assert logged["update/logprob_mismatch"] < 1e-4


def test_the_learning_rate_reaches_both_groups(bench: Bench, settings: Settings) -> None:
    config = settings(**{**WHOLE, "train.lr": 1e-3, "train.lr_final": 1e-4, "train.value_lr": 1e-2, "train.updates": 3})
    optimizer = make_optimizer(bench.policy, config)
    bench.learn(config, lambda _: optimizer, update=2)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([1e-4, 1e-3])


# -- divergence ---------------------------------------------------------------------------------------------------
def test_a_policy_loss_that_is_not_a_number_is_named_and_no_step_taken(bench: Bench, settings: Settings) -> None:
    first = bench.turns[0]
    turns = [replace(first, reply=replace(first.reply, logprobs=(math.nan,) * 99)), *bench.turns[1:]]
    bench.rollout = Rollout([turns[:6], turns[6:]])
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
    one = bench.buffer.lessons[0]
    bench.buffer.lessons = [replace(one, tokens=(bench.policy.tokenizer.bos_token_id, *one.tokens[1:]))]
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
    scored: list[list[float]] = []
    bench.policy.network.load_state_dict(bench.start)
    optimizer = descent(bench.policy)
    once = settings(**{**WHOLE, "train.minibatch": 4, "train.accumulation": 3})
    rng = np.random.default_rng(7)
    learn(bench.rollout, bench.buffer, bench.policy, optimizer, config, 0, Accelerator(), rng, scored)
    bench.policy.network.load_state_dict(bench.start)
    rng = np.random.default_rng(7)
    learn(bench.rollout, bench.buffer, bench.policy, optimizer, once, 0, Accelerator(), rng)
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

"""PPO's samples: advantages against hand computations, and which tokens count."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from small import changed, counted, cut, plain_turn, spoken
from toys import say

from gtr.algo.policy_gradient import token_weights
from gtr.algo.ppo import PPO
from gtr.config import Config
from gtr.policy.policy import Policy
from gtr.types import Ending, ReplyStatus, Turn

Settings = Callable[..., Config]
MakePolicy = Callable[..., Policy]


# -- advantages ---------------------------------------------------------------------------------------------------
ROWS = [
    [
        plain_turn(1.0, 0.5),
        plain_turn(-1.0, 0.2, "terminated", 9.0, complete=True),
        plain_turn(0.0, 0.1),
        plain_turn(2.0, 0.4, bootstrap=0.7),
    ],
    [
        plain_turn(0.0, 0.3, "truncated", 0.9),
        plain_turn(1.0, -0.2, "stopped", 0.8, complete=True),
        plain_turn(0.0, 0.6, "aborted", 0.6),
        plain_turn(3.0, 0.1, "terminated", 9.0),
    ],
]


def bonus_of(turn: Turn) -> float:
    return 5.0 if turn.parsed.status is ReplyStatus.COMPLETE else 0.0


class Silent:
    """A policy whose tokens hold no text."""

    def offsets(self, tokens: Sequence[int]) -> list[tuple[int, int]]:
        return [(0, 0)] * len(tokens)


def kept(row: Sequence[Turn]) -> list[Turn]:
    """A turn in which the environment broke teaches nothing."""
    return [turn for turn in row if turn.ending is not Ending.ABORTED]


def learnt_rows(rows: Sequence[Sequence[Turn]], config: Config) -> list[tuple[list[float], list[float]]]:
    """Advantages and targets of the samples that PPO makes, by row."""
    samples = iter(PPO(config, None, Silent()).samples(cut(rows), 0))
    taken = [[next(samples) for _ in kept(row)] for row in rows]
    return [([s.advantage for s in row], [s.target for s in row]) for row in taken]


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
            reward = turn.reward + (bonus_of(turn) if bonus else 0.0)
            total += weight * (reward + gamma * after - turn.reply.value)
            weight *= gamma * lam
            if turn.ending is not Ending.RUNNING:
                break
        found.append(total)
    return found


@pytest.mark.parametrize("stopped", ["termination", "truncation"])
@pytest.mark.parametrize("where", ["reward", "return"])
def test_advantages_of_turns_are_those_of_a_hand_computation(stopped: str, where: str, settings: Settings) -> None:
    chosen = {"algo.gamma": 0.9, "algo.gae_lambda": 0.7, "algo.stopped_is": stopped, "algo.format_reward": 5.0}
    config = settings(**chosen, **{"algo.format_reward_in": where, "algo.normalise": False})
    for row, (advantages, targets) in zip(ROWS, learnt_rows(ROWS, config), strict=True):
        wanted = by_hand(row, 0.9, 0.7, stopped, bonus=where == "reward")
        late = [bonus_of(t) if where == "return" else 0.0 for t in row]
        rows = zip(row, wanted, late, strict=True)
        assert advantages == pytest.approx([a + x for t, a, x in rows if t.ending is not Ending.ABORTED])
        values = [t.reply.value for t in kept(row)]
        assert [b - a for a, b in zip(advantages, targets, strict=True)] == pytest.approx(values)


def test_numbers_worked_on_paper(settings: Settings) -> None:
    """gamma .5, lambda 1. Row 0: 3 + .5(4) = 5, 4 ends. Row 1, cut at the first turn: 1 + .5(6) = 4, then 2 - 1 = 1."""
    rows = [
        [plain_turn(3.0, 0.0), plain_turn(4.0, 0.0, "terminated")],
        [plain_turn(1.0, 0.0, "truncated", 6.0), plain_turn(2.0, 1.0, "terminated")],
    ]
    found = learnt_rows(rows, settings(**{"algo.gamma": 0.5, "algo.gae_lambda": 1.0, "algo.normalise": False}))
    assert found == [([5.0, 4.0], [5.0, 4.0]), ([4.0, 1.0], [4.0, 2.0])]


def test_a_time_limit_may_count_as_an_end(settings: Settings) -> None:
    """gamma .5: with what follows 1 + .5(6) = 4, without it 1."""
    rows = [[plain_turn(1.0, 0.0, "truncated", 6.0)]]
    for seen, wanted in (("truncation", [4.0]), ("termination", [1.0])):
        config = settings(**{"algo.gamma": 0.5, "algo.truncated_is": seen, "algo.normalise": False})
        assert learnt_rows(rows, config) == [(wanted, wanted)]


@pytest.mark.parametrize("normalise", [True, False])
def test_samples_lie_turn_by_turn(normalise: bool, settings: Settings, make_policy: MakePolicy) -> None:
    config = settings(**{"algo.normalise": normalise, "algo.normalise_floor": 1e-5})
    samples = PPO(config, None, make_policy()).samples(cut(ROWS), 0)
    raw = [x for advantages, _ in learnt_rows(ROWS, changed(config, **{"algo.normalise": False})) for x in advantages]
    wanted = (np.array(raw) - np.mean(raw)) / np.std(raw) if normalise else np.array(raw)
    assert [s.advantage for s in samples] == pytest.approx(wanted.tolist(), rel=1e-5)
    turns = [t for row in ROWS for t in kept(row)]
    assert [s.value for s in samples] == [t.reply.value for t in turns]
    assert [s.old for s in samples] == [t.reply.logprobs for t in turns]
    assert [s.prompt for s in samples] == [t.prompt for t in turns]


# -- token weights ------------------------------------------------------------------------------------------------
TEXT = '{"target": 4, "current": 1, "thoughts": "next +", "action": "+"}'


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_ppo_sees_the_action_and_lambda_times_the_thought(
    share: float, settings: Settings, make_policy: MakePolicy
) -> None:
    policy, config = make_policy(), settings(**{"algo.thought_weight": share})
    turn = spoken(policy, TEXT)
    assert counted(policy, turn, 1.0, config) in ('+"', '+"}'), "the value and the sign that closes it"
    before = TEXT[: TEXT.rindex('+"')]
    rest = counted(policy, turn, share, config)
    assert rest.startswith(before) if share == 0.0 else rest == before
    assert token_weights(turn, policy, config.algo)[-1] == 0.0, "the end token is neither"


def test_the_whole_action_field_counts_where_the_settings_say_so(settings: Settings, make_policy: MakePolicy) -> None:
    policy = make_policy()
    config = settings(**{"algo.thought_weight": 0.5, "algo.action_tokens": "field"})
    turn = spoken(policy, TEXT)
    field = counted(policy, turn, 1.0, config)
    assert field.endswith('"action": "+"}')
    assert len(field) <= len('", "action": "+"}'), "at most the token that holds the key's first sign begins earlier"
    assert counted(policy, turn, 0.5, config) + field == TEXT
    assert token_weights(turn, policy, config.algo)[-1] == 1.0, "everything to the end of the reply (code)"


def test_a_key_named_action_inside_the_thought_is_not_the_action(settings: Settings, make_policy: MakePolicy) -> None:
    policy = make_policy()
    turn = spoken(policy, say("-", 'my \\"action\\": + or "'.replace("\\", "")))
    assert turn.parsed.action == "-"
    for what in ("value", "field"):
        config = settings(**{"algo.action_tokens": what})
        chosen = counted(policy, turn, 1.0, config)
        assert "-" in chosen
        assert "my" not in chosen
        assert "+" not in chosen


@pytest.mark.parametrize("text", ["", "rubbish", '{"thoughts": "next +", "act'])
def test_a_reply_without_an_action_is_all_thought(text: str, settings: Settings, make_policy: MakePolicy) -> None:
    policy = make_policy()
    turn = spoken(policy, text)
    assert counted(policy, turn, 0.5, settings(**{"algo.thought_weight": 0.5})) == text
    assert not any(token_weights(turn, policy, settings(**{"algo.thought_weight": 0.0}).algo))


def test_an_unreadable_reply_with_a_visible_action_answers_for_it(settings: Settings, make_policy: MakePolicy) -> None:
    policy = make_policy()
    turn = spoken(policy, '{"thoughts" "next +", "action": "+"}')
    assert turn.parsed.action is None
    assert "+" in counted(policy, turn, 1.0, settings())

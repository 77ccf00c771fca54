"""Collection, turn by turn: how episodes begin, go on, end and break, and what each turn remembers of it."""

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from small import cut, rows_of
from toys import CountEnv, CountTask, Scripted, count_of, say

from gtr import tasks
from gtr.algo.ppo import PPO
from gtr.config import Config
from gtr.envs import MAX_ABORTS, VecEnv
from gtr.errors import ConfigError, TaskError
from gtr.guidance import make_corrector
from gtr.guidance.corrector import Case, Corrector
from gtr.guidance.oracle import OracleCorrector
from gtr.policy.policy import Policy
from gtr.rollout import Collector
from gtr.tasks.reply import parse, write
from gtr.types import Ending, Judgement, Prompt, Reply, ReplyStatus, Rollout, RolloutSpec, Turn, Verdict

Settings = Callable[..., Config]


def collector(
    settings: Settings,
    answer: Callable[[Prompt, int], str],
    corrector: Corrector | None = None,
    task: CountTask | None = None,
    spec: RolloutSpec | None = None,
    **dotted: Any,
) -> Collector:
    config = settings(**{"train.envs": 2, "train.turns": 4, "guidance.stop_early": False, **dotted})
    played = task or CountTask()
    return Collector(played, Scripted(answer), corrector, config, spec=spec or PPO(config, played, None).rollout)


def key(turn: Turn) -> Any:
    """A turn as something that can be compared, its picture included."""
    picture = turn.prompt.image.tobytes()
    return replace(turn, prompt=Prompt(np.zeros(0, np.uint8), turn.prompt.text)).__repr__(), picture


def same(a: Rollout, b: Rollout) -> bool:
    return [key(t) for t in a.flat()] == [key(t) for t in b.flat()]


# -- episodes -----------------------------------------------------------------------------------------------------
def test_every_environment_plays_its_turns_in_order(settings: Settings) -> None:
    rollout = collector(settings, lambda p, _: say("win" if count_of(p) == 2 else "go")).collect()
    assert [len(row) for row in rows_of(rollout)] == [4, 4]
    for env, row in enumerate(rows_of(rollout)):
        assert [t.env for t in row] == [env] * 4
        assert [(t.episode, t.index) for t in row] == [(0, 0), (0, 1), (0, 2), (1, 0)]
        assert [t.reward for t in row] == [1.0, 2.0, 3.0, 1.0]
        assert [t.ending for t in row] == ["running", "running", "terminated", "running"]
        assert [t.success for t in row] == [False, False, True, False]
        assert [t.truth.state["count"] for t in row] == [0, 1, 2, 0], "the truth before the action"
        assert [count_of(t.prompt) for t in row] == [0, 1, 2, 0]
        assert all(t.legal and t.parsed.action in ("go", "win") for t in row)
    assert rollout.flat() == [*rows_of(rollout)[0], *rows_of(rollout)[1]]
    assert set(rollout.seconds) == {"generate", "step", "correct"}


def test_episodes_go_on_in_the_next_rollout(settings: Settings) -> None:
    one = collector(settings, lambda p, _: say("win" if count_of(p) == 4 else "go"), **{"train.turns": 3})
    played = [t for _ in range(5) for t in rows_of(one.collect())[1]]
    assert [(t.episode, t.index) for t in played] == [(i // 5, i % 5) for i in range(15)]
    starts = [t.truth.state["start"] for t in played]
    assert len(set(starts)) == 3
    assert all(len(set(starts[i : i + 5])) == 1 for i in (0, 5, 10))


def test_a_turn_limit_truncates_and_the_critic_sees_what_came_next(settings: Settings) -> None:
    rollout = collector(settings, lambda p, _: say("go"), **{"train.turns": 8, "task.max_turns": 3}).collect()
    row = rows_of(rollout)[0]
    assert [t.ending for t in row] == ["running", "running", "truncated"] * 2 + ["running"] * 2
    assert [t.bootstrap for t in row] == [0, 0, 103.0, 0, 0, 103.0, 0, 102.0]
    assert not any(t.success for t in row)


def test_the_environments_own_limit_truncates_too(settings: Settings) -> None:
    row = rows_of(collector(settings, lambda p, _: say("cut" if count_of(p) == 1 else "go")).collect())[0]
    assert [t.ending for t in row] == ["running", "truncated"] * 2
    assert [t.bootstrap for t in row] == [0, 102.0, 0, 102.0]


def test_the_last_turn_of_a_rollout_is_bootstrapped_where_its_episode_goes_on(settings: Settings) -> None:
    row = rows_of(collector(settings, lambda p, _: say("go"), **{"train.turns": 2}).collect())[0]
    assert [t.bootstrap for t in row] == [0, 102.0]


def test_bootstraps_are_the_critics_values_of_the_next_prompts(
    settings: Settings, make_policy: Callable[..., Policy]
) -> None:
    config = settings(**{"train.turns": 2})
    policy = make_policy()
    one = Collector(tasks.load(config.task), policy, None, config)
    rollout = one.collect()
    following = one.collect()
    for row, later in zip(rows_of(rollout), rows_of(following), strict=True):
        if row[-1].ending is Ending.RUNNING:
            assert row[-1].bootstrap == pytest.approx(later[0].reply.value, abs=1e-5)
            assert policy.values([later[0].prompt]) == pytest.approx([row[-1].bootstrap], abs=1e-5)
    assert any(row[-1].ending is Ending.RUNNING for row in rows_of(rollout))


# -- illegal and unreadable ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("text", ["", "what?", say("fly"), '{"thoughts": "fine"}', '{"thoughts": "f'])
def test_an_illegal_reply_costs_and_changes_nothing(text: str, settings: Settings) -> None:
    one = collector(settings, lambda p, call: text if call else say("go"), **{"task.illegal_reward": -0.25})
    row = rows_of(one.collect())[0]
    assert [t.truth.state["count"] for t in row] == [0, 1, 1, 1]
    assert [t.reward for t in row] == [1.0, -0.25, -0.25, -0.25]
    assert [t.legal for t in row] == [True, False, False, False]
    assert [t.index for t in row] == [0, 1, 2, 3], "and takes a turn"


def test_illegal_replies_too_run_into_the_turn_limit(settings: Settings) -> None:
    row = rows_of(collector(settings, lambda p, _: "?", **{"task.max_turns": 2}).collect())[0]
    assert [t.ending for t in row] == ["running", "truncated"] * 2


def test_an_illegal_reply_may_play_at_random(settings: Settings) -> None:
    chosen = {"task.illegal": "random", "train.turns": 40}
    rows = [rows_of(collector(settings, lambda p, _: "?", **chosen).collect())[0] for _ in range(2)]
    assert not any(t.legal for t in rows[0])
    assert {t.ending for t in rows[0]} >= {Ending.RUNNING, Ending.TERMINATED}, "both legal actions are drawn"
    assert all(t.reward == t.truth.state["count"] + 1 for t in rows[0])
    assert [t.ending for t in rows[0]] == [t.ending for t in rows[1]], "reproducibly"


def test_the_format_reward_is_for_complete_replies_alone(settings: Settings) -> None:
    texts = [say("go"), say("fly"), "?", '{"thoughts": "fine"}']
    row = rows_of(collector(settings, lambda p, call: texts[call]).collect())[0]
    assert [t.parsed.status for t in row] == [
        ReplyStatus.COMPLETE, ReplyStatus.COMPLETE, ReplyStatus.MALFORMED, ReplyStatus.MISSING_KEY
    ]  # fmt: skip
    algorithm = PPO(settings(**{"algo.format_reward": 5.0}), CountTask(), None)
    assert algorithm.format_rewards(row).tolist() == [5.0, 5.0, 0.0, 0.0]
    assert row[0].reward == 1.0, "and stands beside the game's reward"


# -- whole episodes in groups -------------------------------------------------------------------------------------
GROUPS = RolloutSpec(critic=False, episodes=True, group=2)


def ends_apart(prompt: Prompt, call: int) -> str:
    """Episodes of different lengths: how long hangs on the start state."""
    return say("win" if count_of(prompt) >= int(prompt.text.split()[0]) % 4 else "go")


def test_whole_episodes_are_played_in_groups_of_one_start_state(settings: Settings) -> None:
    one = collector(settings, ends_apart, spec=GROUPS, **{"train.envs": 4, "train.turns": 9})
    for _ in range(2):
        rollout = one.collect()
        assert len(rollout.flat()) >= 36, "as many turns as four environments of nine"
        starts: dict[int, set[Any]] = {}
        for trajectory in rollout.trajectories:
            turns = trajectory.turns
            assert [t.index for t in turns] == list(range(len(turns))), "from its first turn"
            assert [t.ending is not Ending.RUNNING for t in turns] == [False] * (len(turns) - 1) + [True], "to its last"
            starts.setdefault(trajectory.group, set()).add(turns[0].truth.state["start"])
        sizes = [sum(t.group == g for t in rollout.trajectories) for g in starts]
        assert all(len(found) == 1 for found in starts.values()), "one start state a group"
        assert len({s for found in starts.values() for s in found}) == len(starts), "of its own"
        assert set(sizes) == {2}
        assert len({len(t.turns) for t in rollout.trajectories}) > 1, "of unequal lengths"
        assert not any(t.bootstrap for t in rollout.flat())


def test_whole_episodes_go_on_exactly_after_a_rest(settings: Settings) -> None:
    chosen = {"train.envs": 4, "train.turns": 3}
    straight, rested = (collector(settings, ends_apart, spec=GROUPS, **chosen) for _ in range(2))
    assert same(straight.collect(), rested.collect())
    fresh = collector(settings, ends_apart, spec=GROUPS, **chosen)
    fresh.policy.calls = straight.policy.calls
    fresh.restore(json.loads(json.dumps(rested.state())))
    assert same(straight.collect(), fresh.collect())


def test_environments_must_fill_their_groups(settings: Settings) -> None:
    with pytest.raises(ConfigError, match=r"train\.envs is 3, .* give a multiple of 2"):
        collector(settings, ends_apart, spec=GROUPS, **{"train.envs": 3})


# -- broken environments ------------------------------------------------------------------------------------------
def test_some_episodes_begin_where_others_failed(settings: Settings) -> None:
    """Stopped at count 2, lost by a cut or a wrong end at count 3: begun there again, with the same start."""

    class Losing(CountTask):
        words: Mapping[str, int] = {**CountTask.words, "lose": 4}

        def make_env(self) -> CountEnv:
            return LosingEnv()

    class LosingEnv(CountEnv):
        action_space = gymnasium.spaces.Discrete(5)

        def step(self, action: int) -> Any:
            image, reward, ended, cut_off, info = super().step(0 if action == 4 else action)
            return image, reward, ended or action == 4, cut_off, info

    def answer(prompt: Prompt, call: int) -> str:
        return say("lose" if count_of(prompt) == 3 else "go")

    def begun(**dotted: Any) -> tuple[list[tuple[int, str]], Collector]:
        one = collector(settings, answer, task=Losing(), **{"train.turns": 40, "train.envs": 4, **dotted})
        first = [turn for turn in one.collect().flat() if turn.index == 0]
        return [(count_of(turn.prompt), turn.prompt.text.split()[0]) for turn in first], one

    plain, one = begun()
    assert {count for count, _ in plain} == {0}
    assert one.state()["failures"] == []
    some, one = begun(**{"train.recovery": 0.5})
    again = [start for count, start in some if count == 3]
    assert 0.3 < len(again) / len(some) < 0.7
    assert {count for count, _ in some} == {0, 3}
    assert set(again) <= {start for count, start in some if count == 0}, "of episodes that failed"
    assert len(one.state()["failures"]) <= 64
    chosen = {"guidance.stop_early": True, "train.recovery": 0.5}
    guided = collector(settings, lambda p, _: say("go"), OracleCorrector(Losing()), Losing(), **chosen)
    guided.collect()
    assert guided.state()["failures"][0][1] == [0, 0], "after the action for which it was stopped"
    with pytest.raises(ConfigError, match=r"train\.recovery is 0\.5, but the algorithm deals"):
        collector(settings, answer, spec=RolloutSpec(episodes=True, group=2), **{"train.recovery": 0.5})


def test_states_in_which_nothing_can_be_right_are_not_begun_from(settings: Settings) -> None:
    class Hopeless(CountTask):
        def solvable(self, truth: Any) -> bool:
            return truth.state["count"] != 2

    chosen = {"guidance.stop_early": True, "train.recovery": 0.9}
    guided = collector(settings, lambda p, _: say("go"), OracleCorrector(CountTask()), Hopeless(), **chosen)
    guided.collect()
    assert guided.state()["failures"] == []


def test_an_environment_that_breaks_aborts_its_episode_and_the_run_goes_on(settings: Settings) -> None:
    one = collector(settings, lambda p, call: say("break" if call == 1 else "go"))
    broken = one.envs.states[0].env
    row = rows_of(one.collect())[0]
    assert [t.ending for t in row] == ["running", "aborted", "running", "running"]
    assert [(t.episode, t.index) for t in row] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert row[1].reward == 0.0
    assert not row[1].success
    assert row[1].bootstrap == row[1].reply.value, "the state it broke in is all that is known of what follows"
    assert one.envs.states[0].env is not broken, "a fresh environment takes over"


def test_an_environment_that_only_breaks_stops_the_run(settings: Settings) -> None:
    one = collector(settings, lambda p, _: say("break"), **{"train.turns": MAX_ABORTS})
    with pytest.raises(TaskError, match=r"task 'count' broke 10 times in a row.*the game broke"):
        one.collect()


def test_breaking_now_and_then_never_stops_the_run(settings: Settings) -> None:
    one = collector(settings, lambda p, _: say("break" if count_of(p) == 1 else "go"), **{"train.turns": 60})
    assert [t.ending for t in rows_of(one.collect())[0]] == ["running", "aborted"] * 30


def test_an_environment_that_cannot_begin_is_a_tasks_error(settings: Settings) -> None:
    class Headless(CountEnv):
        def reset(self, **arguments: Any) -> Any:
            raise OSError("no display")

    class HeadlessTask(CountTask):
        def make_env(self) -> CountEnv:
            return Headless()

    with pytest.raises(TaskError, match=r"reset raised OSError: no display"):
        collector(settings, lambda p, _: say("go"), task=HeadlessTask())


BROKEN = [
    ('{"cards": [7, 5], "formula": "7+5=", "thoughts": "next 7", "action": "number 7"}', "7"),
    ('{"thoughts": "take the 5", "action": "7"}', "7"),
    ('{"cards": [7, 5, "formula: 7+5, "action": "10"', "10"),
    ('so I say "ACTION": 7', "7"),
    ('{"cards": [7, 5], "action": "7 or 5"}', None),
    ('{"cards": [7, 5], "action": "11"}', "1"),
    ('{"cards": [7, 5], "action": "seven"}', None),
    ("the next number is 7", "7"),
    ("the next number is 7.", None),
    ("", None),
]
"""Replies on EZPoints and what the public code's reader takes for their action: None is played at random."""


@pytest.mark.parametrize(("text", "action"), BROKEN)
def test_the_reference_plays_whatever_one_action_a_reply_names(
    text: str, action: str | None, settings: Settings
) -> None:
    config = settings("reference", "ezpoints", **{"train.envs": 1, "guidance.stop_early": False})
    game = tasks.load(config.task)
    envs = VecEnv(game, 1, config)
    seen = []
    for draw in range(40):
        envs.begin(envs.states[0], {"options": {"cards": [7, 5]}}, 0)
        reply = Reply(text, (1,), (-0.5,), True)
        turn = envs.play(envs.states[0], reply, parse(text, True, game.thought_keys), np.random.default_rng(draw))
        seen.append(envs.states[0].played[0])
        assert turn.legal is (action is not None)
    assert {game.words[index] for index in seen} == {action} if action else len(set(seen)) > 8


def test_strict_readers_leave_broken_replies_unread(settings: Settings) -> None:
    for method in ("gtr", "rl4vlm"):
        config = settings(method, "ezpoints", **{"train.envs": 1})
        game = tasks.load(config.task)
        envs = VecEnv(game, 1, config)
        for text, _ in BROKEN:
            envs.begin(envs.states[0], {"options": {"cards": [7, 5]}}, 0)
            parsed = parse(text, True, game.thought_keys)
            turn = envs.play(envs.states[0], Reply(text, (1,), (-0.5,), True), parsed, np.random.default_rng(0))
            assert (turn.legal, turn.reward, envs.states[0].played) == (False, -1.0, [])


# -- correctors ---------------------------------------------------------------------------------------------------
def test_leaving_the_plan_stops_the_episode(settings: Settings) -> None:
    chosen = {"guidance.stop_early": True, "guidance.stop_reward": -7.0}
    row = rows_of(collector(settings, lambda p, _: say("go"), OracleCorrector(CountTask()), **chosen).collect())[0]
    assert [t.ending for t in row] == ["running", "stopped"] * 2, "at count 2 the task is off course"
    assert [t.reward for t in row] == [1.0, -7.0] * 2
    assert all(t.verdict is not None and t.verdict.judgement is Judgement.CORRECT for t in row)


def test_without_early_stopping_verdicts_change_nothing_but_lessons(settings: Settings) -> None:
    guided = collector(settings, lambda p, _: say("go", "bad"), OracleCorrector(CountTask())).collect()
    alone = collector(settings, lambda p, _: say("go", "bad")).collect()
    assert all(t.verdict is not None and t.verdict.judgement is Judgement.INCORRECT for t in guided.flat())
    stripped = cut([[replace(t, verdict=None) for t in row] for row in rows_of(guided)])
    assert same(stripped, alone)


def test_an_end_state_is_not_stopped_again(settings: Settings) -> None:
    chosen = {"guidance.stop_early": True}
    one = collector(settings, lambda p, _: say("win" if count_of(p) else "go"), OracleCorrector(CountTask()), **chosen)
    row = rows_of(one.collect())[0]
    assert [t.ending for t in row] == ["running", "terminated"] * 2
    assert row[1].reward == 2.0
    assert row[1].success


@pytest.mark.parametrize(("seen_as", "bootstrap"), [("termination", 0.0), ("truncation", 102.0)])
def test_a_stopped_turn_has_a_bootstrap_where_gae_asks_for_it(
    seen_as: str, bootstrap: float, settings: Settings
) -> None:
    chosen = {"guidance.stop_early": True, "algo.stopped_is": seen_as, "train.turns": 3}
    row = rows_of(collector(settings, lambda p, _: say("go"), OracleCorrector(CountTask()), **chosen).collect())[0]
    assert row[1].ending is Ending.STOPPED
    assert row[1].bootstrap == bootstrap


class Player(Scripted):
    """Plays given symbols of a point game one after the other, its plan and announcement those of a right thought."""

    def values(self, prompts: Sequence[Prompt]) -> list[float]:
        return [0.0] * len(prompts)


def played(settings: Settings, method: str, cards: Sequence[int], plans: str, symbols: Sequence[str]) -> list[Turn]:
    """One environment's turns from a dealt hand; thoughts state the plan, and the action may be another symbol."""
    task = "ezpoints" if len(cards) == 2 else "points24"
    config = settings(method, task, **{"train.envs": 1, "train.turns": len(symbols)})
    game = tasks.load(config.task)

    def answer(prompt: Prompt, call: int) -> str:
        done = "".join(symbols[:call])
        plan = plans if plans.startswith(done) else f"{done}{plans[len(done) :]}"
        thought = {"cards": list(cards), "formula": plan, "thoughts": f"next {plan[len(done)]}"}
        return write(thought, symbols[call])

    one = Collector(game, Player(answer), make_corrector(config, game), config, spec=PPO(config, game, None).rollout)
    one.envs.begin(one.envs.states[0], {"options": {"cards": list(cards)}}, 0)
    return rows_of(one.collect())[0]


def test_a_legal_symbol_that_the_plan_did_not_want_ends_the_game_where_the_settings_say_so(settings: Settings) -> None:
    """EZPoints, 7 and 5: "5" instead of "7" can still win. The public code stops on a loss there, and on Points24 on
    leaving the plan."""
    (turn,) = played(settings, "gtr", (7, 5), "7+5=", ["5"])
    assert (turn.ending, turn.reward) == (Ending.STOPPED, -1.0)
    row = played(settings, "reference", (7, 5), "7+5=", ["5", "+", "7", "="])
    assert [t.ending for t in row] == ["running", "running", "running", "terminated"]
    assert (row[-1].reward, row[-1].success) == (10.0, True)
    (turn,) = played(settings, "reference", (4, 6, 1, 1), "4*6*1*1=", ["6"])
    assert (turn.ending, turn.reward) == (Ending.STOPPED, -1.0)


def test_a_loss_ends_the_game_in_the_reference(settings: Settings) -> None:
    """A number that is on no card costs 1, and the game goes on without a corrector that stops on it."""
    (turn,) = played(settings, "reference", (7, 5), "7+5=", ["9"])
    assert (turn.ending, turn.reward, turn.legal) == (Ending.STOPPED, -1.0, True)


@pytest.mark.parametrize(
    ("causes", "stopped"),
    [(("illegal",), True), (("loss",), False), (("unsolvable", "loss"), False), (("no_plan",), True), ((), False)],
)
def test_an_illegal_action_that_is_played_at_random_ends_an_episode_only_if_asked(
    causes: tuple[str, ...], stopped: bool, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CountTask, "actions", lambda self, observation: ("go",))
    chosen = {"guidance.stop_early": True, "guidance.stop_on": causes, "task.illegal": "random", "train.turns": 1}
    rows = rows_of(collector(settings, lambda p, _: "hm", OracleCorrector(CountTask()), **chosen).collect())
    assert [t.ending is Ending.STOPPED for (t,) in rows] == [stopped] * 2
    assert not any(t.legal for (t,) in rows)


@pytest.mark.parametrize(("judgement", "stopped"), [(Judgement.CORRECT, True), (Judgement.ABSENT, False)])
def test_a_corrector_that_did_not_answer_has_no_plan_to_miss(
    judgement: Judgement, stopped: bool, settings: Settings
) -> None:
    class Planless(Corrector):
        def judge(self, cases: Sequence[Case]) -> list["Future[Verdict]"]:
            futures: list[Future[Verdict]] = [Future() for _ in cases]
            for future in futures:
                future.set_result(Verdict(judgement))
            return futures

    chosen = {"guidance.stop_early": True, "guidance.stop_on": ("no_plan",), "train.turns": 1}
    rows = rows_of(collector(settings, lambda p, _: say("go"), Planless(), **chosen).collect())
    assert [t.ending is Ending.STOPPED for (t,) in rows] == [stopped] * 2


class Slow(Corrector):
    """Answers nothing until the whole rollout has been played."""

    def __init__(self, release: threading.Event) -> None:
        self.release, self.asked = release, 0

    def judge(self, cases: Sequence[Case]) -> list["Future[Verdict]"]:
        futures: list[Future[Verdict]] = [Future() for _ in cases]
        self.asked += 1

        def answer() -> None:
            assert self.release.wait(30)
            for case, future in list(zip(cases, futures, strict=True))[::-1]:
                note = f"{case.env} {case.episode} {case.index}"
                future.set_result(Verdict(Judgement.INCORRECT, {"thoughts": note}, target=note))

        threading.Thread(target=answer, daemon=True).start()
        return futures


def test_a_slow_corrector_does_not_hold_up_the_game(settings: Settings) -> None:
    """Verdicts that cannot end an episode are waited for once, after the last turn; waiting earlier would hang here."""
    release = threading.Event()

    def answer(prompt: Prompt, call: int) -> str:
        if call == 3:
            release.set()
        return say("win" if count_of(prompt) == 1 else "go")

    slow = Slow(release)
    rollout = collector(settings, answer, slow).collect()
    assert slow.asked == 4
    for turn in rollout.flat():
        assert turn.verdict is not None
        assert turn.verdict.target == f"{turn.env} {turn.episode} {turn.index}", "each turn gets its own verdict"


def test_a_slow_corrector_that_may_stop_episodes_is_waited_for(settings: Settings) -> None:
    release = threading.Event()
    release.set()
    rollout = collector(settings, lambda p, _: say("go"), Slow(release), **{"guidance.stop_early": True}).collect()
    assert [t.ending for t in rows_of(rollout)[0]] == ["running", "stopped"] * 2
    assert all(t.verdict is not None for t in rollout.flat())


# -- reproducibility ----------------------------------------------------------------------------------------------
@pytest.fixture
def guided(settings: Settings, make_policy: Callable[..., Policy]) -> Callable[..., Collector]:
    def make(rank: int = 0, **dotted: Any) -> Collector:
        small = {"train.turns": 4, "train.envs": 3, "guidance.stop_early": False}
        config = settings("gtr", "ezpoints", **{**small, **dotted})
        task = tasks.load(config.task)
        return Collector(task, make_policy(task="ezpoints"), make_corrector(config, task), config, rank)

    return make


def test_equal_seeds_give_equal_rollouts(guided: Callable[..., Collector]) -> None:
    rollouts = []
    for seed in (1, 1, 2):
        torch.manual_seed(4)
        rollouts.append(guided(seed=seed).collect())
    assert same(rollouts[0], rollouts[1])
    assert not same(rollouts[0], rollouts[2])


def test_processes_play_different_episodes(guided: Callable[..., Collector]) -> None:
    starts = [{str(s.start) for s in guided(rank=rank).envs.states} for rank in (0, 1, 2)]
    assert all(len(one) == 3 for one in starts)
    assert len(set.union(*starts)) == 9


@pytest.mark.parametrize("recovery", [0.0, 0.6])
def test_a_restored_collector_goes_on_exactly(recovery: float, settings: Settings) -> None:
    """In the middle of episodes, after a break, and with the corrector's memory of a plan."""

    def answer(prompt: Prompt, call: int) -> str:
        count = count_of(prompt)
        return ["?", say("go", "bad"), say("go"), say("break" if call == 2 else "go"), say("win")][count % 5]

    def make() -> Collector:
        chosen = {"task.illegal": "random", "train.turns": 5, "train.recovery": recovery}
        chosen["guidance.stop_early"] = recovery > 0
        return collector(settings, answer, OracleCorrector(CountTask()), **chosen)

    straight, resumed = make(), make()
    straight.collect()
    saved = json.dumps(straight.state())
    resumed.restore(json.loads(saved))
    resumed.policy.calls = straight.policy.calls
    assert json.dumps(resumed.state()) == saved
    for _ in range(4):
        assert same(straight.collect(), resumed.collect())
    assert json.dumps(resumed.state()) == json.dumps(straight.state())


def test_a_restored_collector_of_a_real_agent_goes_on_exactly(guided: Callable[..., Collector]) -> None:
    straight, resumed = guided(), guided()
    torch.manual_seed(1)
    straight.collect()
    assert any(state.turn for state in straight.envs.states)
    resumed.restore(json.loads(json.dumps(straight.state())))
    rollouts = []
    for one in (straight, resumed):
        torch.manual_seed(2)
        rollouts.append(one.collect())
    assert same(*rollouts)

"""The environment and the task: what they promise to gymnasium, to agents and to learners."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import gtr.tasks  # noqa: F401
from gtr import evaluate
from gtr.config import Config
from gtr.envs import VecEnv
from gtr.errors import ConfigError
from gtr.tasks import load, settings
from gtr.tasks.alfworld import icons, render
from gtr.tasks.alfworld.commands import Command, match, read
from gtr.tasks.alfworld.draft import GameSpec
from gtr.tasks.alfworld.env import ALFWorldEnv
from gtr.tasks.alfworld.expert import advise
from gtr.tasks.alfworld.game_set import Generated
from gtr.tasks.alfworld.memory import Memory, everything
from gtr.tasks.alfworld.task import ALFWorldTask
from gtr.tasks.alfworld.world import SHORT, Goal, Kind, Receptacle, Room, State, conditions
from gtr.tasks.reply import parse, write
from gtr.types import Ending, Observation, Reply

SMALL: dict[str, Any] = {"workers": False, "games": 12, "space": 6, "clutter": 4}


def task_with(prompt: str = "paper", **values: Any) -> ALFWorldTask:
    task = load(settings("alfworld", image_size=48, prompt=prompt, **{**SMALL, **values}))
    assert isinstance(task, ALFWorldTask)
    return task


# -- no engine ----------------------------------------------------------------------------------------------------
@pytest.mark.no_engine
@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("move mug 1 to desk 2", Command("put", "mug 1", "desk 2")),
        ("put mug 1 in/on desk 2", Command("put", "mug 1", "desk 2")),
        ("take mug 1 from desk 2", Command("take", "mug 1", "desk 2")),
        ("go to drawer 12", Command("go", where="drawer 12")),
        ("use desklamp 1", Command("use", "desklamp 1")),
        ("look", Command("look")),
    ],
)
def test_commands_of_both_grammars(text: str, command: Command) -> None:
    assert read(text) == command


@pytest.mark.no_engine
def test_actions_match_exactly_or_by_an_unambiguous_form() -> None:
    commands = ["go to drawer 1", "go to drawer 10", "move mug 1 to desk 1", "look"]
    assert match("go to drawer 1", commands) == "go to drawer 1"
    assert match(" Go to the  drawer 10. ", commands) == "go to drawer 10"
    assert match("put mug 1 in/on desk 1", commands) == "move mug 1 to desk 1"
    assert match("put the mug1 on the desk1", commands) == "move mug 1 to desk 1"
    assert match("I will go to drawer 10", commands) is None
    assert match("go to drawer", commands) is None
    assert match("I will go to drawer 10", commands, substring=True) == "go to drawer 1"


def room_of(goal: Goal) -> Room:
    names = {"desk 1": False, "desk 2": False, "drawer 1": True, "fridge 1": True, "sinkbasin 1": False}
    receptacles = {n: Receptacle(n, f"at {n}", door, (float(i), 0.5, 0.0)) for i, (n, door) in enumerate(names.items())}
    places = {r.place: (r.at[0], 1.0) for r in receptacles.values()} | {"start": (2.0, 2.0)}
    return Room(receptacles, places, {"mug": frozenset({"desk", "drawer", "fridge", "sinkbasin"})}, goal)


def state_of(
    place: str = "start",
    inside: Mapping[str, str | tuple[str, ...]] | None = None,
    held: str | None = None,
    **marks: str,
) -> State:
    sets = {key: frozenset([marks[key]] if key in marks else []) for key in ("opened", "clean", "hot", "cool", "lit")}
    lying = {thing: (where,) if isinstance(where, str) else where for thing, where in (inside or {}).items()}
    return State(place, lying, held, **sets)


@pytest.mark.no_engine
def test_goal_conditions_by_hand() -> None:
    cool, two = room_of(Goal(Kind.COOL, "mug", "desk")), room_of(Goal(Kind.TWO, "mug", "desk"))
    light = room_of(Goal(Kind.LOOK, "mug", "desklamp"))
    assert conditions(cool, state_of(inside={"mug 1": "drawer 1"})) == (0, 3)
    assert conditions(cool, state_of(inside={"mug 1": "desk 1"})) == (1, 3)
    assert conditions(cool, state_of(held="mug 1", cool="mug 1")) == (1, 3)
    assert conditions(cool, state_of(inside={"mug 1": "desk 1", "mug 2": "drawer 1"}, cool="mug 2")) == (2, 3)
    assert conditions(cool, state_of(inside={"mug 1": "desk 1"}, cool="mug 1")) == (3, 3)
    assert conditions(two, state_of(inside={"mug 1": "desk 1", "mug 2": "desk 2"})) == (1, 2)
    assert conditions(two, state_of(inside={"mug 1": "desk 2", "mug 2": "desk 2"})) == (2, 2)
    # In a third of ALFWorld's own games a thing lies in two places at once, and stays in one when taken from the other.
    assert conditions(cool, state_of(inside={"mug 1": ("desk 1", "drawer 1")}, cool="mug 1")) == (3, 3)
    assert conditions(two, state_of(inside={"mug 1": ("desk 1", "desk 2"), "mug 2": "desk 2"})) == (2, 2)
    assert conditions(two, state_of(inside={"mug 1": ("desk 1", "desk 2"), "mug 2": "drawer 1"})) == (1, 2)
    lamp = {"desklamp 1": "desk 1"}
    assert conditions(light, state_of("at desk 1", lamp, "mug 1")) == (1, 2)
    assert conditions(light, state_of("at desk 2", lamp, "mug 1", lit="desklamp 1")) == (1, 2)
    assert conditions(light, state_of("at desk 1", lamp, "mug 1", lit="desklamp 1")) == (2, 2)


@pytest.mark.no_engine
def test_the_expert_knows_only_what_was_seen_unless_told_otherwise() -> None:
    room = room_of(Goal(Kind.PICK, "mug", "desk"))
    state = state_of(inside={"mug 1": "drawer 1"})
    searching = advise(room, state, {})
    assert searching is not None
    assert searching.goal == "find a mug"
    assert Command("go", where="drawer 1") in searching.moves
    assert len(searching.moves) == 5
    knowing = advise(room, state, everything(room, state))
    assert knowing is not None
    assert (knowing.goal, knowing.moves) == ("take mug 1", (Command("go", where="drawer 1"),))
    there = advise(room, replace(state, place="at drawer 1"), everything(room, state))
    assert there is not None
    assert there.moves == (Command("open", where="drawer 1"),)


@pytest.mark.no_engine
def test_the_expert_fetches_nothing_twice_that_lies_in_two_places() -> None:
    room = room_of(Goal(Kind.TWO, "mug", "desk"))
    state = state_of("at desk 1", {"mug 1": ("desk 1", "drawer 1"), "mug 2": "sinkbasin 1"})
    advice = advise(room, state, everything(room, state))
    assert advice is not None
    assert (advice.goal, advice.moves) == ("take mug 2", (Command("go", where="sinkbasin 1"),))


@pytest.mark.no_engine
def test_every_kind_has_an_icon_of_its_own_in_every_style() -> None:
    table = {**icons.THINGS, **icons.RECEPTACLES}
    for look in render.STYLES.values():
        drawn = {render._tile(shapes, 24, look).tobytes() for shapes in table.values()}
        assert len(drawn) == len(table)


@pytest.mark.no_engine
@pytest.mark.parametrize("labels", [True, False])
@pytest.mark.parametrize("look", render.STYLES)
def test_hidden_contents_never_show(look: str, labels: bool) -> None:
    room = room_of(Goal(Kind.PICK, "mug", "desk"))
    for facing in ("desk 1", "drawer 1", None):
        place = "start" if facing is None else f"at {facing}"
        empty, full = state_of(place), state_of(place, {"mug 1": "fridge 1", "apple 1": "drawer 1"})
        pictures = [render.draw(room, state, facing, 200, look, labels) for state in (empty, full)]
        assert np.array_equal(*pictures)


@pytest.mark.no_engine
def test_everything_that_an_eye_could_see_shows() -> None:
    room = room_of(Goal(Kind.PICK, "mug", "desk"))
    base = state_of("at fridge 1", {"mug 1": "fridge 1"}, "apple 1", opened="fridge 1")
    others = [
        replace(base, inside={}),
        replace(base, inside={"mug 2": ("fridge 1",)}),
        replace(base, inside={"cup 1": ("fridge 1",)}),
        replace(base, held=None),
        replace(base, held="apple 2"),
        replace(base, opened=frozenset()),
        replace(base, hot=frozenset({"apple 1"})),
        replace(base, clean=frozenset({"mug 1"})),
        replace(base, place="start"),
    ]
    for size, labels in ((96, False), (200, False), (200, True)):
        pictures = [render.draw(room, s, "fridge 1", size, "classic", labels).tobytes() for s in [base, *others]]
        assert len(set(pictures)) == len(pictures)
        assert render.draw(room, base, "fridge 1", size, "classic", labels).tobytes() == pictures[0]


@pytest.mark.no_engine
def test_names_are_written_where_they_can_be_read_and_move_nothing_else() -> None:
    room = room_of(Goal(Kind.PICK, "mug", "desk"))
    state = state_of("at fridge 1", {"mug 1": "fridge 1"}, "apple 1", opened="fridge 1")
    for size, written in ((96, False), (300, True)):
        named, bare = (render.draw(room, state, "fridge 1", size, labels=labels) for labels in (True, False))
        assert np.array_equal(named, bare) != written
        below = int(0.75 * size)
        assert np.array_equal(named[below:], bare[below:])


# -- with the engine ----------------------------------------------------------------------------------------------
def test_it_is_a_gymnasium_environment() -> None:
    env = ALFWorldEnv(Generated(GameSpec(receptacles=4, clutter=2), 3), image_size=64)
    check_env(env, skip_render_check=True)
    env.close()
    assert gymnasium.make("gtr/ALFWorld-v0").observation_space.shape == (300, 300, 3)


def test_rewards_illegal_commands_and_cuts() -> None:
    env = task_with(limit=6, repeats=3).make_env()
    first, info = env.reset(seed=1)
    image, reward, ended, cut, info = env.step("fly to the moon")
    assert (reward, ended, cut, info["illegal"]) == (-1.0 + info["conditions"], False, False, 1)
    assert np.array_equal(first, image)
    assert env.step("look")[1:4] == (info["conditions"], False, False)
    assert [env.step("inventory")[1:4] for _ in range(3)][-1] == (-3.0, False, True)
    env.reset(seed=1)
    assert [env.step(("look", "help")[i % 2])[3] for i in range(6)] == [False] * 5 + [True]
    env.close()
    ended = task_with(limit=1, cut="termination", cut_reward=None).make_env()
    ended.reset(seed=1)
    assert ended.step("look")[2:4] == (True, False)


@pytest.mark.parametrize("prompt", ["paper", "compact"])
def test_expert_thoughts_pass_their_own_checks_and_win_every_kind(prompt: str) -> None:
    task = task_with(prompt)
    env = task.make_env()
    for number in range(6):
        image, info = env.reset(options={"game": number})
        ended = False
        while not ended:
            observation, truth = task.observe(image, info), task.truth(info)
            expert = task.expert(truth)
            assert expert is not None
            parsed = parse(write(expert.thought, expert.action), True, task.thought_keys)
            assert all(task.check(truth, parsed, None).values()), expert
            assert task.implied_action(parsed, observation) == expert.action
            assert expert.action in task.prompt(observation)
            wrong = {**expert.thought, "thoughts": "next look"}
            assert not all(task.check(truth, parse(write(wrong, "look"), True, task.thought_keys), None).values())
            image, _, terminated, truncated, info = env.step(expert.action)
            ended = terminated or truncated
        assert info["won"], number
    env.close()


def test_the_expert_wins_from_wherever_random_play_leads() -> None:
    task = task_with(limit=200)
    env, rng = task.make_env(), np.random.default_rng(0)
    for number in range(12):
        _, info = env.reset(options={"game": number})
        for _ in range(12):
            if not info["won"]:
                commands = [c for c in info["commands"] if read(c).verb not in ("help", "look", "inventory", "examine")]
                *_, info = env.step(str(rng.choice(commands)))
        while not info["won"]:
            expert = task.expert(task.truth(info))
            assert expert is not None, (number, info["state"])
            _, _, _, truncated, info = env.step(expert.action)
            assert not truncated, number
    env.close()


def test_what_the_game_refuses_is_played_counted_and_remembered() -> None:
    task = task_with("compact")
    table = VecEnv(task, 1, Config(task=task.config))
    state = table.states[0]
    table.begin(state, {"seed": 1}, 0)
    rate = state.progress
    assert rate is not None
    reply = Reply('{"view": "", "hand": "", "thoughts": "", "action": "fly to\\nthe moon"}', (), (), True)
    turn = table.play(state, reply, parse(reply.text, True, task.thought_keys), np.random.default_rng(0))
    assert (turn.legal, turn.reward, turn.ending, turn.progress) == (False, rate - 1, Ending.RUNNING, rate)
    assert state.observation.words["history"] == "fly to the moon (not possible)"
    assert state.truth.state["illegal"] == 1
    unread = Reply("?", (), (), True)
    turn = table.play(state, unread, parse("?", True, task.thought_keys), np.random.default_rng(0))
    assert (turn.legal, turn.reward, state.truth.state["illegal"]) == (False, -1.0, 1)
    table.close()


def test_the_reference_reads_the_first_command_it_finds_and_charges_what_it_plays_at_random() -> None:
    task = task_with(illegal="lenient", match="substring")
    table = VecEnv(task, 1, Config(task=task.config))
    state = table.states[0]
    for text, legal in (
        ('{"thoughts": "x, "action": "I would LOOK around"}', True),
        ("I shall now simply look around", True),
        ("look around, and then stay as long where I happen to be", False),
        ('{"thoughts": "look", "action": "fly"}', False),
        ("", False),
    ):
        table.begin(state, {"seed": 1}, 0)
        reply = Reply(text, (), (), True)
        turn = table.play(state, reply, parse(text, True, task.thought_keys), np.random.default_rng(0))
        assert (turn.legal, turn.ending) == (legal, Ending.RUNNING), text
        assert turn.reward == pytest.approx((state.progress or 0.0) - (0 if legal else 1))
        assert not legal or state.played == ["look"]
        assert state.truth.state["illegal"] == 0, "what is played is always admissible"
    table.close()


def test_the_reference_cuts_at_the_forty_first_command() -> None:
    task = task_with(limit=41)
    env = task.make_env()
    env.reset(seed=0)
    cuts = [env.step(("look", "inventory")[number % 2])[1:4] for number in range(41)]
    assert [truncated for _, _, truncated in cuts] == [False] * 40 + [True]
    assert cuts[-1][0] == -3.0


def test_the_scene_is_told_only_where_asked_for() -> None:
    for text in (False, True):
        task = task_with(text=text)
        image, info = task.make_env().reset(seed=0)
        assert ("You are in the middle of a room" in task.prompt(task.observe(image, info))) == text


def test_history_is_as_long_as_asked_for() -> None:
    task = task_with(history=2)
    env = task.make_env()
    env.reset(seed=0)
    for action in ("look", "fly", "inventory"):
        image, *_, info = env.step(action)
    assert task.observe(image, info).words["history"] == "fly (not possible)\ninventory"


def test_success_is_told_by_kind_with_conditions_on_seen_and_unseen_rooms() -> None:
    config = Config(task=task_with().config)
    found = {split: evaluate.evaluate("expert", config, split, 8) for split in ("seen", "unseen")}
    panels = set()
    for result in found.values():
        assert result.successes == result.episodes == sum(group.episodes for group in result.groups.values()) == 8
        assert set(result.groups) <= set(SHORT)
        assert len(result.groups) > 1
        assert result.conditions == (1.0, 1.0, 1.0)
        panels.add(result.panel)
    assert len(panels) == 2
    lost = evaluate.evaluate("random", config, "unseen", 8)
    assert lost.conditions is not None
    assert lost.success <= lost.conditions[0] < 1
    assert lost.conditions[1] <= lost.conditions[0] <= lost.conditions[2]
    numbers = {split: task_with().for_split(split).split for split in ("seen", "unseen")}
    assert numbers == {"seen": "seen", "unseen": "unseen"}
    with pytest.raises(ConfigError, match="same, new-look, seen, unseen"):
        task_with().for_split("new-rules")


def test_the_description_names_versions_and_grammar() -> None:
    about = task_with().describe()
    assert about["grammar"] == "move"
    assert "textworld" in about


@pytest.mark.no_engine
def test_a_prompt_depends_on_the_observation_alone() -> None:
    task = task_with("compact")
    shown = {"task": "put a mug in desk", "history": "", "commands": "examine desk 1\ngo to desk 1\nlook"}
    picture = np.zeros((48, 48, 3), np.uint8)
    assert task.prompt(Observation(picture, shown)) == "go to desk 1\ndone: \ntask: put a mug in desk"
    assert Memory().facing is None
    assert set(SHORT.values()) == set(Kind)

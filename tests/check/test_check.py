"""`gtr check`: a task that is broken in one way is told just that, and what would be right."""

import subprocess
import sys
from pathlib import Path

import pytest

from gtr import preset
from gtr.check import CHECKS, findings
from gtr.cli import run
from gtr.tasks import TASKS
from gtr.tasks.task import Finding

BROKEN = Path(__file__).with_name("broken.py")
EXAMPLE = str(Path(__file__).parents[2] / "examples" / "dots.py") + ":DotsTask"
CASES = {
    "Crash": ("prompt: KeyError: 'missing'", 'return observation.words["missing"]'),
    "CrashingEnv": ("RuntimeError: no display", "in make_env"),
    "NoEnv": ("make_env returns a str", "gymnasium.Env"),
    "OldStep": ("step returns a tuple of 4", "terminated, truncated"),
    "Infinite": ("step gives the reward nan", "a finite number"),
    "Ended": ("step gives terminated = 'no'", "True or False"),
    "Grey": ("has one channel, shape (96, 96)", "RGB"),
    "OneChannel": ("has one channel, shape (96, 96, 1)", "np.stack"),
    "FourChannels": ("has four channels", "[..., :3]"),
    "ChannelsFirst": ("has its channels first", "transpose(1, 2, 0)"),
    "Floats": ("is of float32", "astype(np.uint8)"),
    "Numbers": ("has the shape (4,): numbers, no picture", "AddRenderObservation"),
    "Words": ("is a dict", "RGB"),
    "Blank": ("of one colour alone", "draw"),
    "OneBuffer": ("the picture of an earlier turn changes", "copy"),
    "OneInfo": ("what info said of an earlier turn changes", "copies"),
    "Unseeded": ("gave another game: the picture of turn 0 differs", "self.np_random"),
    "StartsOfItsOwn": ("reset_arguments gives other starts", "`rng`"),
    "NoSame": ("splits are other", '"same"'),
    "MissingSplit": ("--split harder", "in for_split"),
    "BadName": ("name is 'My Task!'", 'name = "maze"'),
    "NoMethod": ("rules is 'go to the goal', where a task has a method", "another name"),
    "TwiceTheKey": ("thought_keys are ('ball', 'ball')", "different keys"),
    "ReadingLast": ("reading_keys ('goal',) are not the first", "begin with what it sees"),
    "NoPrompt": ("the paper prompt is ' '", "a text"),
    "RandomPrompt": ("the paper prompt differs from call to call", "observation alone"),
    "NoKeys": ("the prompt does not show the key 'ball'", '{"ball": ..., "goal": ..., "thoughts": ..., "action": ...}'),
    "WrongOrder": ("in another order", "action last"),
    "Numbered": ("actions() names 0, no text", "'0'"),
    "Blanks": ("the action ' left' comes back from a reply as 'left'", "without blanks"),
    "Twice": ("actions() names ['left', 'left']", "once"),
    "Refused": ("to_env refuses it", "actions() allows here"),
    "Takes": ("to_env takes 'no such action'", "None"),
    "Outside": ("to_env makes 0.0 of 'left', which the environment's Discrete(4) does not hold", "own actions"),
    "NoActions": ("actions() is empty", "every action"),
    "NoSuccess": ("nothing says what success is", "info['success']"),
    "MaybeSuccess": ("success gives 'perhaps'", "True or False"),
    "AlwaysSuccess": ("random play wins all of its 24 episodes", "something to learn"),
    "Punished": ("success and reward disagree: a win ended with the reward -10, a loss with 0", "pay"),
    "Progress": ("progress is 0.5 where success is", "1 exactly where"),
    "NoMove": ("the expert knows no action at any start", "return an Expert"),
    "GivesUp": ("knows no action in a state that its own actions led to", "to its end"),
    "TooSlow": ("max_turns, 8, ends every episode of the expert", "raise max_turns"),
    "Loser": ("the expert wins 0.", "play well"),
    "NoExpertType": ("expert returns a tuple of 2", "gtr.types.Expert"),
    "OtherKeys": ("has the keys ('thoughts', 'ball', 'goal')", "for key in self.thought_keys"),
    "NotWithoutThought": ("under --task.thought False the expert's thought has the keys", "self.thought_keys"),
    "NumpyThought": ("cannot be written as JSON: Object of type int64", "int(x)"),
    "NoCheck": ("check answers nothing", "perception, plan, step"),
    "CheckOfWords": ("check returns {'step': 'yes'}", "True or False"),
    "UnknownCheck": ("check answers 'vision', a name that nobody knows", "CorrectorSpec.questions"),
    "Strict": ("check fails the expert's own thought on 'perception'", "the expert's first"),
    "Credulous": ("check passes a thought that says nothing", "fail"),
    "Trusting": ("check passes the thoughts of other states", "`truth`"),
    "Fragile": ("implied_action fails where a thought says", "models write anything"),
    "Misread": ("implied_action reads 'up'", "announce"),
    "Growing": ("visual_labels gives 1 numbers in one state and 3 in another", "fill up with 0"),
    "Sometimes": ("visual_labels is None at some starts alone", "every start"),
    "Fractions": ("visual_labels gives 0.5", "class numbers"),
    "Talker": ("tokens of a tiny agent, policy.max_new_tokens are 48", "--policy.max-new-tokens"),
}
"""By broken task: a part of the finding, and of what would be right."""


def found(task: str) -> list[Finding]:
    return list(findings(preset("gtr", task)))


@pytest.mark.parametrize("name", CASES)
def test_what_is_broken_is_told(name: str) -> None:
    wrong = [one for one in found(f"{BROKEN}:{name}") if not one.fine]
    text, remedy = CASES[name]
    assert any(text in one.text and remedy in one.remedy for one in wrong), [one.line() for one in wrong]
    assert len(wrong) <= 4, "one fault is not told in five ways"


@pytest.mark.parametrize("task", [*(name for name in TASKS if not TASKS[name].extra), EXAMPLE, f"{BROKEN}:Fine"])
def test_nothing_is_found_where_nothing_is_wrong(task: str) -> None:
    said = found(task)
    assert [one.text for one in said if not one.fine] == []
    assert len(said) == 1 + len(CHECKS)


@pytest.mark.parametrize("name", ["AskedToo", "NoExpert"])
def test_what_is_unusual_but_right(name: str) -> None:
    assert [one.text for one in found(f"{BROKEN}:{name}") if not one.fine] == []


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", "numberline"]) == 0
    assert "nothing wrong was found: gtr train gtr --task numberline" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="1"):
        run(["check", f"{BROKEN}:Grey"])
    assert "!!  the environment's observation has one channel" in capsys.readouterr().out
    assert run(["check"]) == run(["check", f"{BROKEN}:Missing"]) == 2


# -- the skeleton -------------------------------------------------------------------------------------------------
def test_a_new_task_passes_its_own_test(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["new", "task", "ice_rink", "--folder", str(tmp_path / "tasks")]) == 0
    made = tmp_path / "tasks" / "ice_rink.py"
    assert f"gtr train gtr --task {made}:IceRinkTask" in capsys.readouterr().out
    assert "skeleton" not in made.read_text().lower()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_ice_rink.py"],
        cwd=tmp_path / "tasks", capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert run(["new", "task", "ice_rink", "--folder", str(tmp_path / "tasks")]) == 2, "nothing is overwritten"
    assert run(["new", "task", "Ice-Rink"]) == run(["new", "task"]) == run(["new"]) == 2


@pytest.mark.slow
def test_a_new_task_trains(tmp_path: Path) -> None:
    assert run(["new", "task", "rink", "--folder", str(tmp_path)]) == 0
    small = "--train.updates 1 --train.envs 4 --train.turns 2 --train.minibatch 8 --train.eval-episodes 8"
    words = f"train gtr --task rink.py:RinkTask --runs runs --sft.check-episodes 16 {small}"
    done = subprocess.run([sys.executable, "-m", "gtr", *words.split()], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs" / "gtr-rink-1" / "metrics.jsonl").exists(), "named after the task, not its class"
    assert "SFT stops at" in done.stderr

"""Code of the user's own that raises, or answers what its base class does not promise: one message says where."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gtr import algo, tasks
from gtr.config import TaskConfig
from gtr.config.presets import preset
from gtr.envs import VecEnv, case_of
from gtr.errors import ConfigError, ContractError, CorrectorError, GtrError, TaskError
from gtr.guidance import make_corrector
from gtr.guidance.corrector import answered, ask
from gtr.losses import LOSSES
from gtr.losses.fit import check_fit
from gtr.tasks.expert import expert_episode
from gtr.types import Prompt, Reply, Sample, Verdict

ROOT = Path(__file__).parents[1]
TASK = """
import numpy as np
from gtr.tasks.skeleton import SkeletonEnv, SkeletonTask
class Env(SkeletonEnv):
    {env}
class Mine(SkeletonTask):
    def make_env(self): return Env(self.config.image_size)
    {task}
"""
CORRECTOR = """
from concurrent.futures import Future
from gtr.guidance.corrector import Corrector
from gtr.types import Judgement, Verdict
class Mine(Corrector):
    def __init__(self, config, task): pass
    {judge}
def done(value):
    future = Future()
    future.set_exception(value) if isinstance(value, Exception) else future.set_result(value)
    return future
"""
ALGORITHM = """
from gtr.algo.gtr import GTR
class Mine(GTR):
    {method}
"""


def written(folder: Path, text: str, **parts: str) -> str:
    """The import path of class Mine in a file of its own."""
    file = folder / "own.py"
    file.write_text(text.format(**parts))
    return f"{file}:Mine"


def lines(error: GtrError) -> str:
    """All that the command line prints of it."""
    return "\n".join([str(error), *getattr(error, "__notes__", [])])


def play(path: str) -> None:
    """An expert's episode, and one of an environment among several, as training plays it."""
    task = tasks.load(TaskConfig(name=path))
    config = preset("gtr", path)
    states = list(expert_episode(task, task.make_env(), np.random.default_rng(0)))
    envs = VecEnv(task, 1, config)
    (state,) = envs.states
    envs.begin(state, task.reset_arguments(np.random.default_rng(0)), 0)
    text = task.write(states[0].expert.thought, states[0].expert.action)
    parsed = task.parse(text)
    task.actions(state.observation)
    task.check(state.truth, parsed, None)
    task.visual_labels(state.truth)
    task.success(1.0, state.info)
    envs.play(state, Reply(text, (), (), True), parsed, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("env", "task", "words"),
    [
        ("", "def prompt(self, observation): return 1 / 0", ["(line 8", "ZeroDivisionError", "must return str"]),
        ("", "def prompt(self, observation): return 3", ["Mine.prompt", "returned int", "must return str"]),
        ("", "def observe(self, image, info): return image", ["Mine.observe", "ndarray", "gtr.types.Observation"]),
        ("", "def truth(self, info): return info", ["Mine.truth", "returned dict", "gtr.types.Truth"]),
        ("", "def actions(self, observation): return [0, 1]", ["Mine.actions", "item 0", "Sequence[str]"]),
        ("", "def expert(self, truth, target=None): return 'up'", ["Mine.expert", "returned str", "Expert | None"]),
        ("", "def check(self, truth, parsed, target): return {'step': 'no'}", ["Mine.check", "Mapping[str, bool]"]),
        ("", "def visual_labels(self, truth): return ('a',)", ["Mine.visual_labels", "tuple[int, ...]"]),
        ("", "def success(self, reward, info): return 'yes'", ["Mine.success", "returned str", "bool | None"]),
        ("", "def to_env(self, action, observation): raise KeyError(action)", ["Mine.to_env", "KeyError"]),
        ("", "def reset_arguments(self, rng): return 5", ["Mine.reset_arguments", "dict[str, Any]"]),
        ("", "def make_env(self): return 'an environment'", ["Mine.make_env", "returned str", "must return Env"]),
        ("def reset(self, **start): return self._picture()", "", ["reset returns a ndarray", "(picture, info)"]),
        ("def reset(self, **start): raise OSError('no display')", "", ["reset raised OSError: no display", "own.py"]),
        ("def step(self, action): return 1, 2, 3", "", ["step returns a tuple of 3", "terminated, truncated"]),
        ("def step(self, action): raise ValueError('lost')", "", ["raised ValueError: lost", "own.py"]),
        ("def step(self, action): return self._picture(), None, True, False, {}", "", ["the reward None", "finite"]),
        ("def step(self, action): return self._picture(), 1.0, 'no', False, {}", "", ["terminated = 'no'"]),
        ("def _picture(self): return np.zeros((8, 8), np.uint8)", "", ["has one channel", "RGB picture"]),
        ("def _picture(self): return 'a picture'", "", ["is a str", "RGB picture"]),
    ],
)  # fmt: skip
def test_a_task_that_breaks_its_contract_is_told(env: str, task: str, words: list[str], tmp_path: Path) -> None:
    with pytest.raises(ContractError) as error:
        play(written(tmp_path, TASK, env=env or "pass", task=task or "pass"))
    assert [word for word in words if word not in lines(error.value)] == []


def test_the_skeleton_keeps_it_and_numpys_numbers_are_numbers(tmp_path: Path) -> None:
    numbers = (
        "def success(self, reward, info): return np.bool_(info['success'])\n"
        "    def visual_labels(self, truth): return tuple(np.arange(3))\n"
        "    def check(self, truth, parsed, target): return {'step': np.bool_(True)}"
    )
    play(written(tmp_path, TASK, env="pass", task=numbers))


def judge(path: str) -> Verdict:
    config = preset("gtr", "numberline", **{"guidance.corrector": path})
    task = tasks.load(config.task)
    corrector = make_corrector(config, task)
    assert corrector is not None
    envs = VecEnv(task, 1, config)
    envs.begin(envs.states[0], {"seed": 1}, episode=4)
    case = case_of(envs.states[0], "{}", task.parse("{}"))
    return answered(corrector, ask(corrector, [case])[0], case)


SPOT = "Mine's answer about turn 0 of episode 4 in environment 0"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("raise RuntimeError('no key')", ["Mine.judge (line 7", "RuntimeError: no key", "Future[gtr.types.Verdict]"]),
        ("return None", ["Mine.judge", "returned NoneType"]),
        ("return [Verdict(Judgement.CORRECT)]", ["Mine.judge", "item 0", "Future"]),
        ("return []", ["Mine.judge returned 0 futures for 1 cases"]),
        ("return [done(OSError('gone'))]", [f"{SPOT} raised OSError: gone", "Judgement.ABSENT"]),
        ("return [done('correct')]", [f"{SPOT} returned str", "must return gtr.types.Verdict"]),
        ("return [done(Verdict('correct'))]", [f"{SPOT}: judgement of what it returned str", "gtr.types.Judgement"]),
        ("return [done(Verdict(Judgement.INCORRECT, 'up'))]", [f"{SPOT}: thought of what it returned str"]),
    ],
)  # fmt: skip
def test_a_corrector_that_breaks_its_contract_is_told(body: str, words: list[str], tmp_path: Path) -> None:
    path = written(tmp_path, CORRECTOR, judge=f"def judge(self, cases): {body}")
    with pytest.raises(ContractError) as error:
        judge(path)
    assert [word for word in words if word not in lines(error.value)] == []


def test_a_corrector_may_say_that_the_run_cannot_go_on(tmp_path: Path) -> None:
    stop = "from gtr.errors import CorrectorError\n        return [done(CorrectorError('out of money'))]"
    with pytest.raises(CorrectorError, match="out of money"):
        judge(written(tmp_path, CORRECTOR, judge=f"def judge(self, cases):\n        {stop}"))


def test_the_traceback_is_of_the_users_code_alone(tmp_path: Path) -> None:
    path = written(tmp_path, CORRECTOR, judge="def judge(self, cases): return [int('x')]")
    with pytest.raises(ContractError) as error:
        judge(path)
    (note,) = error.value.__notes__
    assert note.splitlines()[1] == f'  File "{path.removesuffix(":Mine")}", line 7, in judge'
    assert str(ROOT / "gtr") not in note


@pytest.mark.parametrize(
    ("load", "text", "missing"),
    [
        (
            lambda path: tasks.load(TaskConfig(name=path)),
            "from gtr.tasks.task import Task as Base",
            "actions, make_env",
        ),
        (lambda path: algo.find(path), "from gtr.algo.base import Algorithm as Base", "losses, samples"),
        (
            lambda path: make_corrector(preset("gtr", **{"guidance.corrector": path}), None),  # type: ignore[arg-type]
            "from gtr.guidance.corrector import Corrector as Base",
            "judge",
        ),
    ],
)
def test_a_method_that_is_missing_is_named(load: Any, text: str, missing: str, tmp_path: Path) -> None:
    path = written(tmp_path, text + "\nclass Mine(Base): pass\n")
    with pytest.raises((TaskError, ConfigError, CorrectorError), match=f"is no whole .*: define {missing}"):
        load(path)


def test_a_class_that_cannot_be_built_shows_where(tmp_path: Path) -> None:
    path = written(tmp_path, CORRECTOR.replace("pass", "self.key = config.secret"), judge="def judge(self, cases): ...")
    with pytest.raises(ContractError) as error:
        judge(path)
    assert "cannot be built: AttributeError" in str(error.value)
    assert "self.key = config.secret" in lines(error.value)


def row(**other: Any) -> Sample:
    return Sample(Prompt(np.zeros((2, 2, 3), np.uint8), ""), (1, 2), **{"weights": {"policy": (1.0, 0.5)}, **other})


@pytest.mark.parametrize(
    ("samples", "terms", "words"),
    [
        ([], ["polcy"], "losses() asks for 'polcy': did you mean 'policy'"),
        ([row(), row(weights={"policy": (1.0,) * 3})], ["policy"], 'weights["policy"] of sample 1 has 3 numbers for 2'),
        ([row(old=(0.0,) * 5)], ["policy"], "old of sample 0 has 5 numbers"),
        ([row(advantage=np.zeros(2))], ["policy"], "advantage of sample 0 is of type ndarray"),
        ([row(target="1")], ["policy"], "target of sample 0 is of type str"),
    ],
)
def test_samples_that_do_not_fit_are_told(samples: list[Sample], terms: list[str], words: str) -> None:
    check_fit([row(), row(advantage=(0.1, 0.2), target=np.float32(1), old=[0.0, 0.0])], ["policy", "value"], LOSSES)
    with pytest.raises(ContractError) as error:
        check_fit(samples, terms, LOSSES)
    assert words in str(error.value)


SMALL = [
    *("--task", "numberline", "--sft.enabled", "False", "--train.updates", "2", "--train.envs", "4", "--name", "own"),
    *("--train.turns", "2", "--train.minibatch", "8", "--train.eval_episodes", "2", "--report.probe_turns", "0"),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flag", "text", "broken", "words"),
    [
        (
            "--guidance.corrector",
            CORRECTOR.replace("pass", "self.asked = 0"),
            "def judge(self, cases): self.asked += 1; return ["
            "done(Verdict(Judgement.CORRECT if self.asked < 4 else {})) for _ in cases]",
            "judgement of what it returned dict",
        ),
        (
            "--algo",
            ALGORITHM,
            "def samples(self, rollout, update): return super().samples(rollout, update)[: 9 // (1 - update)]",
            "Mine.samples",
        ),
    ],
)  # fmt: skip
def test_a_run_stops_where_it_stands_and_goes_on(flag: str, text: str, broken: str, words: str, tmp_path: Path) -> None:
    """The mistake shows in the second update; put right, the run goes on from the first."""
    path = written(tmp_path, text, judge=broken, method=broken)

    def gtr(*more: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "gtr", "train", *more, flag, path]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)

    stopped = gtr("gtr", *SMALL, "--runs", str(tmp_path / "runs"))
    said = stopped.stderr[stopped.stderr.index("Error: ") :]
    run = tmp_path / "runs" / "own"
    assert stopped.returncode == 2, stopped.stderr
    assert words in said
    assert f"stands after update 1 of 2; go on with: gtr train --resume {run} {flag} {path}" in said
    assert f"{ROOT}/gtr" not in said
    file = Path(path.removesuffix(":Mine"))
    file.write_text(file.read_text().replace("self.asked < 4", "self.asked").replace("[: 9 // (1 - update)]", ""))
    assert gtr("--resume", str(run)).returncode == 0

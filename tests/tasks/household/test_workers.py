"""Games in processes of their own: killed, hung, reused, and never counted as won or lost."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing import active_children
from pathlib import Path

import numpy as np
import pytest

from gtr.config import Config
from gtr.envs import VecEnv
from gtr.tasks import load, settings
from gtr.tasks.alfworld.draft import GameSpec
from gtr.tasks.alfworld.engine import Engine, EngineError, EngineState, WorkerError
from gtr.tasks.alfworld.env import ALFWorldEnv
from gtr.tasks.alfworld.games import Game
from gtr.tasks.alfworld.generate import make, make_proved, prove
from gtr.tasks.alfworld.workers import Worker
from gtr.tasks.reply import parse
from gtr.types import Ending, Reply

OPTIONS = {"games": 3, "space": 4, "clutter": 2}


@pytest.fixture(scope="module")
def game() -> Game:
    return make(GameSpec(receptacles=4, clutter=2), 0)


@pytest.fixture
def worker() -> Iterator[Worker]:
    made = Worker()
    yield made
    made.close()


def kill(worker: Worker, number: int) -> None:
    assert worker.pid is not None
    os.kill(worker.pid, number)


def test_a_worker_plays_as_the_engine_does(game: Game, worker: Worker) -> None:
    engine = Engine()
    proved = worker.prove(game)
    assert proved == prove(game, engine)
    assert worker.load(game) == engine.load(game)
    for command in proved.walkthrough or ():
        assert worker.act(command) == engine.act(command)
    assert worker.act("nonsense").feedback == "Nothing happens."


def test_a_killed_worker_is_said_to_be_and_replaced(game: Game, worker: Worker) -> None:
    worker.load(game)
    first = worker.pid
    kill(worker, signal.SIGKILL)
    with pytest.raises(WorkerError, match="ended with code -9") as caught:
        worker.act("look")
    assert game.name in str(caught.value)
    with pytest.raises(WorkerError, match="reset the environment"):
        worker.act("look")
    assert worker.load(game)[1].commands
    assert worker.pid != first


def test_a_worker_that_dies_while_a_game_is_proved_costs_no_game() -> None:
    class Mortal(Worker):
        deaths = 0

        def act(self, command: str) -> EngineState:
            if self.deaths < 2:
                self.deaths += 1
                kill(self, signal.SIGKILL)
            return super().act(command)

    worker, spec = Mortal(), GameSpec(receptacles=4, clutter=2)
    proved = make_proved(spec, 0, worker)
    assert worker.deaths == 2
    assert proved.problem == make(spec, 0).problem
    assert proved.walkthrough
    worker.close()


def test_a_hung_worker_is_killed_in_time(game: Game) -> None:
    worker = Worker(step_seconds=0.5)
    worker.load(game)
    pid = worker.pid
    assert pid is not None
    kill(worker, signal.SIGSTOP)
    started = time.monotonic()
    with pytest.raises(WorkerError, match=r"within 0\.5 seconds"):
        worker.act("look")
    assert time.monotonic() - started < 30
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_game_that_breaks_every_process_is_given_up(game: Game) -> None:
    worker = Worker(load_seconds=0.0)
    with pytest.raises(WorkerError, match="3 processes broke on this game"):
        worker.load(game)
    assert worker.pid is None


def test_errors_of_the_engine_cross_over(game: Game, worker: Worker) -> None:
    problem = game.problem.replace("agent1 - agent", "agent1 - agent agent1 - agent")
    broken = replace(game, problem=problem, path="x.pddl")
    with pytest.raises(EngineError, match=r"x\.pddl: the engine cannot read this game"):
        worker.load(broken)
    assert worker.load(game)[1].commands


def test_processes_are_reused(game: Game) -> None:
    pids = set()
    for _ in range(3):
        worker = Worker()
        worker.load(game)
        pids.add(worker.pid)
        worker.close()
    assert len(pids) == 1


def test_an_episode_whose_worker_dies_is_aborted_and_the_run_goes_on() -> None:
    config = Config(task=settings("alfworld", image_size=48, **OPTIONS))
    task = load(config.task)
    table = VecEnv(task, 2, config)
    reply = Reply('{"thoughts": "next look", "action": "look"}', (), (), True)
    parsed = parse(reply.text, True, task.thought_keys)
    for state in table.states:
        table.begin(state, {"seed": 3}, 0)
    env = table.states[0].env
    assert isinstance(env, ALFWorldEnv)
    player = env._player
    assert isinstance(player, Worker)
    kill(player, signal.SIGKILL)
    broken, well = [table.play(state, reply, parsed, np.random.default_rng(0)) for state in table.states]
    assert (broken.ending, broken.reward, broken.success) == (Ending.ABORTED, 0.0, False)
    assert well.ending is Ending.RUNNING
    table.begin(table.states[0], {"seed": 3}, 1)
    assert table.play(table.states[0], reply, parsed, np.random.default_rng(0)).ending is Ending.RUNNING
    table.close()


def test_no_process_outlives_its_program(tmp_path: Path) -> None:
    code = (
        "from gtr.tasks.alfworld.draft import GameSpec\n"
        "from gtr.tasks.alfworld.generate import make\n"
        "from gtr.tasks.alfworld.workers import Worker\n"
        "worker = Worker()\n"
        "worker.load(make(GameSpec(receptacles=4, clutter=2), 0))\n"
        "print(worker.pid, flush=True)\n"
    )
    # A plain script of a user's own, without the guard that multiprocessing asks for.
    script = tmp_path / "script.py"
    script.write_text(code)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    deadline = time.monotonic() + 20
    while _alive(int(done.stdout)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _alive(int(done.stdout))


def _alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_resets_leak_neither_memory_nor_processes(game: Game) -> None:
    resets = int(os.environ.get("GTR_TEST_RESETS", "60"))
    engine = Engine()
    games = [make(GameSpec(receptacles=4, clutter=2), n) for n in range(6)]
    for i in range(20):
        engine.load(games[i % 6])
    before, files, children = _memory(), len(os.listdir("/proc/self/fd")), len(active_children())
    for i in range(resets):
        engine.load(games[i % 6])
        engine.act("look")
    grown = _memory() - before
    assert grown < 10_000 + 20 * resets, f"{grown} kB more after {resets} resets"
    assert len(os.listdir("/proc/self/fd")) == files
    assert len(active_children()) <= children


def _memory() -> int:
    """Resident kilobytes of this process."""
    return int(next(line for line in Path("/proc/self/status").read_text().split("\n") if "VmRSS" in line).split()[1])

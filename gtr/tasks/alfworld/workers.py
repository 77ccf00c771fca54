"""Engines in processes of their own: one that crashes, hangs or is killed costs its episode and nothing else.

A worker that does not answer in time is killed; the step raises `WorkerError`, which ends the episode as broken, and
the next game starts a new process. Workers are kept and reused like engines.
"""

import atexit
import contextlib
import multiprocessing
import os
import signal
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from types import ModuleType
from typing import Any

from gtr.errors import TaskError
from gtr.tasks.alfworld import package
from gtr.tasks.alfworld.engine import Engine, EngineError, EngineState, Player, WorkerError
from gtr.tasks.alfworld.games import Game
from gtr.tasks.alfworld.generate import prove
from gtr.tasks.alfworld.world import Room

LOAD_SECONDS = 120.0
STEP_SECONDS = 30.0
THOR_LOAD_SECONDS = 600.0
"""AI2-THOR looks at every receptacle of a room before a game begins."""
THOR_STEP_SECONDS = 120.0
ATTEMPTS = 3
"""Processes tried for one game before it is given up."""


Make = Callable[[], Player]
"""Makes what plays in the worker's process: a function that a module holds, because it is sent by its name."""


class Worker:
    """Plays games as `Engine` does, in another process."""

    def __init__(
        self, load_seconds: float = LOAD_SECONDS, step_seconds: float = STEP_SECONDS, make: Make = Engine
    ) -> None:
        package.need()
        self._load_seconds, self._step_seconds, self._make = load_seconds, step_seconds, make
        self._process: Any = None
        self._pipe: Connection | None = None
        self._label = ""

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        return None if self._process is None else self._process.pid

    def load(self, game: Game) -> tuple[Room, EngineState]:
        """Begins a game, in a new process where the last one broke.

        Raises:
            EngineError: the engine cannot play this game.
            WorkerError: `ATTEMPTS` processes broke on it.
        """
        self._label = game.label
        for attempt in range(ATTEMPTS):
            try:
                found: tuple[Room, EngineState] = self._ask("load", game, self._load_seconds)
                return found
            except WorkerError as error:
                if attempt == ATTEMPTS - 1:
                    raise WorkerError(f"{error}; {ATTEMPTS} processes broke on this game: take it out") from error
        raise AssertionError

    def act(self, command: str) -> EngineState:
        """Plays a command.

        Raises:
            WorkerError: the process died or did not answer in time.
        """
        if self._process is None:
            raise WorkerError(f"{self._label}: its process is gone; reset the environment")
        now: EngineState = self._ask("act", command, self._step_seconds)
        return now

    def prove(self, game: Game) -> Game:
        """The game with a walkthrough that wins it; EngineError where it cannot be won."""
        proved: Game = self._ask("prove", game, self._load_seconds)
        return proved

    def _ask(self, what: str, argument: Any, seconds: float) -> Any:
        self._start()
        assert self._pipe is not None
        try:
            self._pipe.send((what, argument))
            answered = self._pipe.poll(seconds)
            fine, value = self._pipe.recv() if answered else (False, None)
        except (EOFError, OSError) as error:
            code = self._stop()
            raise WorkerError(f"{self._label}: its process ended with code {code} during {what}") from error
        if not answered:
            self._stop()
            raise WorkerError(f"{self._label}: no answer to {what} within {seconds:g} seconds; its process was killed")
        if not fine:
            raise EngineError(value)
        return value

    def _start(self) -> None:
        if self._process is not None and self._process.is_alive():
            return
        self._stop()
        _idle_reaped()
        idle = _idle[self._make]
        self._process, self._pipe = idle.pop() if idle else _spawn(self._make)

    def _stop(self) -> int | None:
        """Ends the process; returns its exit code."""
        if self._process is None:
            return None
        process, pipe = self._process, self._pipe
        self._process = self._pipe = None
        return _end(process, pipe)

    def close(self) -> None:
        """Keeps the process for the next game, if it is well."""
        if self._process is not None and self._pipe is not None and self._process.is_alive():
            _idle[self._make].append((self._process, self._pipe))
        else:
            self._stop()
        self._process = self._pipe = None


_idle: defaultdict[Make, list[tuple[Any, Connection]]] = defaultdict(list)


def _idle_reaped() -> None:
    """Lets go of idle processes that died."""
    for idle in _idle.values():
        for entry in [entry for entry in idle if not entry[0].is_alive()]:
            idle.remove(entry)
            _end(*entry)


def _spawn(make: Make) -> tuple[Any, Connection]:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "textworld.envs.pddl.pddl", "numpy"])
    mine, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, make), daemon=True)
    with _no_program():
        process.start()
    theirs.close()
    return process, mine


@contextlib.contextmanager
def _no_program() -> Iterator[None]:
    """Hides the program that is running: a worker needs nothing of it, and would run a plain script a second time."""
    program = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = program


def _end(process: Any, pipe: Connection | None) -> int | None:
    if pipe is not None:
        pipe.close()
    if process.is_alive():
        # Its group too: AI2-THOR's simulator is a process of its own.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
    process.join(5)
    code: int | None = process.exitcode
    process.close()
    return code


@atexit.register
def close_all() -> None:
    """Ends all idle processes."""
    for idle in _idle.values():
        while idle:
            _end(*idle.pop())


def serve(pipe: Connection, make: Make) -> None:
    """The worker's side: answers until the pipe closes. It leads a process group, out of Ctrl-C's reach."""
    os.setpgrp()
    engine = make()
    while True:
        try:
            what, argument = pipe.recv()
        except (EOFError, OSError, KeyboardInterrupt):
            engine.close()
            return
        try:
            answer = (True, engine.load(argument) if what == "load" else _served(engine, what, argument))
        except TaskError as error:
            answer = (False, str(error))
        try:
            pipe.send(answer)
        except (BrokenPipeError, OSError):
            sys.exit(0)


def _served(engine: Player, what: str, argument: Any) -> Any:
    return engine.act(argument) if what == "act" else prove(argument, engine)

"""Runs jobs as processes of one thread each, as many at a time as allowed, and takes them along when it is stopped."""

import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path

from gtr.compare.plan import Job
from gtr.report.owner import is_being_written

POLL_SECONDS = 0.5
PATIENCE_SECONDS = 10.0
"""How long a stopped process may take to end before it is killed; files survive both."""


class State(StrEnum):
    """Where a job stands."""

    WAITING = "waiting"
    RUNNING = "running"
    ELSEWHERE = "running elsewhere"
    """Another process writes this run: left over from a comparison that was killed, and waited for."""
    FINISHED = "finished"
    FAILED = "failed"


Show = Callable[[Mapping[str, State]], None]


PROGRAM = (sys.executable, "-m", "gtr")


def run_all(jobs: Sequence[Job], limit: int, show: Show, program: Sequence[str] = PROGRAM) -> dict[str, State]:
    """Runs every job that has not ended well before; returns how each stands. `show` is called twice a second."""
    states = {job.name: State.FINISHED if job.done.exists() else State.WAITING for job in jobs}
    waiting = deque(job for job in jobs if states[job.name] is State.WAITING)
    running: dict[str, tuple[Job, subprocess.Popen[bytes]]] = {}
    try:
        while waiting or running:
            for _ in range(len(waiting)):
                job = waiting.popleft()
                elsewhere = _held_elsewhere(job)
                if len(running) < limit and not elsewhere:
                    running[job.name] = (job, _start(job, program))
                    states[job.name] = State.RUNNING
                else:
                    waiting.append(job)
                    states[job.name] = State.ELSEWHERE if elsewhere else State.WAITING
            show(states)
            time.sleep(POLL_SECONDS)
            for name, (job, process) in list(running.items()):
                if process.poll() is not None:
                    del running[name]
                    states[name] = _ended(job, process.returncode)
        show(states)
    finally:
        _stop([process for _, process in running.values()])
    return states


def last_lines(log: Path, count: int) -> list[str]:
    """The end of a log without blank lines."""
    text = log.read_text(errors="replace") if log.exists() else ""
    return [line.rstrip() for line in text.replace("\r", "\n").splitlines() if line.strip()][-count:]


def _held_elsewhere(job: Job) -> bool:
    return job.folder is not None and job.folder.exists() and is_being_written(job.folder)


def _start(job: Job, program: Sequence[str]) -> subprocess.Popen[bytes]:
    """Starts a job in a session of its own, so that Ctrl-C reaches the comparison alone, which then stops it."""
    job.log.parent.mkdir(parents=True, exist_ok=True)
    job.prepare()
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    with job.log.open("ab") as log:
        return subprocess.Popen(
            [*program, *job.command()],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | threads,
            start_new_session=True,
        )


def _ended(job: Job, code: int) -> State:
    if code == 0:
        job.done.touch()
        return State.FINISHED
    with job.log.open("a") as log:
        log.write(f"ended with exit code {code}\n" if code > 0 else f"ended by signal {-code}\n")
    return State.FAILED


def _stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

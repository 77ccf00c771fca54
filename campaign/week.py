"""A week of training in an hour: a stub in the agent's place, everything that is written is real."""

import gc
import os
import resource
import shutil
import time
from pathlib import Path

import chat_cases
from report.test_durable import Agent, lessons, optimizer

from campaign import agents
from campaign.outcome import Outcome
from gtr import checkpoint, tasks
from gtr.algo.buffer import ThoughtBuffer
from gtr.envs import VecEnv
from gtr.guidance.oracle import OracleCorrector
from gtr.metrics import health
from gtr.metrics.alarm import Alarm
from gtr.report import Run, RunFolder
from gtr.rollout import Collector
from gtr.show.source import Source

QUICK = 10.0
"""Seconds for the first page of a run of 10,000 updates, and for its resume but for the model."""
GROWTH = 20_000
"""Kilobytes that memory may grow by in the second half."""


class Stub(chat_cases.ScriptedPolicy):
    """Plays from the truth, and forgets it."""

    def generate(self, prompts: object, greedy: bool = False) -> list:  # type: ignore[type-arg]
        made = super().generate(prompts, greedy)
        self.kept.clear()
        self.truths.clear()
        return made


def run(count: int, seed: int, place: Path) -> Outcome:
    """So many updates, then the page and the resume of what they left."""
    outcome = Outcome()
    config = agents.config(place, **{"train.envs": 2, "train.turns": 2, "train.minibatch": 4, "seed": seed})
    task = tasks.load(config.task)
    policy = Stub(task, seed=seed)
    marks: list[tuple[int, int, float]] = []
    with RunFolder.create(config) as folder, seeing(policy):
        collector = Collector(task, policy, OracleCorrector(task), config)  # type: ignore[arg-type]
        alarm, adam = Alarm(), optimizer()
        started = time.monotonic()
        for update in range(1, count + 1):
            outcome.tried += 1
            rollout = collector.collect()
            values = health(rollout, task, seed)
            values |= alarm.observe(update, values).metrics()
            checkpoint.save_lessons(folder.path, update, lessons(update % 200), 4)
            folder.write_turns(update, rollout.flat())
            folder.write_metrics(update, values)
            state = {"ranks": [collector.state()], "alarm": alarm.state()}
            checkpoint.save(folder.checkpoints, update, Agent(update % 256), adam, state, 2)  # type: ignore[arg-type]
            if update * 10 % count == 0:
                gc.collect()
                marks.append((memory(), handles(), time.monotonic() - started))
    grown(outcome, marks, seed)
    outcome.measured["on the disk"] = f"{size(folder.path) / count / 1e3:.1f} kB an update"
    looked_at(outcome, folder.path)
    shutil.rmtree(folder.path)
    return outcome


class seeing:
    """Hands every state to the stub."""

    def __init__(self, policy: Stub) -> None:
        self.policy, self.see = policy, VecEnv._see

    def __enter__(self) -> None:
        policy, see = self.policy, self.see

        def seen(envs: VecEnv, state: object, image: object, info: object) -> None:
            see(envs, state, image, info)  # type: ignore[arg-type]
            policy.see(state.prompt, state.truth)  # type: ignore[attr-defined]

        VecEnv._see = seen  # type: ignore[assignment]

    def __exit__(self, *_: object) -> None:
        VecEnv._see = self.see  # type: ignore[method-assign]


def grown(outcome: Outcome, marks: list[tuple[int, int, float]], seed: int) -> None:
    """Memory, handles and pace of the last half against the first."""
    middle, last = marks[len(marks) // 2 - 1], marks[-1]
    outcome.expect(last[0] - middle[0] < GROWTH, f"seed {seed}: memory grew from {middle[0]:,} to {last[0]:,} kB")
    outcome.expect(last[1] <= middle[1], f"seed {seed}: open files grew from {middle[1]} to {last[1]}")
    tenths = [later[2] - sooner[2] for sooner, later in zip([(0, 0, 0.0), *marks], marks, strict=False)]
    pace = f"{tenths[1]:.1f} s, the last {tenths[-1]:.1f} s"
    outcome.expect(tenths[-1] < 3 * tenths[1] + 1, f"seed {seed}: a tenth of the updates took {pace}")
    outcome.measured |= {
        "memory": f"{middle[0] / 1e3:.0f} MB half-way, {last[0] / 1e3:.0f} MB at the end",
        "open files": f"{middle[1]}, {last[1]}",
        "a tenth of the updates": pace,
    }


def looked_at(outcome: Outcome, path: Path) -> None:
    """The page's first request, and a resume but for the model."""
    started = time.monotonic()
    source = Source([Run(path)])
    source.overview()
    first = time.monotonic() - started
    outcome.expect(first < QUICK, f"the page takes {first:.1f} s")
    started = time.monotonic()
    saved = checkpoint.to_resume(path)
    assert saved is not None
    update = checkpoint.read_state(saved)["update"]
    buffer = ThoughtBuffer(True)
    checkpoint.load_lessons(path, update, buffer)
    with RunFolder.open(path) as folder:
        folder.truncate_to(update)
    resumed = time.monotonic() - started
    outcome.expect(resumed < QUICK and len(buffer) == update, f"the resume takes {resumed:.1f} s")
    outcome.measured |= {"first page": f"{first:.1f} s", "resume": f"{resumed:.1f} s"}


def memory() -> int:
    """Kilobytes of this process now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() >> 10


def handles() -> int:
    """Open files."""
    return len(os.listdir("/proc/self/fd"))


def size(folder: Path) -> int:
    """Bytes below a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())

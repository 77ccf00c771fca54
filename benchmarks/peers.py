"""gtr and TRL in turn on one game and one tiny Qwen2.5-VL: each round, one rollout and one optimiser step of either.

TRL runs in a process and an environment of its own (`trl_side.py`); the seconds are each process's own processor time.
Both play 32 episodes of one prompt in groups of 8, sample 24 tokens at temperature 1, train all weights, and step once.
"""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from accelerate import Accelerator
from steps import ANSWERS, SIZE, prompt  # type: ignore[import-not-found]

from gtr import algo, tasks
from gtr.config import Config
from gtr.config.io import changed
from gtr.config.presets import build
from gtr.learner import learn, make_optimizer
from gtr.metrics import health
from gtr.policy import tiny
from gtr.policy.loading import load_policy
from gtr.rollout import Collector
from gtr.tasks.reply import write

HERE = Path(__file__).parent
EPISODES, LENGTH = 32, 24
CELLS = ((4, 0), (8, 0), (4, 80), (8, 80))
"""Turns of an episode, and digits before the question: prompts of 19 and 258 tokens, 16 of them the picture's."""
METHODS = ("grpo", "rl4vlm")
Cost = dict[str, float]
"""Processor seconds by turn: to ``collect``, and with all of the update as ``whole``."""


def model(digits: int, folder: Path) -> Path:
    replies = [write({"dots": n, "thoughts": f"next {n}"}, n) for n in ANSWERS]
    return tiny.build("tiny-qwen2.5-vl", [prompt(digits), *replies] * 8, SIZE, 0, folder)


def settings(method: str, steps: int, digits: int, folder: Path) -> Config:
    """As TRL is told: one optimiser step over all turns, every weight trained."""
    return changed(
        build(method, f"{HERE / 'steps.py'}:StepsTask", "tiny"),
        {
            **{"task.steps": steps, "task.digits": digits, "task.illegal": "random", "sft.enabled": False},
            **{"policy.model": str(folder), "policy.freeze_vision": False, "policy.temperature": 1.0},
            **{"policy.max_new_tokens": LENGTH, "train.envs": EPISODES, "train.turns": steps, "train.epochs": 1},
            **{"train.minibatch": EPISODES, "train.accumulation": steps, "train.lr": 1e-6, "train.value_lr": 1e-6},
        },
    )


class Ours:
    """gtr, ready for its next update."""

    def __init__(self, config: Config) -> None:
        self.config, self.task = config, tasks.load(config.task)
        self.policy = load_policy(config.policy.model, config.policy)
        self.algorithm = algo.find(config.algo.name)(config, self.task, self.policy)
        self.optimizer, self.accelerator = make_optimizer(self.policy, config.train), Accelerator()
        self.collector = Collector(self.task, self.policy, None, config, spec=self.algorithm.rollout)

    def update(self) -> Cost:
        rng, started = np.random.default_rng(0), time.process_time()
        rollout = self.collector.collect()
        collected = time.process_time() - started
        samples = self.algorithm.samples(rollout, 0)
        learn(samples, self.algorithm, self.policy, self.optimizer, self.config.train, self.accelerator, rng)
        health(rollout, self.task, 0)
        turns = len(rollout.flat())
        return {"collect": collected / turns, "whole": (time.process_time() - started) / turns}


class Theirs:
    """TRL, waiting in its process for the word to go on."""

    def __init__(self, worker: "subprocess.Popen[str]", turns: int) -> None:
        self._worker, self._turns = worker, turns

    def update(self) -> Cost:
        assert self._worker.stdin
        assert self._worker.stdout
        self._worker.stdin.write("go\n")
        self._worker.stdin.flush()
        told = self._worker.stdout.readline()
        if not told:
            raise SystemExit(f"TRL's process ended with {self._worker.wait()}; its last words stand above")
        return {name: seconds / self._turns for name, seconds in json.loads(told).items()}


@contextmanager
def trl(python: str, folder: Path, steps: int, digits: int, rounds: int) -> Iterator[Theirs]:
    words = [python, str(HERE / "trl_side.py"), str(folder), *map(str, (steps, digits, EPISODES, LENGTH, rounds))]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as worker:
        try:
            yield Theirs(worker, EPISODES * steps)
        finally:
            worker.kill()


def compared(python: str, steps: int, digits: int, rounds: int, work: Path) -> dict[str, list[Cost]]:
    """By side, what each round cost; the first, in which everything is new, is left out."""
    folder = model(digits, work / f"model-{digits}")
    sides: dict[str, Ours | Theirs] = {name: Ours(settings(name, steps, digits, folder)) for name in METHODS}
    with trl(python, folder, steps, digits, rounds + 1) as peer:
        sides["trl"] = peer
        rows = [{name: side.update() for name, side in sides.items()} for _ in range(rounds + 1)]
    return {name: [row[name] for row in rows[1:]] for name in sides}

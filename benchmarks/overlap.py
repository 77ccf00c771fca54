"""What waiting for a slow corrector adds to a rollout: the oracle against an API that takes 2 s per request.

    python benchmarks/overlap.py [--envs 32] [--turns 24] [--seconds 2] [--in_flight 256]

Both rollouts are played by the same tiny agent with random weights, one after the other, in one run. The API is a real
HTTP server on loopback with the solver behind it (tests/chat_server.py), early stopping is off, tools are off.
"""

import argparse
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from chat_server import Server  # type: ignore[import-not-found]

from gtr import tasks
from gtr.config import Config
from gtr.guidance import make_corrector
from gtr.policy import tiny
from gtr.policy.policy import Policy, load_policy
from gtr.presets import build
from gtr.rollout import Collector, Table
from gtr.sft import expert_examples


def agent(config: Config, folder: Path) -> Policy:
    """A tiny agent with random weights: it writes nonsense up to the token limit, at the speed of a trained one."""
    examples = expert_examples(tasks.load(config.task), config, 60, np.random.default_rng(0))
    texts = [text for one in examples for text in (one.reply, one.prompt.text)]
    model = tiny.build("tiny-llava", texts, config.task.image_size, 0, folder)
    return load_policy(model, config.policy, 0)


def timed(config: Config, policy: Policy) -> tuple[float, dict[str, float], int]:
    """Seconds of one rollout, of which by stage, and the number of turns with a verdict."""
    task = tasks.load(config.task)
    corrector = make_corrector(config, task)
    collector = Collector(task, policy, corrector, config)
    started = time.perf_counter()
    rollout = collector.collect()
    spent = time.perf_counter() - started
    if corrector is not None:
        corrector.close()
    return spent, dict(rollout.seconds), sum(turn.verdict is not None for turn in rollout.flat())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name, default in (("envs", 32), ("turns", 24), ("in_flight", 256)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--seconds", type=float, default=2.0)
    chosen = parser.parse_args()
    os.environ["OPENAI_API_KEY"] = "none"
    torch.set_num_threads(1)
    config = build("gtr", task="points24", scale="tiny")
    train = replace(config.train, envs=chosen.envs, turns=chosen.turns)
    config = replace(config, train=train, guidance=replace(config.guidance, stop_early=False))
    with tempfile.TemporaryDirectory() as folder, Server(tasks.load(config.task), delay=chosen.seconds) as server:
        show(server)
        policy = agent(config, Path(folder) / "model")
        api = replace(config.corrector, base_url=server.url, structured="json_schema", tools="off", timeout=60.0)
        api = replace(api, in_flight=chosen.in_flight)
        asking = replace(config, corrector=api, guidance=replace(config.guidance, corrector="chat"))
        timed(replace(config, train=replace(train, turns=1)), policy)
        for name, settings in (("oracle", config), ("api", asking), ("oracle", config), ("api", asking)):
            spent, stages, judged = timed(settings, policy)
            parts = "  ".join(f"{stage} {seconds:.1f}" for stage, seconds in stages.items())
            print(f"{name:7} {spent:6.1f} s for {judged} turns   {parts}", flush=True)
        print(f"{len(server.requests)} requests, at most {server.most_at_once} at a time")


def show(server: Any) -> None:
    """Lets the server see every picture together with its truth."""
    see = Table._see

    def seen(self: Table, seat: Any, image: Any, info: Any) -> None:
        see(self, seat, image, info)
        server.show(seat.prompt.image, seat.truth)

    Table._see = seen  # type: ignore[method-assign]


if __name__ == "__main__":
    main()

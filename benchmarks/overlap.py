"""What waiting for a slow corrector adds to a rollout: the oracle against an API that takes 2 s per request.

    python benchmarks/overlap.py [--agent tiny|timed] [--envs 32] [--turns 32] [--tokens 256] [--seconds 2] [--step 2]

All rollouts are played one after the other, in one run, by the same agent: a tiny model with random weights that writes
up to `--tokens` tokens on this machine's CPU, or (timed) the solver's replies, half of them spoilt, `--step` seconds
apart, as if a larger model wrote them on a GPU of its own. The API is a real HTTP server on loopback with the solver
behind it (tests/chat_server.py), in a process of its own; early stopping is off, tools are off.
"""

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from chat_cases import ScriptedPolicy  # type: ignore[import-not-found]
from chat_server import Server, pictures, pixels  # type: ignore[import-not-found]

from gtr import tasks
from gtr.config import Config, TaskConfig
from gtr.config.presets import build
from gtr.envs import VecEnv
from gtr.guidance import make_corrector
from gtr.policy import tiny
from gtr.policy.loading import load_policy
from gtr.rollout import Collector
from gtr.sft import expert_examples
from gtr.types import Prompt, Reply


class TimedAgent(ScriptedPolicy):  # type: ignore[misc]
    """Takes a fixed time for the replies of one step."""

    def __init__(self, task: Any, step: float) -> None:
        super().__init__(task)
        self.step = step

    def generate(self, prompts: list[Prompt], greedy: bool = False) -> list[Reply]:
        time.sleep(self.step)
        return list(super().generate(prompts, greedy))


class Apart:
    """The server in a process of its own, as an API is: what it works is not worked by the agent's process."""

    def __init__(self, task: TaskConfig, delay: float) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(task, delay, theirs), daemon=True)
        self._process.start()
        self.url = str(self._pipe.recv())

    def show(self, image: Any, truth: Any) -> None:
        self._pipe.send((image, truth))

    def stop(self) -> tuple[int, int]:
        """Ends it; the number of requests, and how many at most were under way at a time."""
        self._pipe.send(None)
        requests, at_once = self._pipe.recv()
        self._process.join()
        return requests, at_once


class Shown(Server):  # type: ignore[misc]
    """Waits for a picture's truth, which comes another way than the question about it."""

    def message(self, body: dict[str, Any]) -> Any:
        while any(pixels(image) not in self.truths for image in pictures(body)):
            time.sleep(0.002)
        return super().message(body)


def serve(task: TaskConfig, delay: float, pipe: Any) -> None:
    """The server's process."""
    with Shown(tasks.load(task), delay=delay) as server:
        pipe.send(server.url)
        while (shown := pipe.recv()) is not None:
            server.show(*shown)
        pipe.send((len(server.requests), server.most_at_once))


def tiny_agent(config: Config, folder: Path) -> Any:
    """A tiny model with random weights: it writes nonsense up to the token limit, at the speed of a trained one."""
    examples = expert_examples(tasks.load(config.task), 60, np.random.default_rng(0))
    texts = [text for one in examples for text in (one.reply, one.prompt.text)]
    return load_policy(tiny.build("tiny-llava", texts, config.task.image_size, 0, folder), config.policy, 0)


def timed(config: Config, make_agent: Callable[[], Any]) -> tuple[float, dict[str, float], int]:
    """Seconds of one rollout, of which by stage, and the number of turns with a verdict."""
    task, agent = tasks.load(config.task), make_agent()
    VecEnv._see = shown_to(agent)  # type: ignore[method-assign]
    corrector = make_corrector(config, task)
    collector = Collector(task, agent, corrector, config)
    started = time.perf_counter()
    rollout = collector.collect()
    spent = time.perf_counter() - started
    if corrector is not None:
        corrector.close()
    return spent, dict(rollout.seconds), sum(turn.verdict is not None for turn in rollout.flat())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--agent", choices=("tiny", "timed"), default="tiny")
    for name, whole in (("envs", 32), ("turns", 32), ("tokens", 256), ("in_flight", 128), ("repeats", 2)):
        parser.add_argument(f"--{name}", type=int, default=whole)
    for name in ("seconds", "step"):
        parser.add_argument(f"--{name}", type=float, default=2.0)
    chosen = parser.parse_args()
    os.environ["OPENAI_API_KEY"] = "none"
    torch.set_num_threads(1)
    config = build("gtr", task="points24", scale="tiny")
    train = replace(config.train, envs=chosen.envs, turns=chosen.turns)
    guidance = replace(config.guidance, stop_early=False)
    policy = replace(config.policy, max_new_tokens=chosen.tokens)
    config = replace(config, train=train, guidance=guidance, policy=policy)
    with tempfile.TemporaryDirectory() as folder:
        server = Apart(config.task, chosen.seconds)
        SHOWN.append(server)
        agent = tiny_agent(config, Path(folder) / "model") if chosen.agent == "tiny" else None
        api = replace(config.corrector, base_url=server.url, structured="json_schema", tools="off", timeout=60.0)
        api = replace(api, in_flight=chosen.in_flight)
        asking = replace(config, corrector=api, guidance=replace(guidance, corrector="chat"))
        spent: dict[str, list[float]] = {"oracle": [], "api": []}
        for name, settings in [("oracle", config), ("api", asking)] * chosen.repeats:
            task = tasks.load(config.task)
            seconds, stages, judged = timed(settings, lambda task=task: agent or TimedAgent(task, chosen.step))
            spent[name].append(seconds)
            parts = "  ".join(f"{stage} {took:.1f}" for stage, took in stages.items())
            print(f"{name:7} {seconds:6.1f} s for {judged} turns   {parts}", flush=True)
        added = sum(spent["api"]) / sum(spent["oracle"]) - 1
        requests, at_once = server.stop()
        print(f"{requests} requests, at most {at_once} at a time; the API adds {added:.1%}")


SHOWN: list[Apart] = []
"""The server that sees every picture together with its truth."""
SEE = VecEnv._see


def shown_to(agent: Any) -> Any:
    """Lets the server, and an agent that plays by the solver, see every picture together with its truth."""

    def seen(self: VecEnv, state: Any, image: Any, info: Any) -> None:
        SEE(self, state, image, info)
        for server in SHOWN:
            server.show(state.prompt.image, state.truth)
        if isinstance(agent, ScriptedPolicy):
            agent.see(state.prompt, state.truth)

    return seen


if __name__ == "__main__":
    main()

"""How fast gtr collects and learns, beside a batch-of-one loop that works as the reference code does.

    python benchmarks/throughput.py [--task ezpoints] [--turns 12] [--json FILE]

The reference loop (GTR's public code): one environment; generate for one prompt; a second forward pass over the reply
padded to the token limit, for its log-probs and value; updates of one turn per forward pass, then another forward pass
for the cloning loss. Both sides use the same tiny agent, the same turns, one thread, the same optimiser.

Rates are per second of this process's CPU time, which on one thread is the clock's on an idle machine, and stays
comparable on a busy one. The shares of the stages are of the clock's time.
"""

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from rich.console import Console
from rich.table import Table

from gtr import tasks
from gtr.algo.ppo import PPO
from gtr.config import Config, TrainConfig
from gtr.config.presets import build
from gtr.guidance import make_corrector
from gtr.learner import learn, make_optimizer
from gtr.losses.cloning import cloning_loss
from gtr.losses.ppo import ppo_loss, value_loss
from gtr.policy.loading import load_policy
from gtr.policy.policy import Policy
from gtr.rollout import Collector
from gtr.sft import initialise
from gtr.types import Rollout, Sample

ENVS = (1, 2, 4, 8, 16, 32, 64)
REFERENCE_TURNS = 48
"""Turns that the batch-of-one loop is timed on."""


def collector(config: Config, policy: Policy, envs: int, turns: int) -> Collector:
    config = replace(config, train=replace(config.train, envs=envs, turns=turns))
    task = tasks.load(config.task)
    return Collector(task, policy, make_corrector(config, task), config)


def collect_rate(config: Config, policy: Policy, envs: int, turns: int) -> tuple[float, Rollout]:
    """Turns per CPU second of batched collection, after one warm-up turn."""
    collector(config, policy, envs, 1).collect()
    ready = collector(config, policy, envs, turns)
    started = time.process_time()
    rollout = ready.collect()
    return envs * turns / (time.process_time() - started), rollout


def padded(policy: Policy, tokens: Sequence[int]) -> list[int]:
    limit = policy.config.max_new_tokens
    return [*tokens, *[policy.pad_id] * (limit - len(tokens))]


def reference_collect_rate(config: Config, policy: Policy) -> float:
    """Turns per CPU second of one environment with a second, padded forward pass per turn."""
    ready = collector(config, policy, 1, 1)
    ready.collect()
    started = time.process_time()
    for _ in range(REFERENCE_TURNS):
        turn = ready.collect().flat()[0]
        with torch.no_grad():
            policy.score([turn.prompt], [padded(policy, turn.reply.tokens)])
    return REFERENCE_TURNS / (time.process_time() - started)


def update_rate(policy: Policy, algorithm: PPO, samples: Sequence[Sample], train: TrainConfig) -> float:
    """Turns per CPU second of one epoch of `learn`."""
    train, optimizer = replace(train, epochs=1), make_optimizer(policy, train)
    started = time.process_time()
    learn(samples, algorithm, policy, optimizer, train, Accelerator(), np.random.default_rng(0))
    return len(samples) / (time.process_time() - started)


def reference_update_rate(
    policy: Policy, samples: Sequence[Sample], lessons: Sequence[Sample], train: TrainConfig
) -> float:
    """Turns per CPU second with one padded turn per forward pass and another forward pass per lesson."""
    optimizer = make_optimizer(policy, train)
    policy.network.train()
    limit = policy.config.max_new_tokens

    def wide(values: Sequence[float]) -> torch.Tensor:
        return torch.tensor([[*values, *[0.0] * (limit - len(values))]])

    started = time.process_time()
    for i in range(REFERENCE_TURNS):
        turn, lesson = samples[i], lessons[i % len(lessons)]
        scores = policy.score([turn.prompt], [padded(policy, turn.tokens)])
        old, weights, advantage = wide(turn.old), wide(turn.weights["policy"]), torch.tensor([turn.advantage])
        chosen = {"clip": 0.1, "normaliser": REFERENCE_TURNS}
        loss = ppo_loss(scores.logprobs, old, weights, advantage.float(), ratio="turn", **chosen).loss
        value, target = torch.tensor([turn.value]), torch.tensor([turn.target])
        loss = loss + value_loss(scores.values, value, target, **chosen).loss
        cloned, weights = policy.score([lesson.prompt], [padded(policy, lesson.tokens)]).logprobs, lesson.weights
        count = REFERENCE_TURNS * sum(weights["cloning"])
        (loss + cloning_loss(cloned, wide(weights["cloning"]), normaliser=count)).backward()
    optimizer.step()
    return REFERENCE_TURNS / (time.process_time() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="ezpoints")
    parser.add_argument("--turns", type=int, default=12, help="turns per environment")
    parser.add_argument("--runs", default="runs", help="folder whose cached starting agent is used, or made")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    config = replace(build("gtr", arguments.task, "tiny"), runs=arguments.runs)
    policy = load_policy(initialise(config), config.policy)
    console = Console()
    task = tasks.load(config.task)

    slow = reference_collect_rate(config, policy)
    grid = Table(title=f"collection, {arguments.task}, tiny-llava, one thread")
    for column in ("environments", "turns/s", "against batch of one", "generate", "step", "correct"):
        grid.add_column(column, justify="right")
    grid.add_row("1, as the reference", f"{slow:.1f}", "1.0x", "", "", "")
    figures: dict[str, object] = {"reference_collect": slow, "collect": {}}
    rollout = None
    for envs in ENVS:
        rate, rollout_here = collect_rate(config, policy, envs, arguments.turns)
        total = sum(rollout_here.seconds.values())
        shares = [f"{rollout_here.seconds[stage] / total:.0%}" for stage in ("generate", "step", "correct")]
        grid.add_row(str(envs), f"{rate:.1f}", f"{rate / slow:.1f}x", *shares)
        figures["collect"] = {**figures["collect"], envs: rate}  # type: ignore[dict-item]
        rollout = rollout_here if envs == 32 else rollout
    console.print(grid)

    assert rollout is not None
    with tempfile.TemporaryDirectory() as folder:
        policy.save(Path(folder))
        one, many = (load_policy(folder, config.policy) for _ in range(2))
        algorithm = PPO(config, task, many)
        samples = algorithm.samples(rollout, 0)
        slow_update = reference_update_rate(one, samples, algorithm.cloning.latest, config.train)
        fast_update = update_rate(many, algorithm, samples, config.train)
    grid = Table(title="updates: every turn once, with one lesson each")
    for column in ("", "turns/s", "ratio"):
        grid.add_column(column, justify="right")
    grid.add_row("one turn per pass, padded, second pass", f"{slow_update:.1f}", "1.0x")
    ratio = f"{fast_update / slow_update:.1f}x"
    grid.add_row(f"minibatch {config.train.minibatch}, one pass", f"{fast_update:.1f}", ratio)
    console.print(grid)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    console.print(f"peak memory {peak:.0f} MiB")
    figures |= {"reference_update": slow_update, "update": fast_update, "peak_mib": peak}
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""Turns per second of the local engine and of vLLM servers, side by side in one process, on a random model.

    python benchmarks/engines.py make FOLDER            writes a random LLaVA of 100 million weights
    gtr serve-engine FOLDER --run ...                   in another terminal
    python benchmarks/engines.py run FOLDER http://127.0.0.1:8000

Wall-clock seconds, for a server's work is not this process's; rounds alternate between the two, and both sample replies
of the full length. Weights are handed over once, before the first round; scoring by the trainer is included.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from transformers import LlamaConfig

from gtr import tasks
from gtr.config import EngineConfig, PolicyConfig
from gtr.config.presets import build
from gtr.engine import Engine, make_engine
from gtr.policy import tiny
from gtr.policy.loading import load_policy
from gtr.sft.agents import expert_examples
from gtr.types import Prompt

TASK = "ezpoints"
WIDTH, LAYERS = 768, 13
"""Of the language model: 98 million weights."""
LENGTH = 48


def make(folder: Path) -> None:
    config = build("gtr", TASK)
    examples = expert_examples(tasks.load(config.task), 200, np.random.default_rng(0))

    def wide(tokenizer: object) -> LlamaConfig:
        small = narrow(tokenizer).to_dict()
        wider = {"hidden_size": WIDTH, "intermediate_size": 3 * WIDTH, "num_hidden_layers": LAYERS}
        return LlamaConfig(**{**small, **wider, "num_attention_heads": 12, "num_key_value_heads": 12, "head_dim": 64})

    narrow, tiny._llama = tiny._llama, wide
    tiny.build("tiny-llava", [one.reply for one in examples], 96, 0, folder)


def rate(engine: Engine, prompts: list[Prompt]) -> float:
    started = time.perf_counter()
    engine.generate(prompts)
    return len(prompts) / (time.perf_counter() - started)


def run(folder: Path, servers: list[str], envs: int, rounds: int) -> None:
    config = PolicyConfig(model=str(folder), temperature=1.0, max_new_tokens=LENGTH, value_hidden=(64,))
    policy = load_policy(folder, config)
    weights = sum(one.numel() for one in policy.network.model.parameters())
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as exchange:
        engines = {
            "local": make_engine(EngineConfig(), policy, Path(exchange)),
            "vllm": make_engine(EngineConfig(name="vllm", servers=tuple(servers)), policy, Path(exchange)),
        }
        found: dict[str, list[float]] = {name: [] for name in engines}
        for name, engine in engines.items():
            engine.sync(0)
            rate(engine, prompts_of(envs, rng))
            print(f"{name} is warm")
        for _ in range(rounds):
            prompts = prompts_of(envs, rng)
            for name, engine in engines.items():
                found[name].append(rate(engine, prompts))
        print({name: round(value, 6) for name, value in engines["vllm"].metrics().items()})
        engines["vllm"].close()
    grid = Table(title=f"{weights / 1e6:.0f} million weights, {envs} environments, replies of {LENGTH} tokens at most")
    for column in ("engine", "turns/s (median)", "from", "to", "against local, by round"):
        grid.add_column(column, justify="right")
    for name, rates in found.items():
        ratios = sorted(mine / local for mine, local in zip(rates, found["local"], strict=True))
        spread = f"{statistics.median(ratios):.2f}x ({ratios[0]:.2f}-{ratios[-1]:.2f})"
        grid.add_row(name, f"{statistics.median(rates):.2f}", f"{min(rates):.2f}", f"{max(rates):.2f}", spread)
    Console().print(grid)


def prompts_of(count: int, rng: np.random.Generator) -> list[Prompt]:
    pictures = rng.integers(0, 256, (count, 96, 96, 3), dtype=np.uint8)
    return [Prompt(picture, "what do you see, and what next?") for picture in pictures]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("make", "run"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("servers", nargs="*")
    parser.add_argument("--envs", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.what == "make":
        make(arguments.folder)
    else:
        run(arguments.folder, arguments.servers, arguments.envs, arguments.rounds)


if __name__ == "__main__":
    main()

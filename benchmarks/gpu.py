"""Everything that a GPU must show and a CPU cannot, in about ten minutes, as one table to paste.

    python benchmarks/gpu.py           on a GPU: a model of random weights as large as LLaVA-v1.6-mistral-7B
    python benchmarks/gpu.py --dry     the same steps on a CPU, with a tiny model: do they run?

Weights are random: sizes, types, kernels and times are those of the real model, what it says is noise. Its tokeniser
and processor are a tiny model's, so that pictures have fewer tokens than the real one's; the table says how many a
prompt had. Peak memory is what torch allocated. "share of peak" is the floating-point work of the weights (2 per
weight and token forward, 4 for the gradient of activations, none for frozen weights' own) over `torch.mm`'s rate in
bfloat16, measured here.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from transformers import AutoModelForImageTextToText, LlavaNextConfig

from gtr import sft, tasks
from gtr.algo import find
from gtr.config import Config, PolicyConfig
from gtr.config.io import changed
from gtr.config.presets import build
from gtr.learner import learn, make_optimizer
from gtr.policy import tiny
from gtr.policy.loading import load_policy
from gtr.policy.policy import Policy
from gtr.policy.shapes import KNOWN
from gtr.rollout import Collector

SEVEN = "llava-hf/llava-v1.6-mistral-7b-hf"
Row = tuple[str, str]


def synced() -> float:
    """Seconds, when the GPU has done all it was asked."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def peak_rate(device: torch.device, dry: bool) -> float:
    """Floating-point operations per second of a large matrix product."""
    size, kind = (512, torch.float32) if dry else (8192, torch.bfloat16)
    a = torch.randn(size, size, device=device, dtype=kind)
    a @ a
    started = synced()
    for _ in range(20):
        a @ a
    return 20 * 2 * size**3 / (synced() - started)


def large_model(folder: Path, small: Path, layers: int | None) -> Path:
    """A model of the 7B's shape with random weights, and the tokeniser and processor of a tiny one; bfloat16."""
    own = LlavaNextConfig.from_pretrained(small)
    _, settings = KNOWN[SEVEN]
    text = {**settings["text_config"], **({"num_hidden_layers": layers} if layers else {})}
    ends = {"eos_token_id": own.text_config.eos_token_id, "bos_token_id": own.text_config.bos_token_id}
    vision = {**settings["vision_config"], "image_size": own.vision_config.image_size}
    vision["patch_size"] = own.vision_config.patch_size
    config = LlavaNextConfig(
        vision_config=vision,
        text_config={**text, **ends},
        image_token_index=own.image_token_id,
        image_grid_pinpoints=own.image_grid_pinpoints,
        vision_feature_select_strategy=own.vision_feature_select_strategy,
        vision_feature_layer=own.vision_feature_layer,
    )
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = AutoModelForImageTextToText.from_config(config)
    torch.set_default_dtype(torch.float32)
    model.save_pretrained(folder)
    for file in small.iterdir():
        if file.name not in ("config.json", "model.safetensors") and not (folder / file.name).exists():
            (folder / file.name).write_bytes(file.read_bytes())
    return folder


def small_model(folder: Path) -> Path:
    config = build("gtr", "numberline")
    examples = sft.expert_examples(tasks.load(config.task), 60, np.random.default_rng(0))
    texts = [one.reply for one in examples] + [one.prompt.text for one in examples]
    return tiny.build("tiny-llava-next", texts, config.task.image_size, 0, folder)


def settings_for(model: Path, runs: Path, dry: bool) -> Config:
    """One update of GTR under LoRA: `turns` of `envs` environments, replies of up to 64 tokens."""
    return changed(
        build("gtr", "numberline"),
        {
            **{"policy.model": str(model), "policy.finetune": "lora", "runs": str(runs), "sft.enabled": False},
            **{"policy.lora_rank": 8 if dry else 128, "policy.max_new_tokens": 8 if dry else 64},
            **{"policy.gradient_checkpointing": True, "policy.temperature": 0.7, "policy.freeze_vision": False},
            **{"train.envs": 2 if dry else 16, "train.turns": 2, "train.minibatch": 1, "train.accumulation": 4},
            **{"task.prompt": "compact" if dry else "paper"},
            **{"train.epochs": 1, "task.illegal": "random", "report.trackers": (), "report.probe_turns": 0},
        },
    )


def gap(policy: Policy, config: Config) -> float:
    """Largest difference of sampled and scored log-probabilities, in nats."""
    collector = Collector(tasks.load(config.task), policy, None, changed(config, {"guidance.corrector": "none"}))
    turns = collector.collect().flat()
    worst = 0.0
    for turn in turns:
        with torch.no_grad():
            scores = policy.score([turn.prompt], [turn.reply.tokens]).logprobs[0]
        worst = max(worst, float((scores.cpu() - torch.tensor(turn.reply.logprobs)).abs().max()))
    return worst


def gaps(model: Path, config: Config) -> Iterator[Row]:
    """Sampling = scoring, by type of the weights."""
    for kind in ("float32", "bfloat16", "mixed"):
        policy = load_policy(model, replace(config.policy, model=str(model), dtype=kind), 0)
        yield f"sampled against scored, {kind}, small model (nats)", f"{gap(policy, config):.2g}"


def passes(policy: Policy, config: Config, rate: float) -> Iterator[Row]:
    """Collecting and one update, timed and weighed."""
    device, task = policy.device, tasks.load(config.task)
    algorithm = find(config.algo.name)(config, task, policy)
    corrector = algorithm.corrector(Path(config.runs), 0, 1)
    collector = Collector(task, policy, corrector, config, 0, algorithm.rollout)
    optimizer, accelerator = make_optimizer(policy, config.train), Accelerator()
    weights = sum(p.numel() for p in policy.network.model.parameters())
    yield "weights (billions)", f"{weights / 1e9:.2f}"

    def measured(name: str, work: Callable[[], Any], count: Callable[[Any], tuple[int, int]], flops: int) -> Any:
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        started = synced()
        made = work()
        spent = synced() - started
        turns, tokens = count(made)
        rows.append((f"{name}: turns per second", f"{turns / spent:.2f}"))
        rows.append((f"{name}: share of peak", f"{flops * weights * tokens / spent / rate:.1%}"))
        if device.type == "cuda":
            rows.append((f"{name}: peak memory (GiB)", f"{torch.cuda.max_memory_allocated() / 2**30:.1f}"))
        return made

    rows: list[Row] = []
    length = policy.inputs([collector.envs.states[0].prompt])["input_ids"].shape[1]

    def played(rollout: Any) -> tuple[int, int]:
        turns = rollout.flat()
        return len(turns), sum(length + len(turn.reply.tokens) for turn in turns)

    rollout = measured("collecting", collector.collect, played, 2)
    samples = algorithm.samples(rollout, 0)

    def step() -> Any:
        return learn(samples, algorithm, policy, optimizer, config.train, accelerator, np.random.default_rng(0))

    # Corrected thoughts stand beside the turns; recomputation under checkpointing is not counted as work.
    learnt = measured("LoRA update", step, lambda _: (len(samples), 2 * played(rollout)[1]), 4)
    yield "prompt (tokens)", str(length)
    yield from rows
    yield "sampled against scored in the update (nats)", f"{learnt.metrics['update/logprob_mismatch']:.2g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dry", action="store_true", help="a tiny model, also on a CPU")
    parser.add_argument("--layers", type=int, default=None, help="decoder layers of the large model, by default all")
    chosen = parser.parse_args()
    if not (chosen.dry or torch.cuda.is_available()):
        raise SystemExit("there is no GPU here: give --dry to see the steps run on a CPU")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        small = small_model(folder / "small")
        config = settings_for(small, folder, chosen.dry)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU, dry run: figures mean nothing"
        rate = peak_rate(device, chosen.dry)
        rows = [("device", name), ("torch", torch.__version__), ("torch.mm (TFLOP/s)", f"{rate / 1e12:.2f}")]
        rows += gaps(small, config)
        model = small if chosen.dry else large_model(folder / "large", small, chosen.layers)
        policy = load_policy(model, PolicyConfig(**{**vars(config.policy), "model": str(model)}), 0)
        rows += passes(policy, config, rate)
    print("\n| measured | |\n|---|---|")
    for name, value in rows:
        print(f"| {name} | {value} |")


if __name__ == "__main__":
    main()

"""What a refactoring must not change: losses, gradients and final weights of small runs of every preset and algorithm.

    python benchmarks/golden.py record FILE [CASE ...]     on the commit before
    python benchmarks/golden.py compare FILE [CASE ...]    on the commit after, on the same machine

Numbers kept from another machine say nothing: sums in single precision differ in their last digits between processors.
Cases besides the presets: LoRA, one ratio per token, a run that rests after two updates, and two processes.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["ACCELERATE_USE_CPU"] = "true"

from safetensors.torch import load_file

from gtr.config import Config
from gtr.config.io import changed
from gtr.config.presets import METHODS, build
from gtr.train import train

SMALL: Mapping[str, Any] = {
    **{"sft.enabled": False, "policy.value_hidden": (16,), "policy.max_new_tokens": 12, "policy.temperature": 0.8},
    **{"task.illegal": "random", "train.updates": 3, "train.envs": 8, "train.turns": 4, "train.minibatch": 8},
    **{"train.accumulation": 2, "train.epochs": 2, "train.lr": 1e-3, "train.eval_episodes": 2, "train.eval_every": 0},
    **{"report.probe_turns": 4, "report.trackers": ()},
}
TOKENS = {"algo.ratio": "token", "algo.thought_weight": 0.5, "algo.entropy_weight": 0.01, "policy.freeze_vision": False}
CASES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    **{method: (method, {}) for method in METHODS},
    "grpo+gtr": ("grpo+gtr", {}),
    "lora": ("gtr", {"policy.finetune": "lora", "policy.lora_rank": 4, "policy.lora_alpha": 8}),
    "tokens": ("gtr", TOKENS),
    "rested": ("gtr", {}),
    "two processes": ("gtr", {}),
}
"""By case, the preset and what it changes of it."""
KEPT = ("loss/", "update/", "episode/return")
"""Metrics that are compared, by how their names begin."""


def config_of(case: str, runs: str) -> Config:
    """The settings of a case's run."""
    method, settings = CASES[case]
    return changed(build(method, "numberline"), {**SMALL, "runs": runs, **settings})


def series(case: str) -> dict[str, Any]:
    """What a case's run leaves: metrics by update, and a digest of the last weights."""
    with tempfile.TemporaryDirectory() as runs:
        if case == "two processes":
            words = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", __file__, "inner", runs]
            subprocess.run([sys.executable, *words], check=True, capture_output=True)
        else:
            folder = train(config_of(case, runs))
            if case == "rested":
                shutil.rmtree(folder / "checkpoints/update_00003")
                train(config_of(case, runs), folder)
        (folder,) = (file.parent for file in Path(runs).glob("*/config.json"))
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        rows = [{name: value for name, value in line.items() if name.startswith(KEPT)} for line in lines]
        digest = hashlib.sha256()
        for file in sorted((folder / "checkpoints/update_00003/model").glob("*.safetensors")):
            for _, value in sorted(load_file(file).items()):
                digest.update(value.contiguous().numpy().tobytes())
    return {"rows": rows, "weights": digest.hexdigest()}


def differences(kept: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """In words, the first metrics that differ, and whether the weights do."""
    pairs = enumerate(zip(kept["rows"], found["rows"], strict=True), start=1)
    told = [
        f"update {update}: {name} {old[name]} -> {new.get(name)}"
        for update, (old, new) in pairs
        for name in old
        if old[name] != new.get(name)
    ]
    return told[:5] + (["the last weights differ"] if kept["weights"] != found["weights"] else [])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("record", "compare", "inner"))
    parser.add_argument("file", type=Path)
    parser.add_argument("cases", nargs="*", help=", ".join(CASES))
    given = parser.parse_args()
    if given.what == "inner":
        train(config_of("two processes", str(given.file)))
        return
    kept = json.loads(given.file.read_text()) if given.file.exists() else {}
    if given.what == "compare" and (lacking := sorted({*given.cases} - {*kept})):
        sys.exit(f"{given.file} has no series of {', '.join(lacking)}: record them from the commit to compare with")
    wrong = 0
    for case in given.cases or (CASES if given.what == "record" else kept):
        found = json.loads(json.dumps(series(case)))
        told = differences(kept[case], found) if given.what == "compare" else []
        wrong += bool(told)
        word = "recorded" if given.what == "record" else "differs" if told else "equal"
        print("\n  ".join([f"{case}: {word}", *told]))
        if given.what == "record":
            kept[case] = found
            given.file.write_text(json.dumps(kept))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()

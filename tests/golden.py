"""The golden series: three updates of a fixed small run, whose losses are kept. Made anew, after a change that is meant
to change them, by:

    python tests/golden.py
"""

import json
import tempfile
from pathlib import Path

from small import changed

from gtr.config import Config, presets
from gtr.train import train

SERIES = Path(__file__).parent / "data" / "golden_losses.json"
NAMES = (
    "loss/policy",
    "loss/value",
    "loss/entropy",
    "loss/cloning",
    "update/kl",
    "update/grad_norm",
    "update/explained_variance",
    "update/lessons",
    "episode/return",
    "policy/entropy",
    "policy/kl_ref",
)


def config(runs: Path) -> Config:
    """Every loss takes part: the untrained agent's unreadable replies are all thought, and play at random."""
    return changed(
        presets.build("gtr", "numberline"),
        **{
            "runs": str(runs),
            "sft.enabled": False,
            "task.illegal": "random",
            "policy.max_new_tokens": 12,
            "policy.value_hidden": (16,),
            "policy.freeze_vision": False,
            "ppo.thought_weight": 0.5,
            "ppo.entropy_weight": 0.01,
            "ppo.value_gradient": "flow",
            "guidance.stop_early": False,
            "train.updates": 3,
            "train.envs": 6,
            "train.turns": 4,
            "train.minibatch": 6,
            "train.accumulation": 2,
            "train.epochs": 2,
            "train.lr": 1e-3,
            "train.eval_episodes": 2,
            "train.eval_every": 0,
            "report.probe_turns": 0,
            "report.trackers": (),
        },
    )


def series(runs: Path) -> dict[str, list[float]]:
    """The run's losses, update by update."""
    folder = train(config(runs))
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {name: [line[name] for line in lines] for name in NAMES if name in lines[0]}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as runs:
        SERIES.parent.mkdir(exist_ok=True)
        SERIES.write_text(json.dumps(series(Path(runs)), indent=1) + "\n")
        print(SERIES.read_text())

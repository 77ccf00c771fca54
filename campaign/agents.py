"""The small agents and runs that are attacked: tiny models with random weights, a few updates of a few turns."""

from pathlib import Path

import numpy as np
from small import changed

from gtr import sft, tasks
from gtr.config import Config, presets
from gtr.policy import tiny
from gtr.train import train

UPDATES = 3


def model(place: Path, task: str = "numberline", kind: str = "tiny-llava") -> Path:
    """A model folder, made once."""
    folder = place / f"{kind}-{task}"
    if not folder.exists():
        examples = sft.expert_examples(tasks.load(tasks.settings(task)), 60, np.random.default_rng(0))
        texts = [one.reply for one in examples] + [one.prompt.text for one in examples]
        tiny.build(kind, texts, 96, 0, folder)
    return folder


def config(place: Path, task: str = "numberline", method: str = "gtr", **settings: object) -> Config:
    """Settings of a run whose random agent is guided in every update."""
    chosen = {
        **{"runs": str(place / "runs"), "policy.model": str(model(place, task)), "policy.value_hidden": (16,)},
        **{"policy.max_new_tokens": 10, "policy.temperature": 0.7, "sft.enabled": False, "task.illegal": "random"},
        **{"train.updates": UPDATES, "train.envs": 4, "train.turns": 3, "train.minibatch": 6, "train.epochs": 1},
        **{"train.eval_episodes": 2, "train.eval_every": 1, "report.probe_turns": 4, "report.trackers": ()},
        **{"guidance.stop_early": False, "report.keep_checkpoints": 1, "task.max_turns": 4},
    }
    return changed(presets.build(method, task), **{**chosen, **settings})


def whole_run(place: Path) -> Path:
    """A finished run with a file of every kind, those of a corrector and of trackers too."""
    run = train(config(place, **{"name": "whole", "report.trackers": ("tensorboard",)}))
    (run / "trackers").mkdir()
    (run / "trackers" / "wandb.json").write_text('{"id": "0123abcd", "scalars": 3, "examples": 3}\n')
    (run / "corrector").mkdir()
    verdict = {"judgement": "incorrect", "thought": {"thoughts": "go right"}, "action": "1", "answers": {"step": True}}
    verdict |= {"target": None, "stop": False, "score": None}
    line = {"env": 0, "episode": 0, "turn": 0, "key": "k", "source": "asked", "verdict": verdict}
    lines = {"verdicts": [line], "requests": [{"request": 1, "time": 1.5, "at_most": 1.0}]}
    lines["requests"].append({"request": 1, "outcome": "answered", "usd": 0.5, "in": 9, "out": 9, "seconds": 1})
    from gtr.report.files import encode

    for name, records in lines.items():
        (run / "corrector" / f"{name}-0.jsonl").write_bytes(b"".join(map(encode, records)))
    return run

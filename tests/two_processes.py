"""What each process does in test_processes.py, by itself or beside another one (torchrun --nproc-per-node 2):

    two_processes.py train OUT              two small updates
    two_processes.py episodes OUT           one update of GRPO on whole episodes
    two_processes.py taught OUT METHOD      two updates of a method with a teacher; goes on with OUT/run if it is there
    two_processes.py gradient OUT MODEL     one step of plain descent on this process's share of a fixed rollout;
                                            with "distilled", of opd over the teacher's likeliest tokens

Every process writes its weights, and what it saw, to OUT.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import golden
import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from safetensors.torch import save_file
from small import changed, cut, draw_pictures, opinionated_head, shaken
from test_learner import WHOLE, Bench, descent

from gtr import train as street
from gtr.algo.buffer import ThoughtBuffer
from gtr.algo.opd import OPD
from gtr.algo.ppo import PPO
from gtr.config import presets
from gtr.learner import learn
from gtr.policy.loading import load_policy
from gtr.policy.policy import Policy
from gtr.policy.reference import OtherPolicy
from gtr.processes import leave
from gtr.train import DISTRIBUTED, Run
from gtr.types import Sample

torch.set_num_threads(1)


def write(out: Path, accelerator: Accelerator, policy: Policy, seen: dict[str, Any]) -> None:
    rank = accelerator.process_index
    seen |= {"processes": accelerator.num_processes, "rank": rank}
    (out / f"{rank}.json").write_text(json.dumps(seen))
    state = policy.network.state_dict()
    save_file({name: value.contiguous().clone() for name, value in state.items()}, out / f"{rank}.safetensors")


def train(out: Path, resume: Path | None = None) -> None:
    config = changed(golden.config(out / "runs"), **{"train.updates": 2, "report.probe_turns": 4, "train.envs": 3})
    runs: list[Run] = []
    build, seen = street._open, {}

    def keep(*arguments: Any) -> Run:
        runs.append(build(*arguments))
        seen["starts"] = [str(state.start) for state in runs[0].collector.envs.states]
        seen["main"] = runs[0].folder.main
        return runs[0]

    street._open = keep
    seen["folder"] = str(street.train(config, resume))
    seen["lessons"] = [list(lesson.tokens) for lesson in runs[0].algorithm.cloning.buffer.samples]
    write(out, runs[0].accelerator, runs[0].policy, seen)


def episodes(out: Path) -> None:
    config = changed(
        presets.build("grpo", "numberline"),
        **{
            **{"runs": str(out / "runs"), "sft.enabled": False, "policy.max_new_tokens": 12, "task.illegal": "random"},
            **{"train.updates": 1, "train.envs": 4, "train.turns": 3, "train.minibatch": 4, "algo.group": 4},
            **{"train.eval_episodes": 2, "report.probe_turns": 0, "report.trackers": (), "policy.value_hidden": (16,)},
        },
    )
    runs: list[Run] = []
    build, seen = street._open, {}

    def keep(*arguments: Any) -> Run:
        runs.append(build(*arguments))
        samples = runs[0].algorithm.samples

        def counted(*given: Any) -> Any:
            made = samples(*given)
            seen["samples"] = len(made)
            return made

        runs[0].algorithm.samples = counted
        return runs[0]

    street._open = keep
    street.train(config)
    write(out, runs[0].accelerator, runs[0].policy, seen)


def taught(out: Path, method: Path) -> None:
    config = changed(
        presets.build(str(method), "numberline"),
        **{
            **{"runs": str(out / "runs"), "sft.enabled": False, "policy.max_new_tokens": 12, "task.illegal": "random"},
            **{"train.updates": 2, "train.envs": 3, "train.turns": 4, "train.minibatch": 6, "train.eval_every": 0},
            **{"train.eval_episodes": 2, "report.probe_turns": 4, "report.trackers": (), "policy.value_hidden": (16,)},
        },
    )
    runs: list[Run] = []
    build = street._open

    def keep(*arguments: Any) -> Run:
        runs.append(build(*arguments))
        return runs[0]

    street._open = keep
    folder = street.train(config, out / "run" if (out / "run").exists() else None)
    write(out, runs[0].accelerator, runs[0].policy, {"folder": str(folder)})


class Fixed(ThoughtBuffer):
    """Draws the same lessons whatever is asked."""

    def __init__(self, lessons: list[Sample]) -> None:
        super().__init__()
        self.lessons = lessons

    def draw(self, count: int, rng: np.random.Generator) -> list[Sample]:
        assert count == len(self.lessons)
        return self.lessons


def gradient(out: Path, model: Path, how: Path = Path("gtr")) -> None:
    chosen = {**WHOLE, "algo.thought_weight": 0.3, "policy.value_hidden": (16,), "train.minibatch": 2}
    distilled = {"algo.top_k": 5, "algo.gate": "sigmoid", "algo.tokens": "thought", "report.probe_turns": 0}
    distilled |= {"algo.outcome_weight": 0.0, "algo.value_weight": 0.0}
    method, chosen = ("opd", {**chosen, **distilled}) if str(how) == "distilled" else ("gtr", chosen)
    config = changed(presets.build(method, "numberline"), **chosen)
    policy = opinionated_head(load_policy(model, config.policy, 0))
    bench = Bench(policy, draw_pictures())
    accelerator = Accelerator(kwargs_handlers=[DISTRIBUTED])
    turns = [replace(turn, env=i) for i, turn in enumerate(bench.turns)]
    rows, drawn = [turns[:6], turns[6:]], [bench.buffer.samples[:1] * 6, bench.buffer.samples[1:2] * 6]
    if accelerator.num_processes == 2:
        rows, drawn = ([one[accelerator.process_index]] for one in (rows, drawn))
    config = changed(config, **{"train.accumulation": 3 * len(rows)})
    policy.scorer = accelerator.prepare(policy.network)
    lessons = Fixed([lesson for part in drawn for lesson in part])
    rng = np.random.default_rng(0)
    algorithm = {"gtr": PPO, "opd": OPD}[method](config, None, policy, gather_object)
    torch.manual_seed(0)
    algorithm._teacher = OtherPolicy(shaken(load_policy(model, config.policy, 0)))
    algorithm.cloning.buffer = lessons
    samples = algorithm.samples(cut(rows), 0)
    learn(samples, algorithm, policy, descent(policy), config.train, accelerator, rng)
    moved = {name: float((value - bench.start[name]).norm()) for name, value in policy.network.state_dict().items()}
    write(out, accelerator, policy, {"moved": moved})
    accelerator.wait_for_everyone()
    accelerator.end_training()


if __name__ == "__main__":
    {"train": train, "episodes": episodes, "taught": taught, "gradient": gradient}[sys.argv[1]](
        *(Path(word) for word in sys.argv[2:])
    )
    leave(0)

"""What each process does in tests/policy/test_sharding.py (torchrun --nproc-per-node N):

    sharded_processes.py steps OUT MODEL [full|lora]     three AdamW steps on this process's share of a fixed rollout
    sharded_processes.py states OUT MODEL                gathering and scattering, and what goes wrong around them
    sharded_processes.py hybrid OUT MODEL                  which processes share a weight, on two nodes of two

Each writes what it saw to OUT as JSON, and `steps` the trained agent.
"""

import copy
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from small import changed, cut, draw_pictures, opinionated_head
from test_learner import WHOLE, Bench
from torch.distributed.tensor import DTensor
from two_processes import Fixed

from gtr.algo.ppo import PPO
from gtr.config import presets
from gtr.engine.weights import merged
from gtr.learner import learn, make_optimizer
from gtr.policy import sharding
from gtr.policy.loading import load_policy
from gtr.policy.policy import Policy
from gtr.policy.reference import ReferencePolicy
from gtr.processes import leave

torch.set_num_threads(1)


class InOrder:
    """Random numbers that leave rows in their order."""

    def permutation(self, count: int) -> np.ndarray:
        return np.arange(count)


def loaded(model: str, **settings: Any) -> tuple[Policy, Any]:
    chosen = {"policy.value_hidden": (16,), "policy.max_new_tokens": 8, "policy.lora_rank": 4}
    config = changed(presets.build("gtr", "numberline"), **{**WHOLE, **chosen, **settings})
    return opinionated_head(load_policy(model, config.policy, 0)), config


def steps(out: Path, model: str, finetune: str = "lora", norm: str = "1e9") -> None:
    """Six turns and their lessons in two passes: two in one process, or one in each of two."""
    settings = {"algo.thought_weight": 0.3, "train.minibatch": 6, "train.epochs": 3, "train.lr": 1e-3}
    settings |= {"policy.finetune": finetune, "train.grad_norm": float(norm), "train.lr_final": 1e-3}
    policy, config = loaded(model, **settings)
    bench = Bench(policy, draw_pictures())
    accelerator = Accelerator()
    ranks, rank = accelerator.num_processes, accelerator.process_index
    rows, drawn = [bench.turns[:6], bench.turns[6:]], [bench.buffer.samples[:1] * 6, bench.buffer.samples[1:2] * 6]
    if ranks == 2:
        rows, drawn = [rows[rank]], [drawn[rank]]
    config = changed(config, **{"train.accumulation": len(rows)})
    algorithm = PPO(config, None, policy, gather_object)
    algorithm.cloning.buffer = Fixed([lesson for part in drawn for lesson in part])
    samples = algorithm.samples(cut(rows), 0)
    if ranks == 2:
        policy.scorer = sharding.distributed(policy.network, accelerator, "full")
    optimizer = make_optimizer(policy, config.train)
    shares = sum(isinstance(p, DTensor) for group in optimizer.param_groups for p in group["params"])
    learnt = learn(samples, algorithm, policy, optimizer, config.train, accelerator, InOrder())
    # No two processes may write one value head; all must take part.
    policy.save(out / "model", main=rank == 0)
    write(out, accelerator, {"shares": shares, "losses": dict(learnt.metrics), "world": ranks})


def states(out: Path, model: str) -> None:
    policy, config = loaded(model, **{"policy.finetune": "full"})
    pictures = draw_pictures()
    bench = Bench(policy, pictures)
    prompts = [turn.prompt for turn in bench.turns[:3]]
    replies = [turn.reply.tokens for turn in bench.turns[:3]]
    plain = copy.deepcopy(policy)
    plain.scorer = plain.network
    reference = ReferencePolicy(policy)
    accelerator = Accelerator()
    rank, seen = accelerator.process_index, dict[str, Any]()
    policy.scorer = sharding.distributed(policy.network, accelerator, "full")
    network = policy.network
    seen["layers"] = sum(1 for module in network.modules() if sharding.is_sharded(module)) - 1
    for name, call in (("generate", policy.generate), ("values", policy.values)):
        try:
            call(prompts)
        except RuntimeError as error:
            seen[f"{name} too early"] = str(error)
    policy.gather()
    want = [reply.tokens for reply in plain.generate(prompts, greedy=True)]
    # Processes differ in how often they sample and score: nobody waits for anybody.
    for _ in range(1 + rank):
        seen["same replies"] = [reply.tokens for reply in policy.generate(prompts, greedy=True)] == want
    if rank == 0:
        seen["same values"] = policy.values(prompts) == plain.values(prompts)
    with torch.no_grad():
        theirs = plain.score(prompts, replies).logprobs
        seen["same scores"] = torch.equal(policy.score(prompts, replies).logprobs, theirs)
    # An optimiser made while all weights are here must still be one of shares, and train.
    optimizer = make_optimizer(policy, config.train)
    seen["late shares"] = all(isinstance(p, DTensor) for group in optimizer.param_groups for p in group["params"])
    before = sharding.full_weights(network, adapters=False)
    scores = policy.score(prompts, replies)
    scores.logprobs.sum().backward()
    torch.nn.utils.clip_grad_norm_(list(network.parameters()), 1.0)
    optimizer.step()
    after = sharding.full_weights(network, adapters=False)
    seen["moved"] = sum(not torch.equal(after[name], value) for name, value in before.items())
    # The agent of before, swapped in while gathered, is gone when each has its share again.
    policy.gather()
    with reference.swapped(policy), torch.no_grad():
        seen["swapped in"] = torch.equal(policy.score(prompts, replies).logprobs, theirs)
    again = sharding.full_weights(network, adapters=False)
    seen["swapped out"] = all(torch.equal(again[name], value) for name, value in after.items())
    # Saving scatters for a moment; what is gathered after it is what was saved.
    policy.gather()
    policy.save(out / "model", main=rank == 0)
    seen["gathered after saving"] = sharding.is_gathered(network)
    if rank == 0:
        served = merged(network.model)
        names = {name.removeprefix("model."): value for name, value in again.items() if name.startswith("model.")}
        assert served.keys() == names.keys()
        seen["served"] = all(torch.equal(served[name], value) for name, value in names.items())
    accelerator.wait_for_everyone()
    back = load_policy(out / "model", config.policy, 0)
    now = [reply.tokens for reply in policy.generate(prompts, greedy=True)]
    seen["saved"] = [reply.tokens for reply in back.generate(prompts, greedy=True)] == now
    write(out, accelerator, seen)


def hybrid(out: Path, model: str) -> None:
    policy, _ = loaded(model)
    prompts = [turn.prompt for turn in Bench(policy, draw_pictures()).turns[:1]]
    want = policy.generate(prompts, greedy=True)[0].tokens
    accelerator = Accelerator()
    sharding.distributed(policy.network, accelerator, "hybrid", int(os.environ["LOCAL_WORLD_SIZE"]))
    weight = next(p for p in policy.network.model.parameters() if p.shape[0] % 4 == 0)
    assert isinstance(weight, DTensor)
    seen = {"rows": weight.to_local().shape[0], "of": weight.shape[0], "placements": str(weight.placements)}
    policy.gather()
    write(out, accelerator, {**seen, "same reply": policy.generate(prompts, greedy=True)[0].tokens == want})


def write(out: Path, accelerator: Accelerator, seen: dict[str, Any]) -> None:
    (out / f"{accelerator.process_index}.json").write_text(json.dumps(seen))
    accelerator.wait_for_everyone()
    accelerator.end_training()


if __name__ == "__main__":
    case, folder, *words = sys.argv[1:]
    {"steps": steps, "states": states, "hybrid": hybrid}[case](Path(folder), *words)
    leave(0)

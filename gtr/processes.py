"""Several processes: how they must have been launched, and how a run goes on with another number of them.

The settings of a run are per process, for as many processes as it began with. Where it goes on with more or fewer,
what they make together stays: environments, and rows per optimiser step.
"""

import atexit
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import gcd
from typing import Any, NoReturn

from gtr.config import Config
from gtr.errors import RunError

COUNTS = ("WORLD_SIZE", "SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE")
"""Where launchers say how many processes they started, the first that is there counts."""
PLUGINS = {
    "ACCELERATE_USE_FSDP": "FSDP",
    "ACCELERATE_USE_DEEPSPEED": "DeepSpeed",
    "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM",
}
"""What accelerate may be asked to shard by; on CPUs it silently runs DDP instead."""
LAUNCH = "torchrun --nproc-per-node N -m gtr train ..."


def check_launch(shard: str, kind: str, processes: int) -> None:
    """RunError where processes do not know of one another, or cannot hold the weights as they are asked to.

    Args:
        shard: `train.shard`.
        kind: accelerate's name of how this process runs, such as ``MULTI_GPU``.
        processes: how many it knows of.
    """
    started = launched()
    if started != processes:
        raise RunError(
            f"{started} processes were started, but each would train by itself: launch them with {LAUNCH}; on CPUs, "
            "set ACCELERATE_USE_CPU=true in the environment"
        )
    asked = [name for key, name in PLUGINS.items() if os.environ.get(key, "").lower() in ("1", "true", "yes", "y")]
    if asked or kind in ("FSDP", "DEEPSPEED", "MEGATRON_LM"):
        raise RunError(
            f"the launcher asks for {asked[0] if asked else kind}; gtr shards by itself: leave that to --train.shard "
            f"full, and launch with {LAUNCH}"
        )
    if shard != "none" and processes == 1:
        raise RunError(
            f"train.shard is {shard}, but there is one process, which holds everything: launch several with {LAUNCH}, "
            "or set --train.shard none"
        )
    if shard == "hybrid" and not 1 < per_node() < processes:
        raise RunError(
            f"train.shard is hybrid, but {processes} processes run as {per_node()} per node: hybrid shards within "
            "nodes of two processes or more and copies between two nodes or more; set --train.shard full"
        )


def launched() -> int:
    """How many processes the launcher started, this one among them."""
    return int(next((os.environ[name] for name in COUNTS if name in os.environ), "1"))


def leave(code: int) -> NoReturn:
    """Ends this process; one of several without taking the interpreter down.

    A thread of torch's gloo may let go of its last tensor so late that the interpreter is gone, which aborts the
    process, and with it the launcher's whole run.
    """
    if launched() == 1:
        sys.exit(code)
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def per_node() -> int:
    """Processes on this node."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def resized(config: Config, before: int, now: int) -> Config:
    """Settings for `before` processes as settings for `now`, which together do the same.

    Raises:
        RunError: environments or rows do not divide.
    """
    train = config.train
    envs, rows = train.envs * before, train.minibatch * train.accumulation * before
    if envs % now or rows % now:
        fit = [count for count in range(1, envs + 1) if envs % count == 0 and rows % count == 0]
        raise RunError(
            f"the run has {envs} environments ({before} processes of train.envs {train.envs}) and {rows} rows per "
            f"optimiser step, which do not divide among {now} processes: resume with {', '.join(map(str, fit))}"
        )
    size = gcd(train.minibatch, rows // now)
    sized = replace(train, envs=envs // now, minibatch=size, accumulation=rows // now // size)
    return replace(config, train=sized)


def dealt(ranks: Sequence[Mapping[str, Any]], now: int) -> list[dict[str, Any]]:
    """The collectors' states of some processes (`Collector.state`) as those of `now` processes, in order.

    An environment takes its open episode, and what the corrector holds of it, to its new place.
    """
    if len(ranks) == now:
        return [dict(rank) for rank in ranks]
    seats = [seat for rank in ranks for seat in rank["seats"]]
    size = len(seats) // now
    states: list[dict[str, Any]] = [
        {"seats": seats[first : first + size], "corrector": {}} for first in range(0, len(seats), size)
    ]
    for number, rank in enumerate(ranks):
        for env, held in rank["corrector"].items():
            if not str(env).isdecimal():
                raise RunError(
                    f"the corrector's state is not by environment ({env!r}): resume with {len(ranks)} processes"
                )
            place, within = divmod(number * len(rank["seats"]) + int(env), size)
            states[place]["corrector"][str(within)] = held
    return states

"""``gtr plan``: what a run would take of each GPU, the host and the disk, and what to do where it does not fit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Le

from gtr.cli.argv import leading, parse, split_options
from gtr.cli.train import parse_train
from gtr.config import Config
from gtr.errors import ConfigError


@dataclass(frozen=True)
class PlanOptions:
    """What a run would need, before anything is loaded: `gtr plan PRESET`, and all settings of `gtr train`."""

    gpus: Annotated[int, Ge(1), Le(65_536)] = 1
    """GPUs, one process each."""
    memory: Annotated[float, Ge(1), Le(10_000)] = 80.0
    """Of each GPU, in GiB."""


def plan(arguments: Sequence[str]) -> None:
    """PRESET ...              memory and disk that a run would take, and which settings make room"""
    options, config = parse_plan(arguments)
    from gtr.plan import GIB, RESERVED, knobs, make_plan

    made, room = make_plan(config, options.gpus), options.memory * GIB
    print(
        f"{config.policy.model}, {config.policy.finetune}: {made.shape.weights / 1e9:.2f} billion weights, "
        f"{made.shape.trained / 1e6:,.0f} million learn; prompts of about {made.prompt:,} tokens"
    )
    allowance = {"libraries and gaps": RESERVED}
    _table("each GPU while sampling", {**made.sampling, **allowance})
    _table("each GPU while learning", {**made.learning, **allowance})
    _table("each process's memory by the end, at most", made.host)
    _table("disk by the end, at most", made.disk)
    fits = made.peak() <= room
    print(f"{made.peak() / GIB:.1f} of {options.memory:g} GiB a GPU: {'it fits' if fits else 'it does not fit; try'}")
    for knob in knobs(config, made, room, options.gpus):
        print(f"  {knob}")


def parse_plan(arguments: Sequence[str]) -> tuple[PlanOptions, Config]:
    """The options of ``gtr plan`` and the settings of the run."""
    own, settings = split_options(arguments, ("--gpus", "--memory", "-h", "--help"))
    preset = leading(arguments)
    options = parse(PlanOptions, own[len(preset) :], PlanOptions(), "plan")
    config = parse_train([*preset, *settings]).config
    if config.train.shard != "none" and options.gpus == 1:
        raise ConfigError(
            f"train.shard {config.train.shard} with one GPU: give --gpus 2 or more, or --train.shard none"
        )
    return options, config


def _table(title: str, parts: Mapping[str, float]) -> None:
    print(f"\n{title}, GiB")
    for name, size in {**parts, "together": sum(parts.values())}.items():
        print(f"  {name:28}{size / 2**30:10.2f}")

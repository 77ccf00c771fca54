"""Algorithms: one idea, one small file, one row.

Light: a row's file is imported when it is asked for, and none of them imports torch. An algorithm of your own needs no
row, only its import path.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from gtr.config.section import is_path
from gtr.errors import ConfigError, nearest
from gtr.imports import load_class

if TYPE_CHECKING:
    from gtr.algo.base import Algorithm
    from gtr.config import AlgoConfig

ALGORITHMS: Mapping[str, str] = {
    "gtr": "gtr.algo.gtr:GTR",
    "rl4vlm": "gtr.algo.rl4vlm:RL4VLM",
    "ppo": "gtr.algo.ppo:PPO",
    "grpo": "gtr.algo.grpo:GRPO",
    "rloo": "gtr.algo.rloo:RLOO",
    "gspo": "gtr.algo.gspo:GSPO",
    "reinforce_pp": "gtr.algo.reinforce_pp:ReinforcePP",
    "dapo": "gtr.algo.dapo:DAPO",
    "gigpo": "gtr.algo.gigpo:GiGPO",
    "hgpo": "gtr.algo.hgpo:HGPO",
    "starpo_s": "gtr.algo.starpo_s:StarPOS",
    "vl_dac": "gtr.algo.vl_dac:VLDAC",
    "bilevel_gae": "gtr.algo.bilevel_gae:BilevelGAE",
    "turn_ppo": "gtr.algo.turn_ppo:TurnPPO",
    "turbo_kl": "gtr.algo.turbo_kl:TurboKL",
    "turbo_sft": "gtr.algo.turbo_sft:TurboSFT",
    "opd": "gtr.algo.opd:OPD",
    "iterate": "gtr.algo.iterate:Iterate",
}
"""By name, where the class lives."""


def find(name: str) -> "type[Algorithm]":
    """The class of an algorithm: by a built-in name, or an import path, whose code is run.

    Raises `ConfigError`: no such name, file, module or class, or a class that is no `Algorithm`.
    """
    from gtr.algo.base import Algorithm

    if name not in ALGORITHMS and not is_path(name):
        raise ConfigError(
            f"unknown algorithm {name!r}: {nearest(name, ALGORITHMS)}. An algorithm of yours is written "
            "package.module:Class or path/file.py:Class"
        )
    return load_class(ALGORITHMS.get(name, name), Algorithm, "algorithm", ConfigError)  # type: ignore[type-abstract]


def settings_class(name: str) -> "type[AlgoConfig] | None":
    """The class of an algorithm's settings; None where there is no such one. Code of the user's own is run."""
    return find(name).Settings if name in ALGORITHMS or is_path(name) else None

"""``gtr completion``: what a shell needs to complete commands and flags."""

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal, get_args

import tyro

from gtr.cli.argv import leading
from gtr.cli.check import CheckOptions
from gtr.cli.compare import CompareOptions
from gtr.cli.eval import EvalOptions
from gtr.cli.export import ExportOptions
from gtr.cli.new import NewOptions
from gtr.cli.play import PlayOptions
from gtr.cli.push import PushOptions
from gtr.cli.show import ShowOptions
from gtr.cli.train import TrainOptions
from gtr.errors import ConfigError, nearest

Shell = Literal["bash", "zsh", "tcsh"]
OPTIONS: Mapping[str, type] = {
    **dict.fromkeys(("train", "sft"), TrainOptions),
    **{"eval": EvalOptions, "compare": CompareOptions, "play": PlayOptions, "show": ShowOptions},
    **{"export": ExportOptions, "push": PushOptions, "check": CheckOptions, "new": NewOptions},
}
"""Commands whose flags are completed: those that every game and algorithm has."""


def completion(arguments: Sequence[str]) -> None:
    """SHELL                  completion for bash, zsh or tcsh: eval "$(gtr completion bash)\""""
    shells, names = get_args(Shell), leading(arguments)
    if len(arguments) != 1 or names != list(arguments) or names[0] not in shells:
        raise ConfigError(f"write the shell: gtr completion bash. {nearest(' '.join(arguments), shells)}")
    named: list[Any] = [Annotated[kind, tyro.conf.subcommand(name=name)] for name, kind in OPTIONS.items()]
    tyro.cli(reduce(or_, named), prog="gtr", use_underscores=True, args=["--tyro-print-completion", names[0]])

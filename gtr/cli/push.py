"""``gtr push``: a run on the Hugging Face Hub."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from gtr.cli.argv import leading, parse
from gtr.errors import ConfigError


@dataclass(frozen=True)
class PushOptions:
    """Upload a run's agent to the Hugging Face Hub with a card written from the run, and its turns as a dataset.

    The hub is asked as its own tools do: the token is that of `hf auth login` or HF_TOKEN.
    """

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")] = Path()
    """The run folder."""
    repo: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="OWNER/NAME")] = ""
    """Id of the model; its turns become the dataset OWNER/NAME-turns."""
    private: bool = False
    """Whether only you may see what is made."""
    turns: bool = True
    """Whether the turns are uploaded too; needs pyarrow."""


def push(arguments: Sequence[str]) -> None:
    """RUN OWNER/NAME         the agent to the Hugging Face Hub with its card, its turns as a dataset"""
    chosen = parse_push(arguments)
    from gtr.export.hub import push as run

    address = run(chosen.run, chosen.repo, chosen.private, chosen.turns)
    print(
        f"{address}\nevaluate it with: gtr eval {chosen.repo}\ntrain it on with: gtr train --policy.model {chosen.repo}"
    )


def parse_push(arguments: Sequence[str]) -> PushOptions:
    """The options of ``gtr push``."""
    if len(leading(arguments)) != 2 and not {"-h", "--help"} & set(arguments):
        raise ConfigError("write the run and the id it is to have: gtr push RUN OWNER/NAME")
    chosen = parse(PushOptions, arguments, PushOptions(), "push")
    if chosen.repo.count("/") != 1:
        raise ConfigError(f"{chosen.repo}: an id on the hub is OWNER/NAME")
    return chosen

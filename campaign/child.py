"""A command line of gtr in a process that is forked from one with everything imported, so that kills cost a second."""

import os
import sys
from collections.abc import Mapping, Sequence
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

import accelerate  # noqa: F401
import openai  # noqa: F401
import torch
import transformers  # noqa: F401

import gtr.guidance.chat
import gtr.train  # noqa: F401
from gtr import cli

FORKS = get_context("forkserver")


def start(words: Sequence[str], log: Path, environment: Mapping[str, str] = {}) -> BaseProcess:
    """Begins ``gtr WORDS``; what it prints goes to `log`."""
    FORKS.set_forkserver_preload(["campaign.child"])
    process: BaseProcess = FORKS.Process(target=_run, args=(list(words), log, dict(environment)), daemon=True)
    process.start()
    return process


def _run(words: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    os.environ |= environment
    torch.set_num_threads(1)
    sys.argv = ["gtr", *words]
    code = cli.run(words)
    sys.stdout.flush()
    os._exit(code)

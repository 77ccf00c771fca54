"""``gtr serve-engine``: prints, or runs, the command of a vLLM server from which `gtr train` may sample."""

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from annotated_types import Ge, Le

from gtr.cli.argv import check_folder, parse
from gtr.engine.launch import Launch, readable
from gtr.errors import ConfigError, EngineError


@dataclass(frozen=True)
class ServeOptions:
    """Print the command that starts a vLLM server for `gtr train ... --engine.name vllm`, or run it.

    vLLM is installed into an environment of its own, which --python names. Whoever can reach the server can replace its
    weights: leave --host as it is, or let only the trainer's machine through.
    """

    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")] = ""
    """Folder or hub id of the agent's model, a run, or a folder that `gtr sft` printed."""
    python: str = "python"
    """The interpreter of the environment that vLLM is installed in."""
    host: str = "127.0.0.1"
    """Address to serve at; by default only this machine can reach it."""
    port: Annotated[int, Ge(1), Le(65_535)] = 8000
    """Port to serve at."""
    sync: Literal["full", "adapter", "none"] = "full"
    """As `engine.sync` of the run: whole weights, or LoRA adapters of the language model; none serves a teacher
    (`--algo.teacher http://...`), whose weights nobody may replace."""
    lora_rank: Annotated[int, Ge(1), Le(65_536)] = 128
    """As `policy.lora_rank` of the run, with --sync adapter."""
    out: Path | None = None
    """Folder for a copy with the names of weights that vLLM knows, where a model's are others; by default beside it."""
    vllm: str = ""
    """Further options of vLLM's, as one word: --vllm='--tensor-parallel-size 2 --max-model-len 4096'."""
    run: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Run the command here, instead of printing it."""


def serve_engine(arguments: Sequence[str]) -> None:
    """MODEL                  print or --run the command of a vLLM server to sample from"""
    chosen = parse_serve(arguments)
    launch = launch_of(chosen)
    if not chosen.run:
        words = [*(f"{key}={value}" for key, value in launch.environment.items()), *map(shlex.quote, launch.command())]
        print(" ".join(words))
        return
    if shutil.which(chosen.python) is None:
        raise EngineError(f"--python {chosen.python}: there is no such program")
    sys.stdout.flush()
    os.execvpe(chosen.python, launch.command(), {**os.environ, **launch.environment})


def parse_serve(arguments: Sequence[str]) -> ServeOptions:
    """The options of ``gtr serve-engine``."""
    options = parse(ServeOptions, arguments, ServeOptions(), "serve-engine", flags=True)
    if not options.model:
        raise ConfigError("write the model first: gtr serve-engine MODEL")
    check_folder("--out", options.out)
    return options


def launch_of(options: ServeOptions) -> Launch:
    """What is to be started; writes a copy of the model where vLLM cannot read it as it is."""
    from gtr.checkpoint import latest

    folder = Path(options.model)
    saved = latest(folder / "checkpoints")
    if saved is None and (folder / "checkpoints").is_dir():
        raise EngineError(f"{folder} holds no finished checkpoint: name the model that it starts from")
    model = readable(str(saved / "model") if saved else options.model, options.out)
    rank = options.lora_rank if options.sync == "adapter" else None
    try:
        extra = shlex.split(options.vllm)
    except ValueError as error:
        raise ConfigError(f"--vllm {options.vllm}: cannot be read as words ({error})") from None
    return Launch(model, options.python, options.host, options.port, rank, options.sync == "none", extra)

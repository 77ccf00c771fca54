"""The command line: finds the command, and turns every user's mistake into one plain message.

gtr train PRESET [--task NAME] [--scale tiny|7b] [--key value ...]
"""

import errno
import io
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType

from rich.console import Console

import gtr
from gtr.cli import (
    check,
    compare,
    completion,
    corrector_eval,
    doctor,
    export,
    new,
    play,
    push,
    serve_engine,
    show,
    train,
)  # fmt: skip
from gtr.cli import eval as evaluation
from gtr.cli import plan as planning
from gtr.cli import tasks as games
from gtr.cli.argv import refuse_empty, without_flag
from gtr.errors import ConfigError, GtrError, nearest

COMMANDS: Mapping[str, Callable[[Sequence[str]], None]] = {
    "train": train.train,
    "sft": train.sft,
    "plan": planning.plan,
    "eval": evaluation.evaluate,
    "compare": compare.compare,
    "play": play.play,
    "show": show.show,
    "export": export.export,
    "push": push.push,
    "corrector-eval": corrector_eval.corrector_eval,
    "serve-engine": serve_engine.serve_engine,
    "tasks": games.tasks,
    "new": new.new,
    "check": check.check,
    "doctor": doctor.doctor,
    "completion": completion.completion,
}
"""Each in a file of its own, its options beside it. Whatever is heavy is imported when it is needed."""

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
EXIT_MISTAKE = 2
EXIT_FAILED = 1
EXIT_INTERRUPTED = 130


def main() -> None:
    """The ``gtr`` program."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Names of files are any bytes, and messages of a terminal's encoding, as on stderr by default.
        sys.stdout.reconfigure(errors="backslashreplace")
    code = run(sys.argv[1:])
    if "torch" not in sys.modules:
        sys.exit(code)
    from gtr.processes import leave

    leave(code)


def run(arguments: Sequence[str]) -> int:
    """Runs one command and returns the exit code: 0, 2 after a user's mistake, 130 after Ctrl-C, 1 otherwise."""
    with second_signal_leaves_at_once():
        try:
            _dispatch(_logging(arguments))
        except GtrError as error:
            return _fail("Error: ", error, EXIT_MISTAKE)
        except KeyboardInterrupt as stop:
            return _fail("Stopped. ", stop, EXIT_INTERRUPTED)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return EXIT_FAILED
        except Exception as error:
            if disk_is_full(error):
                return _fail("The disk is full; free some space. ", error, EXIT_FAILED)
            if disk_failed(error):
                return _fail(
                    "A file cannot be read or written; look after the disk and its limits. ", error, EXIT_FAILED
                )
            if is_forbidden(error):
                return _fail("Error: choose another place with --runs or --out. ", error, EXIT_MISTAKE)
            raise
    return 0


def usage() -> str:
    """What ``gtr --help`` prints."""
    lines = [f"  gtr {name:14} {(command.__doc__ or '').splitlines()[0]}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "Train vision-language-model agents with reinforcement learning and guided thought.",
            "",
            *lines,
            "",
            "--log-level debug|info|warning|error, with any command, tells more or less of what goes on.",
            "gtr COMMAND --help shows a command's settings. Start with: gtr doctor",
        ]
    )


def _logging(arguments: Sequence[str]) -> list[str]:
    """Sets how much is told of what goes on, by ``--log-level`` anywhere; returns the other words."""
    level, others = without_flag(arguments, "--log-level")
    if level is not None:
        if level.upper() not in LEVELS:
            raise ConfigError(f"--log-level {level}: {nearest(level.lower(), [one.lower() for one in LEVELS])}")
        logging.basicConfig(level=level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True)
    return others


def _dispatch(arguments: Sequence[str]) -> None:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage())
    elif arguments[0] == "--version":
        print(f"gtr {gtr.__version__}")
    elif arguments[0] in COMMANDS:
        refuse_empty(arguments)
        COMMANDS[arguments[0]](arguments[1:])
    else:
        raise ConfigError(f"unknown command {arguments[0]!r}: {nearest(arguments[0], COMMANDS)}")


def _fail(title: str, error: BaseException, code: int) -> int:
    """Says on stderr what went wrong and, from the notes of whoever was at work, where that stands."""
    notes = getattr(error, "__notes__", [])
    text = "\n".join([title + str(error), *notes]) if str(error) else title + "\n".join(notes)
    Console(stderr=True, soft_wrap=True).print(text, markup=False, highlight=False)
    return code


def disk_is_full(error: BaseException) -> bool:
    """Whether this error, or one behind it, is a full disk."""
    return _is_one_of(error, (errno.ENOSPC, errno.EDQUOT))


def disk_failed(error: BaseException) -> bool:
    """Whether this error, or one behind it, is a disk's that breaks or is gone, or a limit on files (``ulimit``)."""
    return _is_one_of(error, (errno.EIO, errno.EFBIG, errno.ESTALE, errno.ENODEV, errno.EMFILE, errno.ENFILE))


def _is_one_of(error: BaseException, numbers: Sequence[int]) -> bool:
    """Whether an error is one of the system's of these numbers; libraries in other languages say so only in words."""
    told = isinstance(error, OSError) and error.errno in numbers
    found = told or any(os.strerror(number) in str(error) for number in numbers)
    behind = error.__cause__ or error.__context__
    return found or (behind is not None and _is_one_of(behind, numbers))


def is_forbidden(error: BaseException) -> bool:
    """Whether the system refused a place that the user chose."""
    refused = isinstance(error, PermissionError | NotADirectoryError | FileExistsError | IsADirectoryError)
    numbers = (errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP)
    return refused or (isinstance(error, OSError) and error.errno in numbers)


@contextmanager
def second_signal_leaves_at_once() -> Iterator[None]:
    """The first Ctrl-C, or a scheduler's SIGTERM, unwinds and reports; a second one exits on the spot.

    Files survive both (see `gtr.report`).
    """

    def leave(number: int, frame: FrameType | None) -> None:
        os._exit(EXIT_INTERRUPTED)

    def unwind(number: int, frame: FrameType | None) -> None:
        signal.signal(number, leave)
        os.write(2, b"\nStopping; press Ctrl-C again to leave at once.\n")
        raise KeyboardInterrupt

    before = {number: signal.signal(number, unwind) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

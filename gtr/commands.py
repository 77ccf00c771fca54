"""What each command does. Whatever is heavy is imported when it is needed, so that help and mistakes come at once."""

import sys
from collections.abc import Sequence
from importlib import metadata

from rich.console import Console
from rich.table import Table

from gtr import parsing
from gtr.presets import TASKS


def version() -> str:
    """Of the installed package."""
    return f"gtr {metadata.version('gtr')}"


def train(arguments: Sequence[str]) -> None:
    """PRESET ...             train an agent, or go on with --resume RUN_FOLDER"""
    chosen = parsing.parse_train(arguments)
    parsing.check_begin(chosen)
    from gtr.train import train as run

    folder = run(chosen.config, chosen.resume)
    print(f"{folder}\nlook at it with: gtr show {folder}\nevaluate it with: gtr eval {folder}")


def sft(arguments: Sequence[str]) -> None:
    """PRESET ...             make the agent that training starts from, and print where it is"""
    chosen = parsing.parse_train(arguments, command="sft")
    parsing.check_begin(chosen)
    from gtr.sft import initialise

    print(initialise(chosen.config))


def evaluate(arguments: Sequence[str]) -> None:
    """AGENT ...              success of runs, models, random, expert on a fixed panel"""
    chosen, configs = parsing.parse_eval(arguments)
    from gtr import evaluate as evaluation

    results = []
    for agent, config in zip(chosen.agents, configs, strict=True):
        print(f"playing {chosen.episodes} episodes: {agent}", file=sys.stderr)
        results.append(
            evaluation.evaluate(agent, config, chosen.split, chosen.episodes, chosen.seed, not chosen.sample)
        )
    evaluation.print_table(results)
    if chosen.json is not None:
        evaluation.write_json(results, chosen.json)


def compare(arguments: Sequence[str]) -> None:
    """METHOD METHOD ...      methods x seeds side by side: one table, one page, pictures"""
    chosen, overrides = parsing.parse_compare(arguments)
    from gtr.compare import compare as run

    run(chosen, overrides)


def play(arguments: Sequence[str]) -> None:
    """TASK                   play the agent's own view yourself, and see the oracle's verdict"""
    chosen, config = parsing.parse_play(arguments)
    from gtr.play import play as run

    run(chosen, config)


def show(arguments: Sequence[str]) -> None:
    """RUN ...                look at runs in the browser, or --export one HTML file"""
    chosen = parsing.parse_show(arguments)
    from gtr.show import show as run

    run(chosen)


def corrector_eval(arguments: Sequence[str]) -> None:
    """how good is a corrector, and what does it cost? before a long run is paid for"""
    chosen, config = parsing.parse_corrector_eval(arguments)
    from gtr import corrector_eval as examination

    report = examination.examine(config, chosen.thoughts, chosen.seed, chosen.folder)
    examination.show(report)
    if chosen.json is not None:
        examination.write_json(report, chosen.json)


def tasks(arguments: Sequence[str]) -> None:
    """the games that come with gtr"""
    parsing.parse_nothing(arguments, "tasks", "Lists the games that come with gtr.")
    from gtr.config import TaskConfig
    from gtr.tasks import load

    table = Table("name", "the game", "thought", "turns")
    for name in TASKS:
        task = load(TaskConfig(name=name))
        about = (type(task).__doc__ or "").splitlines()[0]
        table.add_row(name, about, ", ".join(task.thought_keys), str(task.max_turns))
    Console().print(table)
    print("A game of yours: gtr train PRESET --task package.module:Class, or --task file.py:Class")


def doctor(arguments: Sequence[str]) -> None:
    """is this machine ready? versions, devices, disk, and what mends it"""
    parsing.parse_nothing(arguments, "doctor", "Checks this machine: versions, devices, disk space, threads.")
    from gtr.doctor import report

    sys.stdout.write(report())

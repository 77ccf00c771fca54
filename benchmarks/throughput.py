"""How fast gtr collects and learns: beside a batch-of-one loop, beside TRL, and as environments and updates grow.

    python benchmarks/throughput.py [loop peers levers envs updates plan] [--peers-python PYTHON] [--quick] [--write]

All in one run, one thread, by processor time, which on one thread is the clock's on an idle machine and stays
comparable on a busy one. The sides of a comparison take turns, round by round; a ratio is the median over rounds with
the smallest and the largest. `--write` puts the tables into docs/PERFORMANCE.md and README.md, between their markers.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import psutil
import torch
from batch_of_one import (  # type: ignore[import-not-found]
    collector,
    loop_rollout,
    loop_update,
    timed_rollout,
    timed_update,
)
from peers import CELLS, METHODS, Ours, compared, model, settings  # type: ignore[import-not-found]
from results import put  # type: ignore[import-not-found]

from gtr import tasks
from gtr.algo.ppo import PPO
from gtr.cli.train import parse_train
from gtr.config import Config
from gtr.config.io import changed
from gtr.config.presets import build
from gtr.plan import GIB, make_plan
from gtr.policy.loading import load_policy
from gtr.policy.policy import Policy
from gtr.report.folder import RunFolder
from gtr.sft import initialise
from gtr.train import train

ROOT = Path(__file__).parents[1]
ENVS = (1, 8, 16, 32, 64, 128, 256)
PLANS = (
    (1, 24, ""),
    (1, 24, "--train.envs 16 --train.turns 128 --policy.tiles one"),
    (1, 80, ""),
    (1, 80, "--policy.gradient_checkpointing False"),
    (8, 80, "--train.envs 8 --train.accumulation 16"),
    (8, 80, "--train.envs 8 --train.accumulation 16 --policy.gradient_checkpointing False"),
)
"""Numbers of GPUs, memory of each in GiB, and settings; processes share the environments and the rows of a step."""
MARKED = "<!-- {0}: written by make bench -->\n{1}\n<!-- end of {0} -->"


def spread(values: Sequence[float], form: str = ".1f") -> str:
    """Median, smallest and largest."""
    return f"{statistics.median(values):{form}} ({min(values):{form}}-{max(values):{form}})"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def beside(slow: Sequence[float], fast: Sequence[float]) -> list[str]:
    """Turns per second of either side, and the ratio of the rounds."""
    ratios = [one / other for one, other in zip(slow, fast, strict=True)]
    return [spread([1 / one for one in fast]), spread([1 / one for one in slow]), spread(ratios, ".2f") + " x"]


class Bench:
    """The measurements, each a Markdown table."""

    def __init__(self, quick: bool, python: str | None, runs: str, work: Path) -> None:
        self.quick, self.python, self.work = quick, python, work
        self.rounds = 2 if quick else 5
        self.config = changed(build("gtr", "ezpoints"), {"runs": runs})

    def policy(self) -> Policy:
        """The starting agent on EZPoints: 1.3 million weights that write whole replies."""
        return load_policy(initialise(self.config), self.config.policy)

    def loop(self) -> str:
        """gtr beside the batch-of-one loop."""
        policy, config = self.policy(), self.config
        many, one = (collector(config, policy, envs) for envs in (config.train.envs, 1))
        _, rollout = timed_rollout(many)
        loop_rollout(one)
        algorithm = PPO(config, tasks.load(config.task), policy)
        samples = algorithm.samples(rollout, 0)
        lessons = algorithm.cloning.latest
        rows = [
            (
                loop_rollout(one),
                timed_rollout(many)[0],
                loop_update(policy, samples, lessons, config),
                timed_update(policy, algorithm, samples, config),
            )
            for _ in range(self.rounds)
        ]
        columns = list(zip(*rows, strict=True))
        head = ("", "gtr, turns/s", "batch of one, turns/s", "gtr is faster by")
        envs, minibatch = config.train.envs, config.train.minibatch
        return table(
            head,
            [
                [f"collection, {envs} environments", *beside(*columns[:2])],
                [f"an epoch with a lesson beside each turn, {minibatch} turns a pass", *beside(*columns[2:])],
            ],
        )

    def peers(self) -> str:
        """gtr beside TRL."""
        if not self.python:
            return "TRL was not measured: name the interpreter of its environment, `--peers-python`."
        head = ["turns, prompt tokens", "gtr's method"]
        head += [f"{what}: {side}" for what in ("collect", "with update") for side in ("gtr", "TRL", "ratio")]
        cells = CELLS[::3] if self.quick else CELLS
        return table(head, [row for steps, digits in cells for row in self._cell(steps, digits)])

    def _cell(self, steps: int, digits: int) -> Iterator[list[str]]:
        found = compared(self.python, steps, digits, self.rounds if self.quick else 4, self.work)
        for method in METHODS:
            parts = [
                beside([one[what] for one in found["trl"]], [one[what] for one in found[method]])
                for what in ("collect", "whole")
            ]
            yield [f"{steps}, {19 + 3 * digits}", method, *parts[0], *parts[1]]

    def levers(self) -> str:
        """gtr with and without reading shared text once: four turns an episode, prompts of 259 tokens."""
        folder = model(80, self.work / "levers")
        config = settings("grpo", 4, 80, folder)
        sides = [Ours(changed(config, {"policy.share_prefix": on})) for on in (False, True)]
        rounds = [[side.update() for side in sides] for _ in range(self.rounds + 1)][1:]
        rows = [
            [what, *beside(*([one[i][key] for one in rounds] for i in (0, 1)))]
            for what, key in (("collect", "collect"), ("with update", "whole"))
        ]
        return table(("", "once, turns/s", "in every row, turns/s", "faster by"), rows)

    def envs(self) -> str:
        """Cost per turn over numbers of environments."""
        policy = self.policy()
        config = changed(self.config, {"train.turns": 4})
        ready = {envs: collector(config, policy, envs) for envs in (ENVS[::3] if self.quick else ENVS)}
        rounds = [{envs: timed_rollout(one)[0] for envs, one in ready.items()} for _ in range(self.rounds)][1:]
        rows = [[str(envs), spread([1000 * one[envs] for one in rounds])] for envs in ready]
        return table(("environments", "ms of processor time per turn"), rows)

    def updates(self) -> str:
        """Cost per turn and memory over a run's updates."""
        count = 40 if self.quick else 400
        config = changed(
            build("gtr", "numberline"),
            {
                **{"runs": str(self.work), "train.updates": count, "train.envs": 16, "train.turns": 2},
                **{"train.minibatch": 32, "train.epochs": 1, "train.eval_every": 0, "train.eval_episodes": 2},
                **{"sft.enabled": False, "report.probe_turns": 4},
            },
        )
        seconds, memory = measured(config)
        edges = [1, *(count * k // 4 for k in range(1, 5))]
        rows = [
            [f"{a}-{b}", spread([1000 * one / 32 for one in seconds[a:b]]), f"{memory[b - 1]:.0f}"]
            for a, b in pairwise(edges)
        ]
        return table(("updates", "ms of processor time per turn", "resident memory, MiB"), rows)

    def plan(self) -> str:
        """What `gtr plan` says of the paper's run, 15,000 turns of a 7B; nothing of it is measured."""
        rows = []
        for gpus, memory, words in PLANS:
            planned = make_plan(parse_train(["gtr", "--scale", "7b", *words.split()]).config, gpus)
            peak, disk = planned.peak() / GIB, sum(planned.disk.values()) / GIB
            fits = "fits" if peak <= memory else "does not fit"
            rows.append([f"{gpus} x {memory} GiB", f"`{words}`" if words else "-", f"{peak:.1f}", fits, f"{disk:.1f}"])
        return table(("GPUs", "settings besides `--scale 7b`", "peak of a GPU, GiB", "", "disk, GiB"), rows)


def measured(config: Config) -> tuple[list[float], list[float]]:
    """By update of a run from beginning to end, its processor seconds and the memory held after it in MiB."""
    marks, memory, written = [time.process_time()], [], RunFolder.write_metrics
    process = psutil.Process()

    def marked(folder: RunFolder, *given: object) -> None:
        written(folder, *given)  # type: ignore[arg-type]
        marks.append(time.process_time())
        memory.append(process.memory_info().rss / 2**20)

    RunFolder.write_metrics = marked  # type: ignore[method-assign, assignment]
    try:
        train(config)
    finally:
        RunFolder.write_metrics = written  # type: ignore[method-assign]
    return [b - a for a, b in pairwise(marks)], memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ("loop", "peers", "levers", "envs", "updates", "plan")
    parser.add_argument("only", nargs="*", help=f"measurements, by default all: {', '.join(names)}")
    parser.add_argument("--peers-python", help="interpreter of an environment that has TRL")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and cells: that it works, not how fast")
    parser.add_argument("--write", action="store_true", help="put the tables into docs and README")
    parser.add_argument("--runs", default="runs", help="folder whose cached starting agent is used, or made")
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as work:
        bench = Bench(given.quick, given.peers_python, given.runs, Path(work))
        for name in given.only or names:
            measure: Callable[[], str] = getattr(bench, name)
            found = measure()
            print(f"\n{measure.__doc__}\n\n{found}", flush=True)
            if given.write:
                for page in (ROOT / "docs/PERFORMANCE.md", ROOT / "README.md"):
                    page.write_text(put(page.read_text(), MARKED, name, found))


if __name__ == "__main__":
    main()

"""Steps per second of many ALFWorld games: gtr's environments against plain ones, both one after another in a process.

    python benchmarks/household.py [--envs 32] [--steps 20] [--plain 4]

The plain environments are ALFWorld's own with its hand-coded expert's plans on, as its default settings have them;
`--plain` of them are enough, as they take turns. gtr's draw a picture and ask the expert for a thought every step.
"""

import argparse
import contextlib
import io
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gtr import tasks

MAKE = (sys.executable, "-m", "gtr.tasks.alfworld.generate")
CALM = ("help", "inventory", "look")


def main() -> None:
    """Prints both rates, by the clock and by the processor's own time, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--envs", type=int, default=32)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--plain", type=int, default=4)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        # Made elsewhere and measured first: gtr mends the engine of its process, and the plain ones must not profit.
        subprocess.run([*MAKE, folder, "--per-kind", str(-(-given.plain // 6))], check=True, stdout=subprocess.DEVNULL)
        plain = plain_rate(sorted(Path(folder).rglob("game.tw-pddl"))[: given.plain], given.steps)
    ours = gtr_rate(given.envs, given.steps)
    for name, (wall, processor) in (("plain", plain), ("gtr", ours)):
        print(f"{name:6} {wall:8.1f} steps/s by the clock {processor:8.1f} steps/s of processor time")
    print(f"ratio  {ours[0] / plain[0]:8.1f}                   {ours[1] / plain[1]:8.1f}")


def rate(steps: int, clock: float, processor: float) -> tuple[float, float]:
    """Steps per second since two clock readings."""
    return steps / (time.perf_counter() - clock), steps / (time.process_time() - processor)


def gtr_rate(envs: int, steps: int) -> tuple[float, float]:
    """gtr's environments side by side, with pictures and thoughts."""
    task = tasks.load(tasks.settings("alfworld", workers=False, limit=1000, repeats=1000))
    made, rng = [task.make_env() for _ in range(envs)], np.random.default_rng(0)
    infos = [env.reset(options={"game": n})[1] for n, env in enumerate(made)]
    clock, processor = time.perf_counter(), time.process_time()
    for _ in range(steps):
        for n, env in enumerate(made):
            task.expert(task.truth(infos[n]))
            infos[n] = env.step(_choice(infos[n]["commands"], rng))[-1]
    return rate(envs * steps, clock, processor)


def plain_rate(files: list[Path], steps: int) -> tuple[float, float]:
    """ALFWorld's environments as they are."""
    import textworld
    from alfworld.agents.environment.alfred_tw_env import AlfredDemangler, AlfredExpert

    infos = textworld.EnvInfos(won=True, admissible_commands=True, extras=["gamefile", "expert_plan"])
    rng = np.random.default_rng(0)
    with contextlib.redirect_stdout(io.StringIO()):
        made = [textworld.start(str(f), infos, wrappers=[AlfredDemangler(), AlfredExpert()]) for f in files]
        states = [env.reset() for env in made]
        clock, processor = time.perf_counter(), time.process_time()
        for _ in range(steps):
            for n, env in enumerate(made):
                states[n] = env.step(_choice(states[n]["admissible_commands"], rng))[0]
    return rate(len(files) * steps, clock, processor)


def _choice(commands: Sequence[str], rng: np.random.Generator) -> str:
    return str(rng.choice([command for command in commands if command not in CALM]))


if __name__ == "__main__":
    main()

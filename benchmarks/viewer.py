"""How quick is the viewer on a large run? Makes a run folder of many turns, opens it in a real browser, measures.

    python benchmarks/viewer.py [--turns 100000] [--keep FOLDER]

First paint and the first whole view are counted from the start of the navigation; a filter from the change of its
control until the list has been drawn again. Needs Chromium and guided-thought[dev,show].
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
from playwright.sync_api import Page, sync_playwright

from gtr import tasks
from gtr.config import ReportConfig
from gtr.config.presets import build
from gtr.report import RunFolder
from gtr.report.transcript import Trace
from gtr.tasks.reply import parse, write
from gtr.tasks.task import Task
from gtr.types import Ending, Judgement, Prompt, Reply, Truth, Turn, Verdict

ENVS, TURNS = 32, 12
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)
RUNS = 7
FILTER = """async ([name, value]) => {
  const select = [...document.querySelectorAll('.filters label')].find((one) => one.textContent.startsWith(name));
  const control = select.querySelector('select');
  const started = performance.now();
  control.value = value;
  control.dispatchEvent(new Event('change', { bubbles: true }));
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  return performance.now() - started;
}"""


def make_run(folder: Path, turns: int) -> Path:
    """A run of Points24 with about so many turns: real states, pictures and thoughts of the expert, some spoilt."""
    config = replace(build("gtr", "points24"), runs=str(folder), name="large", report=ReportConfig(trackers=()))
    updates = max(1, turns // (ENVS * TURNS))
    config = replace(config, train=replace(config.train, updates=updates, envs=ENVS, turns=TURNS))
    task = tasks.load(config.task)
    rng = np.random.default_rng(0)
    states = list(_states(task, rng, 400))
    episode = np.zeros(ENVS, dtype=int)
    with RunFolder.create(config) as run:
        for update in range(1, updates + 1):
            rows = [turn for env in range(ENVS) for turn in _row(env, episode, states, task, rng)]
            traces = [_trace(turn, rng) for turn in rows]
            run.write_turns(update, rows, rng.normal(size=len(rows)).tolist(), traces)
            run.write_metrics(update, {"episode/success": rng.random(), "thought/perception": rng.random()})
    return run.path


def _states(task: Task, rng: np.random.Generator, count: int) -> Iterator[tuple[Prompt, Truth]]:
    env = task.make_env()
    for _ in range(count):
        image, info = env.reset(**task.reset_arguments(rng))
        seen = task.observe(np.asarray(image), info)
        yield Prompt(seen.image, task.prompt(seen)), task.truth(info)


def _row(
    env: int, episode: np.ndarray, states: Sequence[tuple[Prompt, Truth]], task: Task, rng: np.random.Generator
) -> Iterator[Turn]:
    for t in range(TURNS):
        last = t % 6 == 5
        yield _turn(env, int(episode[env]), t % 6, last, states[int(rng.integers(len(states)))], task, rng)
        episode[env] += last


def _turn(
    env: int,
    episode: int,
    index: int,
    last: bool,
    state: tuple[Prompt, Truth],
    task: Task,
    rng: np.random.Generator,
) -> Turn:
    prompt, truth = state
    expert = task.expert(truth)
    assert expert is not None
    wrong = rng.random() < 0.4
    thought = {**expert.thought, "cards": [1, 2, 3, 4]} if wrong else expert.thought
    text = write(thought, expert.action)
    tokens = tuple(range(len(text) // 3 + 1))
    verdict = Verdict(Judgement.INCORRECT if wrong else Judgement.CORRECT, expert.thought if wrong else None)
    won = last and not wrong
    return Turn(
        *(env, episode, index, prompt, truth),
        Reply(text, tokens, tuple((-rng.random(len(tokens)) / 4).tolist()), True, float(rng.normal())),
        parse(text, True, task.thought_keys),
        legal=True,
        reward=10.0 if won else -1.0 * last,
        ending=Ending.TERMINATED if last else Ending.RUNNING,
        success=bool(won),
        verdict=verdict,
    )


def _trace(turn: Turn, rng: np.random.Generator) -> Trace:
    count = len(turn.reply.tokens)
    ends = [min(3 * (i + 1), len(turn.reply.text)) for i in range(count)]
    scored = [old + float(rng.normal() / 20) for old in turn.reply.logprobs]
    return Trace(ends, [0.5] * (count - 2) + [1.0] * 2, scored, 1.05)


@contextmanager
def served(*runs: Path) -> Iterator[str]:
    """The address of a viewer of runs."""
    command = [sys.executable, "-m", "gtr", "show", *map(str, runs), "--port", "0", "--no-browser"]
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    address = process.stdout.readline().split()[0]
    print(f"gtr show listens after       {time.monotonic() - started:6.2f} s")
    try:
        yield address
    finally:
        process.terminate()
        process.wait()


def measure(page: Page, address: str) -> dict[str, float]:
    """Milliseconds of one visit: first paint, the first view, all episodes read."""
    page.goto(address)
    page.wait_for_selector("body[data-state=read]", timeout=300_000)
    return dict(
        page.evaluate(
            """() => {
              const at = (name) => performance.getEntriesByName(name)[0].startTime;
              return { paint: at('first-contentful-paint'), view: at('gtr-first-view'), read: at('gtr-all-read') };
            }"""
        )
    )


def report(address: str) -> None:
    """Opens the page cold, then some times more, and filters."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=list(FLAGS))
        first = measure(browser.new_page(), address)
        print("first visit, run not read yet: " + _milliseconds(first))
        again = [measure(browser.new_page(), address) for _ in range(3)]
        print("later visits, median:          " + _milliseconds({key: median(o[key] for o in again) for key in first}))
        page = browser.new_page()
        measure(page, f"{address}#/episodes")
        changes = [("outcome", "won"), ("sort by", "surprise"), ("corrected", "yes"), ("order", "yes"), ("outcome", "")]
        for name, value in changes:
            times = [page.evaluate(FILTER, [name, value]) for _ in range(RUNS)]
            print(f"{name:>12} = {value or 'any':<9} {median(times):7.1f} ms, at most {max(times):.1f}")
        print(page.text_content(".count"))
        browser.close()


def _milliseconds(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.0f} ms" for name, value in values.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=100_000)
    parser.add_argument("--keep", type=Path, help="make the run here, or use the one that is here already")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        run = folder / "large"
        if not run.exists():
            started = time.monotonic()
            run = make_run(folder, options.turns)
            print(f"made a run of {options.turns:,} turns in {time.monotonic() - started:.0f} s")
        print(json.dumps({"megabytes": round(sum(f.stat().st_size for f in run.rglob("*.gz")) / 1e6, 1)}))
        with served(run) as address:
            report(address)


if __name__ == "__main__":
    main()

"""Run folders for the viewer's tests: written by the same code as real ones, with texts that no model should write."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from gtr.config import ReportConfig
from gtr.config.presets import build
from gtr.report import RunFolder
from gtr.report.transcript import Trace
from gtr.types import Ending, Judgement, Parsed, Prompt, Reply, ReplyStatus, Truth, Turn, Verdict

SCRIPT = "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'>"
ANSI = "\x1b[31mred\x1b[0m\x07"
BIDI = "left \u202e\u2066right\u2069 \u200b\ufeff\U000e0041"
HOSTILE = f"{SCRIPT} {ANSI} {BIDI} <a href='javascript:window.hacked=3'>x</a> \ud800"


def turn(text: str = "next 2", episode: int = 0, index: int = 0, env: int = 0, **changes: Any) -> Turn:
    """A turn of Points24 on the hand 2 4 4 10, its thought right unless `changes` say otherwise."""
    fields = {
        "cards": [2, 4, 4, 10],
        "formula": "2*(10-4)*... " if text == HOSTILE else "(2+4)*(10-4*1)=",
        "thoughts": text,
    }
    reply = f'{{"cards": [2, 4, 4, 10], "thoughts": "{text}", "action": "2"}}'
    image = np.zeros((48, 64, 3), np.uint8)
    image[:, : 8 * (1 + episode % 7)] = (40, 120, 90)
    made = Turn(
        env=env,
        episode=episode,
        index=index,
        prompt=Prompt(image, f"formula: {text}"),
        truth=Truth({"Cards": ["H2", "S4", "C4", "DJ"], "Numbers": [2, 4, 4, 10], "Formula": [], "note": text}),
        reply=Reply(reply, (5, 6, 7), (-0.5, -0.25, -2.0), True, value=0.125),
        parsed=Parsed(ReplyStatus.COMPLETE, {**fields, "action": "2"}, "2", (12, 13)),
        legal=True,
        reward=-1.0,
        ending=Ending.RUNNING,
        implied="2",
    )
    return replace(made, **changes)


def trace(one: Turn, lesson: bool = False) -> Trace:
    """Three tokens: the ends lie anywhere, as a tokeniser's do."""
    taught = {"text": "24", "ends": [1, 2, 2], "weights": [1.0, 0.0, 0.0]} if lesson else None
    size = len(one.reply.text)
    return Trace([size // 3, size - 2, size], [0.5, 1.0, 0.0], [-0.4, -0.5, -2.0], 0.8, taught)


def episode_of(text: str, number: int, won: bool, corrected: bool, env: int = 0) -> list[Turn]:
    """Two turns; the first one corrected, or judged right."""
    verdict = Verdict(Judgement.INCORRECT, {"cards": [2, 4, 4, 10], "thoughts": f"next 4 {text}"}, "4", {"plan": False})
    first = turn(text, number, 0, env, verdict=verdict if corrected else Verdict(Judgement.CORRECT))
    last = turn(text, number, 1, env, ending=Ending.TERMINATED, reward=10.0 if won else -1.0, success=won)
    return [first, last]


def write_run(
    folder: Path, name: str = "gtr-seed1", method: str = "gtr", text: str = "next 2", updates: int = 3
) -> Path:
    """A finished run of a few updates of six episodes, with evaluations before and after, a probe and an alarm."""
    config = replace(build(method, "points24"), runs=str(folder), name=name, report=ReportConfig(trackers=()))
    config = replace(config, train=replace(config.train, updates=updates, envs=2, turns=6))
    guided = config.guidance.corrector != "none"
    with RunFolder.create(config) as run:
        run.write_evaluation(0, evaluation(0, 0.95, 0.9), panel(text, won=False))
        for update in range(1, updates + 1):
            write_update(run, update, text, guided)
        run.write_evaluation(
            updates, evaluation(4 if guided else 1, 1.0 if guided else 0.3, 0.9 if guided else 0.1), panel(text, guided)
        )
    return run.path


def write_update(run: RunFolder, update: int, text: str, guided: bool) -> None:
    """Six episodes: every second one won, those of environment 0 corrected."""
    turns = [
        one
        for env in (0, 1)
        for number in range(3)
        for one in episode_of(text, 3 * (update - 1) + number, (number + env) % 2 == 0, guided and env == 0, env)
    ]
    traces = [trace(one, one.verdict is not None and one.verdict.judgement is Judgement.INCORRECT) for one in turns]
    run.write_turns(update, turns, [0.5] * len(turns), traces)
    seeing = 0.95 if guided else 0.9 / update
    run.write_metrics(
        update,
        {
            "episode/success": 0.5,
            "thought/perception": seeing,
            "thought/start_plan": seeing,
            "loss/policy": 0.1 / update,
            "count/tokens": 36.0,
            "seconds/generate": 1.5,
            "seconds/learn": 0.5,
            "alarm/ringing": float(not guided and update > 2),
            f"action/is/{text[:32]}": 1.0,
        },
    )
    places = [[one.env, one.episode, one.index] for one in turns[:3]]
    scores = [[-0.1, -2.0, -3.0], [-2.0, -0.2, -2.5], [-0.9, -1.0, -1.1]]
    run.write_probe(update, {"turns": places, "states": ["a", "b", "c"], "scores": scores})


def evaluation(wins: int, seeing: float, planning: float) -> dict[str, Any]:
    """What an evaluation of four episodes writes down."""
    health = {"episode/success": wins / 4, "thought/perception": seeing, "thought/start_plan": planning}
    return {
        "panel": "points24-same-4-abc",
        "success": wins / 4,
        "successes": wins,
        "episodes": 4,
        "interval": [0, 1],
        "health": health,
    }


def panel(text: str, won: bool) -> list[Turn]:
    return [one for number in range(4) for one in episode_of(text, number, won, False)]


@contextmanager
def served(*words: str | Path) -> Iterator[str]:
    """The address of a `gtr show` in a process of its own."""
    command = [sys.executable, "-m", "gtr", "show", *map(str, words), "--port", "0", "--no-browser"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert process.stdout is not None
    try:
        yield process.stdout.readline().split()[0]
    finally:
        process.terminate()
        assert process.wait(20) is not None


def gtr(*words: str | Path) -> Sequence[str]:
    """A command line of gtr in a process of its own."""
    return [sys.executable, "-m", "gtr", *map(str, words)]

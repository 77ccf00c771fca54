"""What test files share beside fixtures: settings with a few replaced, pictures of noise, a critic with opinions."""

import json
import subprocess
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gtr.algo.policy_gradient import token_weights
from gtr.config import Config, io
from gtr.policy.policy import Policy
from gtr.tasks.reply import parse
from gtr.types import Ending, Prompt, Reply, Rollout, Trajectory, Truth, Turn

IMAGE_SIZE = 96


def changed(config: Config, **settings: Any) -> Config:
    """A config with dotted settings replaced: ``changed(config, **{"train.lr": 1e-3})``."""
    return io.changed(config, settings)


def draw_pictures() -> list[np.ndarray]:
    """Eight pictures of noise, always the same."""
    rng = np.random.default_rng(3)
    return [rng.integers(0, 256, (IMAGE_SIZE, IMAGE_SIZE, 3), dtype=np.uint8) for _ in range(8)]


def opinionated_head(policy: Policy) -> Policy:
    """Gives a new critic, which would say 0 to everything, random weights."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in policy.network.value_head.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return policy


def cut(rows: Sequence[Sequence[Turn]]) -> Rollout:
    """A rollout of turns by environment, cut where episodes end."""
    found: list[list[Turn]] = []
    for row in rows:
        opened = True
        for turn in row:
            if opened:
                found.append([])
            found[-1].append(turn)
            opened = turn.ending is not Ending.RUNNING
    return Rollout([Trajectory(turns, number) for number, turns in enumerate(found)])


def rows_of(rollout: Rollout) -> list[list[Turn]]:
    """The turns of a rollout, one row per environment."""
    rows: dict[int, list[Turn]] = {}
    for turn in rollout.flat():
        rows.setdefault(turn.env, []).append(turn)
    return list(rows.values())


def plain_turn(
    reward: float, value: float, ending: str = "running", bootstrap: float = 0.0, complete: bool = False
) -> Turn:
    prompt = Prompt(np.zeros((2, 2, 3), np.uint8), "")
    reply, parsed = Reply("", (1,), (-1.0,), True, value), parse('{"action": "x"}' if complete else "", True, ())
    return Turn(
        0, 0, 0, prompt, Truth({}), reply, parsed, True, reward, Ending(ending), bootstrap=bootstrap
    )  # fmt: skip


def counted(policy: Policy, turn: Turn, weight: float, config: Config) -> str:
    """The characters whose tokens have a weight."""
    spans = policy.offsets(turn.reply.tokens)
    weights = token_weights(turn, policy, config.algo)
    assert len(weights) == len(turn.reply.tokens)
    return "".join(turn.reply.text[a:b] for (a, b), w in zip(spans, weights, strict=True) if w == weight)


def spoken(policy: Policy, text: str, ended: bool = True, keys: tuple[str, ...] = ("thoughts",)) -> Turn:
    tokens = policy.encode_reply(text)[: None if ended else -1]
    turn = plain_turn(0.0, 0.0)
    reply = Reply(policy.decode(tokens), tokens, (-0.5,) * len(tokens), ended, 0.0)
    return replace(turn, reply=reply, parsed=parse(reply.text, ended, keys))


def curve(run: Path) -> list[dict[str, Any]]:
    """Every update's metrics as written, without those that measure time."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if not name.startswith("seconds/")} for line in lines]


def wait_for_update(run: Path, process: "subprocess.Popen[Any]", lines: int) -> None:
    """Returns once a run has written more updates than `lines`, has ended, or is late."""
    deadline, file = time.monotonic() + 200, run / "metrics.jsonl"
    while time.monotonic() < deadline and process.poll() is None:
        if file.exists() and len(file.read_text().splitlines()) > lines:
            return
        time.sleep(0.02)


def shaken(policy: Policy) -> Policy:
    """The policy with noise added to all of its model's weights that learn."""
    with torch.no_grad():
        for parameter in policy.network.model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05 * torch.randn(parameter.shape))
    return policy

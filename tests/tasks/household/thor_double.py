"""Stands in for ALFWorld's ``AlfredThorEnv``, whose simulator cannot be had everywhere: it honours the same contract.

Behind it plays ALFWorld's text engine. It speaks as AI2-THOR's controller does: spots have numbers, things are put
"in/on" something, and what is listed with "move" is only understood with "put".
"""

import random
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np

from gtr.tasks.alfworld import render
from gtr.tasks.alfworld.engine import Engine
from gtr.tasks.alfworld.games import read_game
from gtr.tasks.alfworld.memory import Memory, after, look
from gtr.tasks.alfworld.thor import Thor
from gtr.tasks.alfworld.world import conditions


class AlfredThorDouble:
    """One batch of one."""

    def __init__(self, config: dict[str, Any]) -> None:
        assert config["env"]["thor"]["screen_width"] == config["env"]["thor"]["screen_height"] == 300
        self.json_file_list = [str(p) for p in Path(config["dataset"]["eval_ood_data_path"]).rglob("traj_data.json")]
        self.engine, self.closed = Engine(), False

    def init_env(self, batch_size: int) -> "AlfredThorDouble":
        assert batch_size == 1
        return self

    def reset(self) -> tuple[list[str], dict[str, list[Any]]]:
        (self.task,) = random.sample(self.json_file_list, k=1)
        self.room, self.now = self.engine.load(read_game(Path(self.task).with_name("game.tw-pddl")))
        self.memory = look(Memory(), self.room, self.now.state)
        return [self.now.feedback], self._infos()

    def step(self, actions: list[str]) -> tuple[list[str], None, list[bool], dict[str, list[Any]]]:
        (said,) = actions
        if said.startswith("move "):
            return ["Nothing happens."], None, [False], self._infos()
        put = re.fullmatch(r"put (.+) in/on (.+)", said)
        command = f"move {put[1]} to {put[2]}" if put else said
        self.now = self.engine.act(command)
        self.memory = after(self.memory, self.room, self.now.state, command)
        text = re.sub(r"You arrive at [a-z]+ \d+\.", "You arrive at loc 17.", self.now.feedback)
        text = re.sub(r"You move the (.+) to the (.+)\.", r"You put the \1 in/on the \2.", text)
        return [text], None, [self.now.won], self._infos()

    def _infos(self) -> dict[str, list[Any]]:
        met, of = conditions(self.room, self.now.state)
        return {
            "admissible_commands": [list(self.now.commands)[::-1]],
            "won": [self.now.won],
            "goal_condition_success_rate": [met / of],
            "extra.gamefile": [str(Path(self.task).parent)],
            "expert_plan": [[]],
        }

    def get_frames(self) -> np.ndarray:
        """(1, 300, 300, 3) uint8 BGR."""
        return self.rgb()[None, :, :, ::-1]

    def rgb(self) -> np.ndarray:
        """What the frame must be for an eye."""
        return render.draw(self.room, self.now.state, self.memory.facing, 300)

    def close(self) -> None:
        self.closed = True


def play() -> Thor:
    """Plays with the stand-in."""
    return Thor(AlfredThorDouble)


class Hanging(AlfredThorDouble):
    """Starts a process of its own, as the simulator is one, and never answers a step."""

    def init_env(self, batch_size: int) -> "Hanging":
        self.simulator = subprocess.Popen(["sleep", "600"])
        return self

    def _infos(self) -> dict[str, list[Any]]:
        return super()._infos() | {"admissible_commands": [[f"go to simulator {self.simulator.pid}"]]}

    def step(self, actions: list[str]) -> tuple[list[str], None, list[bool], dict[str, list[Any]]]:
        time.sleep(600)
        raise AssertionError


def hang() -> Thor:
    """Plays until the first command."""
    return Thor(Hanging)

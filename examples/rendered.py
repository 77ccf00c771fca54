"""Another package's environments as a task: any gymnasium environment that draws itself and has discrete actions.

The first half is the adapter, the second what only the game can say: here a room of MiniGrid (`pip install minigrid`).

    gtr train gtr --task examples/rendered.py:RoomTask
"""

import gymnasium
import minigrid  # noqa: F401  (its environments enter gymnasium's list)
import numpy as np
from PIL import Image as Pictures

from gtr.tasks.reply import announced
from gtr.tasks.task import Task
from gtr.types import Expert, Observation


class Rendered(gymnasium.Wrapper):
    """What the environment draws, as its observation; `told` adds to `info` what an expert must know."""

    def __init__(self, env_id, size, told):
        super().__init__(gymnasium.make(env_id, render_mode="rgb_array"))
        self.size, self.told = size, told
        self.observation_space = gymnasium.spaces.Box(0, 255, (size, size, 3), np.uint8)

    def reset(self, *, seed=None, options=None):
        self.env.reset(seed=seed, options=options)
        return self._picture(), {**self.told(self.unwrapped), "success": False}

    def step(self, action):
        _, reward, ended, cut, _ = self.env.step(action)
        info = self.told(self.unwrapped) | {"success": ended and reward > 0}
        return self._picture(), float(reward), ended, cut, info

    def _picture(self):
        return np.array(Pictures.fromarray(self.env.render()).resize((self.size, self.size)))


class RenderedTask(Task):
    """A subclass names `env_id`, its rules as `told_rules`, and `moves`, a word for each of its actions."""

    def make_env(self):
        return Rendered(self.env_id, self.config.image_size, self.told)

    def observe(self, image, info):
        return Observation(image)

    def prompt(self, observation):
        asked = dict.fromkeys(self.reading_keys, "what you see") | {"thoughts": '"why; end with: next <action>"'}
        return "move:" if self.config.prompt == "compact" else f"{self.told_rules}\n" + self.ask(asked, '"an action"')

    def actions(self, observation):
        return self.moves

    def to_env(self, action, observation):
        return self.moves.index(action) if action in self.moves else None

    def implied_action(self, parsed, observation):
        return announced(parsed.fields.get("thoughts"), self.moves)


FACES = {"right": (1, 0), "down": (0, 1), "left": (-1, 0), "up": (0, -1)}


class RoomTask(RenderedTask):
    """An empty room with a goal, and an agent that turns and goes forward."""

    name, max_turns, env_id = "room", 12, "MiniGrid-Empty-Random-5x5-v0"
    moves = ("left", "right", "forward")
    told_rules = "Go to the green goal: turn left, turn right, or go forward."
    thought_keys, reading_keys = ("at", "facing", "thoughts"), ("at", "facing")

    def told(self, env):
        return {"at": [int(n) for n in env.agent_pos], "facing": int(env.agent_dir), "goal": [env.width - 2] * 2}

    def good(self, truth):
        """Forward where that leads closer, else the turns towards where it would."""
        (x, y), (to_x, to_y), facing = truth.state["at"], truth.state["goal"], truth.state["facing"]
        closer = [across * (to_x - x) + down * (to_y - y) > 0 for across, down in FACES.values()]
        if closer[facing] or not any(closer):
            return ["forward"] if closer[facing] else []
        return [turn for turn, by in (("left", -1), ("right", 1)) if closer[(facing + by) % 4]] or ["left", "right"]

    def seen(self, truth):
        return {"at": truth.state["at"], "facing": list(FACES)[truth.state["facing"]]}

    def expert(self, truth, target=None):
        if not (good := self.good(truth)):
            return None
        thought = {**self.seen(truth), "thoughts": f"next {good[0]}"}
        return Expert({key: thought[key] for key in self.thought_keys}, good[0])

    def check(self, truth, parsed, target):
        seen = {key: parsed.fields.get(key) for key in self.reading_keys}
        step = self.implied_action(parsed, None) in self.good(truth)
        return {"perception": seen == self.seen(truth), "step": step} if self.thought_keys else {}

    def visual_labels(self, truth):
        return (*truth.state["at"], truth.state["facing"])

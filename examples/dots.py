"""A task of your own: count the dots. Train it by its path: ``gtr train gtr --task examples/dots.py:DotsTask``.

The first half is a plain gymnasium environment, the second half its words. Only `make_env`, `observe`, `prompt`,
`actions` and `to_env` are needed to train by reinforcement alone; `expert`, `check` and the rest let the oracle guide.
"""

import gymnasium
import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw

from gtr.tasks.reply import announced
from gtr.tasks.task import Task
from gtr.types import Expert, Observation

ANSWERS = ("1", "2", "3", "4")


class DotsEnv(gymnasium.Env):
    """One to four dots in random places; name their number in one move. Rewards: +1 right, -1 wrong."""

    def __init__(self, size=300):
        self.size = size
        self.observation_space = gymnasium.spaces.Box(0, 255, (size, size, 3), np.uint8)
        self.action_space = gymnasium.spaces.Discrete(len(ANSWERS))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.dots = int((options or {}).get("dots", self.np_random.integers(1, len(ANSWERS) + 1)))
        cells = self.np_random.permutation(9)[: self.dots]
        canvas = Pillow.new("RGB", (self.size, self.size), "white")
        draw, cell = ImageDraw.Draw(canvas), self.size / 3
        for column, row in (divmod(int(index), 3) for index in cells):
            x, y = column * cell + cell * 0.2, row * cell + cell * 0.2
            draw.ellipse((x, y, x + cell * 0.6, y + cell * 0.6), fill="navy")
        self.image = np.array(canvas)
        return self.image.copy(), {"Dots": self.dots}

    def step(self, action):
        right = int(action) + 1 == self.dots
        return self.image.copy(), 1.0 if right else -1.0, True, False, {"Dots": self.dots, "success": right}


class DotsTask(Task):
    name = "dots"
    thought_keys = ("dots", "thoughts")
    reading_keys = ("dots",)
    max_turns = 1

    def make_env(self):
        return DotsEnv(self.config.image_size)

    def observe(self, image, info):
        return Observation(image)

    def prompt(self, observation):
        return 'How many dots? Answer {"dots": number, "thoughts": "next <number>", "action": "<number>"}'

    def actions(self, observation):
        return ANSWERS

    def to_env(self, action, observation):
        return ANSWERS.index(action) if action in ANSWERS else None

    def expert(self, truth, target=None):
        dots = truth.state["Dots"]
        thought = {"dots": dots, "thoughts": f"next {dots}"}
        return Expert({key: thought[key] for key in self.thought_keys}, str(dots))

    def check(self, truth, parsed, target):
        dots, step = truth.state["Dots"], announced(parsed.fields.get("thoughts"), ANSWERS)
        return {"perception": parsed.fields.get("dots") == dots, "step": step == str(dots)}

    def implied_action(self, parsed, observation):
        return announced(parsed.fields.get("thoughts"), ANSWERS)

    def visual_labels(self, truth):
        return (truth.state["Dots"],)

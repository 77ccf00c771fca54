"""Cases and players for tests of correctors: scripted thoughts, right and wrong, without a model."""

from dataclasses import replace

import numpy as np

from gtr import tasks
from gtr.config import Config, CorrectorConfig, GuidanceConfig, TrainConfig
from gtr.guidance.corrector import Case
from gtr.tasks.reply import parse, write
from gtr.types import Prompt, Reply


def settings(url, task="points24", envs=4, turns=4, **corrector):
    chosen = {"base_url": url, "timeout": 5.0, "retries": 2, "probe_seconds": 0.2, "patience": 2.0, **corrector}
    return Config(
        task=tasks.settings(task, prompt="compact", image_size=64),
        guidance=GuidanceConfig(corrector="chat", stop_early=False),
        corrector=CorrectorConfig(**chosen),
        train=TrainConfig(envs=envs, turns=turns, minibatch=1),
    )


def case_of(task, text, seed=0, env=0, episode=0, index=0, steps=()):
    """The state after some actions, and a reply in it."""
    world = task.make_env()
    image, info = world.reset(seed=seed)
    for action in steps:
        image, _, _, _, info = world.step(action)
    observation, truth = task.observe(np.asarray(image), info), task.truth(info)
    text = text(task, truth) if callable(text) else text
    prompt = Prompt(observation.image, task.prompt(observation))
    return Case(env, episode, index, prompt, observation, truth, text, parse(text, True, task.thought_keys))


def right(task, truth):
    expert = task.expert(truth)
    return write(expert.thought, expert.action)


def misread(task, truth):
    """The expert's thought with every number of the reading off by one; where all is lost, no sense at all."""
    expert = task.expert(truth)
    if expert is None:
        return write(dict.fromkeys(task.thought_keys, "lost"), "1")
    off = {key: bumped(value) for key, value in expert.thought.items() if key in task.reading_keys}
    return write({**expert.thought, **off}, expert.action)


def bumped(value):
    return [bumped(one) for one in value] if isinstance(value, list) else value % 5 + 1


class ScriptedPolicy:
    """Plays the expert's replies, a share with wrong thoughts; knows the truth because the test hands it over."""

    def __init__(self, task, wrong=0.5, seed=0):
        self.task, self.wrong, self.rng = task, wrong, np.random.default_rng(seed)
        self.truths, self.kept = {}, []

    def see(self, prompt, truth):
        self.truths[id(prompt)] = truth
        self.kept.append(prompt)  # Ids are only unique among living objects.

    def generate(self, prompts, greedy=False):
        return [self.reply(prompt) for prompt in prompts]

    def reply(self, prompt):
        truth = self.truths[id(prompt)]
        lost = self.task.expert(truth) is None
        text = (misread if lost or self.rng.random() < self.wrong else right)(self.task, truth)
        return Reply(text, (1, 2), (-0.1, -0.1), True)

    def values(self, prompts):
        return [0.0] * len(prompts)


def collector_of(config, server, corrector, policy, monkeypatch):
    """A collector whose states are shown to the scripted player and, picture and truth, to the server."""
    from gtr.envs import VecEnv
    from gtr.rollout import Collector

    see = VecEnv._see

    def seen(self, state, image, info):
        see(self, state, image, info)
        policy.see(state.prompt, state.truth)
        server.show(state.prompt.image, state.truth)

    monkeypatch.setattr(VecEnv, "_see", seen)
    return Collector(policy.task, policy, corrector, config)


def load(config):
    return tasks.load(config.task)


__all__ = ["case_of", "collector_of", "load", "misread", "replace", "right", "settings"]

"""The skeleton of a task, each time broken in one way."""

from dataclasses import replace

import gymnasium
import numpy as np

from gtr.tasks.skeleton import SkeletonEnv, SkeletonTask, _seen
from gtr.tasks.task import CorrectorSpec
from gtr.types import Expert, Observation


class Changed(gymnasium.Wrapper):
    """Hands on what `look` makes of pictures, and `pay` of a step."""

    def look(self, image):
        return image

    def pay(self, step):
        return step

    def reset(self, **start):
        image, info = self.env.reset(**start)
        return self.look(image), info

    def step(self, action):
        image, *rest = self.env.step(action)
        return self.pay((self.look(image), *rest))


def wrapped(**methods):
    """A task whose environment has these methods."""
    env = type("Env", (Changed,), {key: staticmethod(value) for key, value in methods.items()})
    return type("Broken", (SkeletonTask,), {"make_env": lambda self: env(SkeletonEnv(self.config.image_size))})


Grey = wrapped(look=lambda image: image[..., 0])
OneChannel = wrapped(look=lambda image: image[..., :1])
FourChannels = wrapped(look=lambda image: np.concatenate([image, image[..., :1]], axis=2))
ChannelsFirst = wrapped(look=lambda image: image.transpose(2, 0, 1))
Floats = wrapped(look=lambda image: (image / 255).astype(np.float32))
Numbers = wrapped(look=lambda image: image[0, :4, 0])
Words = wrapped(look=lambda image: {"picture": image})
Blank = wrapped(look=lambda image: np.zeros_like(image))
OldStep = wrapped(pay=lambda step: (step[0], step[1], step[2], step[4]))
Infinite = wrapped(pay=lambda step: (step[0], float("nan"), *step[2:]))
Ended = wrapped(pay=lambda step: (*step[:2], "no", *step[3:]))
Punished = wrapped(
    pay=lambda step: (step[0], -10.0 if step[2] else 0.0, step[2], not step[2] and step[4]["ball"][0] == 2, step[4])
)
NoSuccess = wrapped(pay=lambda step: (*step[:4], {key: value for key, value in step[4].items() if key != "success"}))
Unseeded = wrapped(look=lambda image: np.random.default_rng().integers(0, 255, image.shape, dtype=np.uint8))


class Crash(SkeletonTask):
    def prompt(self, observation):
        return observation.words["missing"]


class CrashingEnv(SkeletonTask):
    def make_env(self):
        raise RuntimeError("no display")


class NoEnv(SkeletonTask):
    def make_env(self):
        return "an environment"


class OneBuffer(SkeletonTask):
    def make_env(self):
        return BufferEnv(self.config.image_size)


class BufferEnv(SkeletonEnv):
    def _picture(self):
        if not hasattr(self, "buffer"):
            self.buffer = np.zeros((self.size, self.size, 3), np.uint8)
        self.buffer[:] = super()._picture()
        return self.buffer


class OneInfo(SkeletonTask):
    def make_env(self):
        return InfoEnv(self.config.image_size)


class InfoEnv(SkeletonEnv):
    def _info(self):
        if not hasattr(self, "shared"):
            self.shared = {"cells": []}
        self.shared["cells"][:] = [*self.ball, *self.goal]
        return {**super()._info(), **self.shared}


class StartsOfItsOwn(SkeletonTask):
    def reset_arguments(self, rng):
        return {"seed": int(np.random.default_rng().integers(1000))}


class NoSame(SkeletonTask):
    splits = ("other",)

    def for_split(self, split):
        return self.config


class MissingSplit(SkeletonTask):
    splits = ("same", "harder")


class NoMethod(SkeletonTask):
    rules = "go to the goal"


class BadName(SkeletonTask):
    name = "My Task!"


class TwiceTheKey(SkeletonTask):
    thought_keys = ("ball", "ball")


class ReadingLast(SkeletonTask):
    reading_keys = ("goal",)


class NoPrompt(SkeletonTask):
    def prompt(self, observation):
        return " "


class RandomPrompt(SkeletonTask):
    def prompt(self, observation):
        return f"{np.random.default_rng().random()}"


class NoKeys(SkeletonTask):
    def prompt(self, observation):
        return "Bring the ball to the goal; answer with a move."


class WrongOrder(SkeletonTask):
    def prompt(self, observation):
        return 'Answer {"action": move, "ball": cell, "goal": cell, "thoughts": "why"}'


class Numbered(SkeletonTask):
    def actions(self, observation):
        return (0, 1, 2, 3)

    def to_env(self, action, observation):
        return action if isinstance(action, int) else super().to_env(action, observation)


class Blanks(SkeletonTask):
    def actions(self, observation):
        return (" left", "right")

    def to_env(self, action, observation):
        return 0


class Twice(SkeletonTask):
    def actions(self, observation):
        return ("left", "left")


class Refused(SkeletonTask):
    def to_env(self, action, observation):
        return None if action == "up" else super().to_env(action, observation)


class Takes(SkeletonTask):
    def to_env(self, action, observation):
        found = super().to_env(action, observation)
        return 0 if found is None else found


class Outside(SkeletonTask):
    def to_env(self, action, observation):
        found = super().to_env(action, observation)
        return None if found is None else float(found)


class NoActions(SkeletonTask):
    def actions(self, observation):
        return ()


class AlwaysSuccess(SkeletonTask):
    max_turns = 200

    def success(self, reward, info):
        return True


class MaybeSuccess(SkeletonTask):
    def success(self, reward, info):
        return "perhaps"


class Progress(SkeletonTask):
    def progress(self, info):
        return 0.5


class NoMove(SkeletonTask):
    def expert(self, truth, target=None):
        return None


class Loser(SkeletonTask):
    def expert(self, truth, target=None):
        return Expert(dict.fromkeys(self.thought_keys, 1), "left") if super().expert(truth) else None

    def make_env(self):
        return EndingEnv(self.config.image_size)


class EndingEnv(SkeletonEnv):
    def step(self, action):
        image, reward, won, _, info = super().step(action)
        return image, reward, won, not won and self.ball[0] == 0, info


class GivesUp(SkeletonTask):
    def expert(self, truth, target=None):
        return None if target else replace(super().expert(truth, target), target="once")


class TooSlow(SkeletonTask):
    def expert(self, truth, target=None):
        move = "left" if truth.state["ball"][0] else "right"
        return Expert({**_seen(truth), "thoughts": f"next {move}"}, move) if self.thought_keys else Expert({}, move)

    def reset_arguments(self, rng):
        while True:
            start = super().reset_arguments(rng)
            _, info = SkeletonEnv(48).reset(**start)
            if info["ball"][1] != info["goal"][1]:
                return start


class NoExpertType(SkeletonTask):
    def expert(self, truth, target=None):
        return {"thoughts": "next left"}, "left"


class OtherKeys(SkeletonTask):
    def expert(self, truth, target=None):
        found = super().expert(truth, target)
        return found and Expert({"thoughts": "x", **found.thought}, found.action)


class NotWithoutThought(SkeletonTask):
    def expert(self, truth, target=None):
        keys, self.thought_keys = self.thought_keys, ("ball", "goal", "thoughts")
        found = super().expert(truth, target)
        self.thought_keys = keys
        return found


class NumpyThought(SkeletonTask):
    def expert(self, truth, target=None):
        found = super().expert(truth, target)
        return found and replace(found, thought={key: np.int64(1) for key in found.thought})


class NoCheck(SkeletonTask):
    def check(self, truth, parsed, target):
        return {}


class CheckOfWords(SkeletonTask):
    def check(self, truth, parsed, target):
        return {"step": "yes"}


class UnknownCheck(SkeletonTask):
    def check(self, truth, parsed, target):
        return {"vision": super().check(truth, parsed, target)["perception"]}


class AskedToo(UnknownCheck):
    """Not broken: correctors are asked the same."""

    def corrector_spec(self):
        return CorrectorSpec(questions={"vision": "Are both cells right?"})


class Strict(SkeletonTask):
    def check(self, truth, parsed, target):
        return {"perception": False}


class Credulous(SkeletonTask):
    def check(self, truth, parsed, target):
        return {"perception": True}


class Trusting(SkeletonTask):
    def check(self, truth, parsed, target):
        return {"perception": bool(parsed.fields.get("thoughts"))}


class Fragile(SkeletonTask):
    def implied_action(self, parsed, observation):
        return super().implied_action(parsed, observation) if parsed.fields["thoughts"].lower() else None


class Misread(SkeletonTask):
    def implied_action(self, parsed, observation):
        return "up"


class Growing(SkeletonTask):
    def visual_labels(self, truth):
        return (1,) * (1 + truth.state["ball"][0])


class Sometimes(SkeletonTask):
    def visual_labels(self, truth):
        return None if truth.state["ball"][0] == 0 else (1,)


class Fractions(SkeletonTask):
    def visual_labels(self, truth):
        return (0.5,)


class Talker(SkeletonTask):
    def expert(self, truth, target=None):
        found = super().expert(truth, target)
        letters = np.random.default_rng([*truth.state["ball"], *truth.state["goal"]]).integers(97, 123, 200)
        said = "".join(map(chr, letters))
        return found and replace(found, thought={k: said if k == "thoughts" else v for k, v in found.thought.items()})

    def implied_action(self, parsed, observation):
        return None

    def stated_plan(self, truth, parsed):
        said = parsed.fields.get("thoughts")
        return "left" if isinstance(said, str) and said else None


class Fine(SkeletonTask):
    def observe(self, image, info):
        return Observation(image)


class NoExpert(SkeletonTask):
    """Not broken: trained by reinforcement alone."""

    expert = SkeletonTask.__mro__[1].expert
    check = SkeletonTask.__mro__[1].check

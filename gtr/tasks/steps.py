"""An environment's `reset` and `step`, held to gymnasium's contract: whoever breaks it is told what would be right."""

from collections.abc import Mapping
from math import isfinite
from numbers import Real
from typing import Any

import gymnasium
import numpy as np

from gtr.contract import blamed
from gtr.errors import ContractError, GtrError, TaskError

Env = gymnasium.Env[Any, Any]
RGB = "give an RGB picture: an array (height, width, 3) of uint8, 0 to 255"


class Broke(ContractError, TaskError):
    """The environment raised; it may go on from another start."""


def reset(env: Env, start: Mapping[str, Any]) -> tuple[Any, Mapping[str, Any]]:
    """The first picture and what else the environment says; ContractError where it raises or says another thing."""
    try:
        found = env.reset(**start)
    except GtrError:
        raise
    except Exception as error:
        text = f"the environment cannot begin an episode: reset raised {type(error).__name__}: {error}"
        raise blamed(text, f"run it by itself, task.make_env().reset(**{dict(start)!r})", error, Broke) from error
    if not (isinstance(found, tuple) and len(found) == 2 and isinstance(found[1], Mapping)):
        raise ContractError(f"reset returns {kind(found)}", "return (picture, info), info a dict, as gymnasium has it")
    return found


def step(env: Env, action: Any) -> tuple[Any, float, bool, bool, Mapping[str, Any]]:
    """What `gymnasium.Env.step` gives; Broke where it raises, ContractError where it says another thing."""
    try:
        found: tuple[Any, ...] = env.step(action)
    except GtrError:
        raise
    except Exception as error:
        text = f"the environment's step({action!r}) raised {type(error).__name__}: {error}"
        raise blamed(text, "run it by itself, task.make_env().reset(seed=0) and step()", error, Broke) from error
    if not (isinstance(found, tuple) and len(found) == 5 and isinstance(found[4], Mapping)):
        raise ContractError(f"step returns {kind(found)}", "return (picture, reward, terminated, truncated, info)")
    image, reward, terminated, truncated, info = found
    if not isinstance(reward, Real | np.generic) or not isfinite(float(reward)):
        raise ContractError(f"step gives the reward {reward!r}", "give a finite number")
    for name, value in (("terminated", terminated), ("truncated", truncated)):
        if not isinstance(value, bool | np.bool_):
            raise ContractError(f"step gives {name} = {value!r}", "give True or False")
    return image, float(reward), bool(terminated), bool(truncated), info


def kind(value: object) -> str:
    """A value's type, with its length where it has one."""
    size = f" of {len(value)}" if isinstance(value, tuple | list | dict) else ""
    return f"a {type(value).__name__}{size}"


def shapeless(image: Any) -> tuple[str, str] | None:
    """What is wrong with the shape of a picture, and what would be right."""
    if not isinstance(image, np.ndarray):
        return f"is a {type(image).__name__}", RGB
    if image.ndim == 1:
        return f"has the shape {image.shape}: numbers, no picture", (
            f"{RGB}; gymnasium.wrappers.AddRenderObservation makes one of what an environment renders"
        )
    if image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 1):
        return f"has one channel, shape {image.shape}", f"{RGB}, such as np.stack([grey] * 3, axis=-1)"
    if image.ndim == 3 and image.shape[2] == 4:
        return f"has four channels, shape {image.shape}", f"{RGB}: leave out the last channel, image[..., :3]"
    if image.ndim == 3 and image.shape[0] == 3 and image.shape[2] != 3:
        return f"has its channels first, shape {image.shape}", f"{RGB}, such as image.transpose(1, 2, 0)"
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        return f"has the shape {image.shape}", RGB
    return None


def picture(image: Any) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """An environment's observation as a picture; ContractError where it is none."""
    try:
        found = np.asarray(image, dtype=np.uint8)
    except (TypeError, ValueError):
        found = image
    if problem := shapeless(found):
        raise ContractError(f"the environment's observation {problem[0]}", problem[1])
    return found

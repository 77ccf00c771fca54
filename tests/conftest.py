"""What several test files share: tiny models built once a session, and small settings to train them with."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("ACCELERATE_USE_CPU", "true")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import settings as property_settings
from small import IMAGE_SIZE, changed, draw_pictures, opinionated_head

from gtr import sft, tasks
from gtr.config import Config, presets
from gtr.policy import tiny
from gtr.policy.loading import load_policy
from gtr.policy.policy import Policy
from gtr.types import Prompt

THREADS = int(os.environ["OMP_NUM_THREADS"])
torch.set_num_threads(THREADS)
# The same examples every time: a change is judged by what it changes. `GTR_TEST_RANDOM=1` looks for new ones.
property_settings.register_profile("fixed", derandomize=not os.environ.get("GTR_TEST_RANDOM"))
property_settings.load_profile("fixed")

KINDS = tuple(tiny.BUILDERS)

Settings = Callable[..., Config]


@pytest.fixture(scope="session")
def build_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """``build_model(kind, task)`` is a model folder with random weights, made on first use."""

    @cache
    def build(kind: str = "tiny-llava", task: str = "numberline") -> Path:
        config = presets.build("gtr", task)
        examples = sft.expert_examples(tasks.load(config.task), 60, np.random.default_rng(0))
        texts = [e.reply for e in examples] + [e.prompt.text for e in examples]
        return tiny.build(kind, texts, IMAGE_SIZE, 0, tmp_path_factory.mktemp("models") / kind)

    return build


@pytest.fixture(scope="session")
def speaker(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """``speaker(kind, task)``: a model that writes whole replies but hardly looks; 40 steps of SFT, once a session."""

    @cache
    def make(kind: str = "tiny-llava", task: str = "numberline") -> Path:
        config = changed(
            presets.build("gtr", task),
            **{
                "runs": str(tmp_path_factory.mktemp("speakers")),
                "policy.model": kind,
                "policy.value_hidden": (16,),
                "sft.target": 0.4,
                "sft.reading": 0.0,
                "sft.max_steps": 40,
                "sft.check_every": 40,
                "sft.check_episodes": 2,
                "sft.batch": 16,
            },
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sft.agents, "EPISODES", 80)
            patch.setattr(sft.stages, "WARM_UP_IMAGES", 64)
            return sft.initialise(config)

    return make


@pytest.fixture
def settings(build_model: Callable[..., Path], tmp_path: Path) -> Settings:
    """``settings(method, task, kind, **dotted)``: a config of a few small updates on a random tiny model."""

    def make(method: str = "gtr", task: str = "numberline", kind: str = "tiny-llava", **dotted: Any) -> Config:
        config = changed(
            presets.build(method, task),
            **{
                "runs": str(tmp_path / "runs"),
                "policy.model": str(build_model(kind, task)),
                "policy.value_hidden": (16,),
                "policy.max_new_tokens": 10,
                "policy.temperature": 0.7,
                "sft.enabled": False,
                "train.updates": 2,
                "train.envs": 4,
                "train.turns": 3,
                "train.minibatch": 6,
                "train.epochs": 1,
                "train.eval_episodes": 2,
                "train.threads": THREADS,
                "report.probe_turns": 2,
                "report.trackers": (),
            },
        )
        return changed(config, **dotted)

    return make


@pytest.fixture
def make_policy(build_model: Callable[..., Path], settings: Settings) -> Callable[..., Policy]:
    """``make_policy(kind, **policy settings)``: a policy with random weights and a value head that says something."""

    def make(kind: str = "tiny-llava", task: str = "numberline", **dotted: Any) -> Policy:
        config = settings("gtr", task, kind, **dotted)
        return opinionated_head(load_policy(config.policy.model, config.policy, 0))

    return make


@pytest.fixture
def pictures() -> list[np.ndarray]:
    """Eight different pictures."""
    return draw_pictures()


@pytest.fixture
def prompts(pictures: list[np.ndarray]) -> list[Prompt]:
    """Eight prompts of eight different lengths."""
    words = ["move:", "one", "two", "three", "four", "five", "six", "seven"]
    return [Prompt(picture, " ".join(words[: i + 1])) for i, picture in enumerate(pictures)]


@pytest.fixture(autouse=True)
def _same_randomness() -> Iterator[None]:
    """No test depends on which ran before it."""
    torch.manual_seed(0)
    yield
    torch.set_num_threads(THREADS)

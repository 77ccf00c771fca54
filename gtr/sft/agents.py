"""The agent that a run starts from: taken from the cache, or made now."""

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gtr import __version__, tasks
from gtr.config import Config
from gtr.policy import tiny
from gtr.policy.families import vision_modules
from gtr.policy.loading import load_policy
from gtr.policy.policy import Policy
from gtr.policy.seeded import seeded
from gtr.report.files import move_whole, write_whole
from gtr.report.inside import Unreadable, parsed, read_named
from gtr.report.owner import beside
from gtr.sft import competence
from gtr.sft.experts import expert_examples
from gtr.sft.stages import teach_reading, teach_replies, warm_up
from gtr.tasks.steps import reset

SHAPING = ("model", "finetune", "value_hidden", "temperature", "max_new_tokens")
"""Those settings of the policy that shape the starting agent."""
SHAPING_LORA = ("lora_rank", "lora_alpha", "lora_dropout")
"""Those that shape it besides where adapters are trained."""
LATER = (("format", "json"), ("history_turns", 0))
"""Settings of the task that came later, where they change nothing: agents made before are found again."""
EPISODES = 1200
"""Expert episodes that the data come from."""
SAMPLES = 64
"""Start states whose words an untrained tiny model's tokeniser is learnt from."""
log = logging.getLogger(__name__)


def starting_agent(config: Config) -> Path | str:
    """What `load_policy` loads for a new run: the SFT-initialised agent, a tiny model with random weights, or the
    model that the settings name."""
    if config.sft.enabled:
        return _cached(config, _make)
    if config.policy.model in tiny.BUILDERS:
        return _cached(config, _make_random)
    return config.policy.model


def initialise(config: Config) -> Path:
    """The SFT-initialised agent that these settings describe, taken from the cache or made now; says how able it is.

    Returns:
        A model folder below ``<runs>/agents``, named by a hash of all that made it.

    Raises:
        TaskError: the task has no expert.
        PolicyError: the model cannot be read or built.
    """
    folder = _cached(config, _make)
    competence.say(competence_of(config))
    return folder


def _cached(config: Config, make: Callable[[Config, Path], dict[str, Any]]) -> Path:
    folder = _folder(config)
    if (folder / "competence.json").exists():
        return folder
    torch.set_num_threads(config.train.threads)
    with beside(folder) as made:
        with seeded(config.sft.seed):
            measured = make(config, made)
        write_whole(made / "competence.json", (json.dumps(measured, indent=1) + "\n").encode())
        try:
            move_whole(made, folder)
        except OSError:
            # Another process made the same agent meanwhile.
            if not (folder / "competence.json").exists():
                raise
    return folder


def _folder(config: Config) -> Path:
    return (Path(config.runs) / "agents" / agent_name(config)).resolve()


def competence_of(config: Config) -> dict[str, Any]:
    """How able the SFT-initialised agent of these settings is (see `gtr.sft.competence.measure`); empty where SFT is
    off, or the agent was made elsewhere or by an earlier version."""
    file = _folder(config) / "competence.json" if config.sft.enabled else None
    if file is None or not file.exists():
        return {}
    try:
        found = parsed(read_named(file))["competence"]
        counts = [found[mode] for mode in competence.MODES] if found else []
        if all(0 <= wins <= episodes > 0 for wins, episodes in counts) and 0 <= found["target"] <= 1:
            return dict(found)
    except KeyError:
        return {}
    except (Unreadable, AttributeError, TypeError, ValueError) as error:
        log.warning("%s cannot be used (%s): how able the starting agent is is not known", file, error)
    return {}


def agent_name(config: Config) -> str:
    """The task's name and a hash of every setting that shapes the starting agent."""
    shaping = (*SHAPING, *(SHAPING_LORA if config.policy.finetune == "lora" else ()))
    policy = {k: v for k, v in asdict(config.policy).items() if k in shaping}
    policy |= {"tiles": "one"} if config.policy.tiles == "one" else {}
    task = {k: v for k, v in asdict(config.task).items() if (k, v) not in LATER}
    made_by = {"task": task, "policy": policy, "sft": asdict(config.sft), "gtr": __version__}
    digest = hashlib.sha256(json.dumps(made_by, sort_keys=True, default=str).encode()).hexdigest()[:10]
    return f"{tasks.load(config.task).name}-{digest}"


def _make(config: Config, folder: Path) -> dict[str, Any]:
    """All stages; returns what was measured."""
    task = tasks.load(config.task)
    rng = np.random.default_rng(config.sft.seed)
    fresh = config.policy.model in tiny.BUILDERS
    if not fresh:
        policy = load_policy(config.policy.model, replace(config.policy, freeze_vision=False), config.sft.seed)
    examples = expert_examples(task, EPISODES, rng)
    target = competence.target_of(config)
    if fresh:
        texts = [e.reply for e in examples] + [e.prompt.text for e in examples]
        policy = _built(config, texts, folder)
    measured: dict[str, Any] = {}
    if fresh and task.visual_labels(examples[0].truth) is not None:
        measured["warm_up"] = warm_up(policy, task, config, rng)
        _freeze_vision(policy)
    if fresh and examples[0].reading:
        measured["reading"] = teach_reading(policy, task, examples, config, rng)
    measured["replies"] = teach_replies(policy, examples, config, rng, target)
    measured["competence"] = competence.measure(policy, config, target.success)
    policy.save(folder)
    return measured


def _make_random(config: Config, folder: Path) -> dict[str, Any]:
    """A tiny model without any training; its tokeniser knows the task's prompts and the shape of its replies."""
    task = tasks.load(config.task)
    env = task.make_env()
    rng = np.random.default_rng(config.sft.seed)
    texts: list[str] = []
    for _ in range(SAMPLES):
        image, info = reset(env, task.reset_arguments(rng))
        observation = task.observe(image, info)
        texts += [task.prompt(observation), *(task.blank(action) for action in task.actions(observation))]
    env.close()
    _built(config, texts, folder).save(folder)
    return {"untrained": True}


def _built(config: Config, texts: Sequence[str], folder: Path) -> Policy:
    """A tiny model with random weights, all of them trainable, in memory."""
    base = folder / "base"
    tiny.build(config.policy.model, texts, config.task.image_size, config.sft.seed, base)
    policy = load_policy(base, replace(config.policy, freeze_vision=False, finetune="full"), config.sft.seed)
    shutil.rmtree(base)
    return policy


def _freeze_vision(policy: Policy) -> None:
    for module in vision_modules(policy.network.model):
        module.requires_grad_(False)

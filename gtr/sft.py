"""SFT initialisation: where the agent stands before RL, made from expert episodes and stopped at measured competence.

A tiny model starts from random weights and goes through three stages; a pre-trained one needs only the last:

1. warm-up: vision tower and projector learn to classify what the picture shows (stands in for CLIP pre-training);
2. reading: the reply's first keys, those that say what is seen, under prompts of all lengths;
3. replies: whole replies, until the sampled success on held-out starts reaches `sft.target`.
"""

import copy
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import Tensor, nn

from gtr import __version__, tasks
from gtr.config import Config
from gtr.errors import TaskError
from gtr.evaluate import Evaluation, evaluate_policy
from gtr.losses.cloning import cloning_loss
from gtr.policy import tiny
from gtr.policy.families import vision_modules
from gtr.policy.policy import Policy, load_policy
from gtr.policy.seeded import seeded
from gtr.tasks.reply import write
from gtr.tasks.task import Task
from gtr.types import Lesson, Prompt, Truth

WARM_UP_IMAGES = 3000
WARM_UP_BATCH = 64
SHAPING = ("model", "finetune", "value_hidden", "temperature", "max_new_tokens")
"""Those settings of the policy that shape the starting agent."""
EPISODES = 1200
"""Expert episodes that the data come from."""
READING_CHECK = 25
"""Steps between two measurements of reading."""
SCREENED = 32
"""Held-out episodes after which a measurement of competence ends when none was won."""
OVERSHOOT = 2.5
"""Success, as a multiple of the target, above which SFT goes back to its last measurement and on with smaller steps:
tiny agents jump from nothing to mastery between two measurements, and RL would have nothing left to show."""
MAX_REFINEMENTS = 8
SAMPLES = 64
"""Start states whose words an untrained tiny model's tokeniser is learnt from."""
HELD_OUT = 1_000_003
"""Added to the seed of held-out starts."""
log = logging.getLogger(__name__)
console = Console(stderr=True)


@dataclass(frozen=True)
class Example:
    """One state that the expert passed through."""

    prompt: Prompt
    truth: Truth
    reply: str
    reading: str
    """The reply up to the end of what it says it sees; empty for tasks that do not say."""


def starting_agent(config: Config) -> Path | str:
    """What `load_policy` loads for a new run: the SFT-initialised agent, a tiny model with random weights, or the
    model that the settings name."""
    if config.sft.enabled:
        return initialise(config)
    if config.policy.model in tiny.BUILDERS:
        return _cached(config, _make_random)
    return config.policy.model


def initialise(config: Config) -> Path:
    """The SFT-initialised agent that these settings describe: taken from the cache, or made now.

    Returns:
        A model folder below ``<runs>/agents``, named by a hash of all that made it.

    Raises:
        TaskError: the task has no expert.
        PolicyError: the model cannot be read or built.
    """
    return _cached(config, _make)


def _cached(config: Config, make: Callable[[Config, Path], dict[str, Any]]) -> Path:
    folder = (Path(config.runs) / "agents" / agent_name(config)).resolve()
    if (folder / "competence.json").exists():
        return folder
    partial = folder.with_name(f"{folder.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    torch.set_num_threads(config.train.threads)
    with seeded(config.sft.seed):
        competence = make(config, partial)
    (partial / "competence.json").write_text(json.dumps(competence, indent=1) + "\n")
    try:
        partial.rename(folder)
    except OSError:
        if not (folder / "competence.json").exists():
            raise
        # Another process made the same agent meanwhile.
        shutil.rmtree(partial)
    return folder


def agent_name(config: Config) -> str:
    """The task's name and a hash of every setting that shapes the starting agent."""
    policy = {k: v for k, v in asdict(config.policy).items() if k in SHAPING}
    made_by = {"task": asdict(config.task), "policy": policy, "sft": asdict(config.sft), "gtr": __version__}
    digest = hashlib.sha256(json.dumps(made_by, sort_keys=True, default=str).encode()).hexdigest()[:10]
    return f"{tasks.load(config.task).name}-{digest}"


def _make(config: Config, folder: Path) -> dict[str, Any]:
    """All stages; returns what was measured."""
    task = tasks.load(config.task)
    rng = np.random.default_rng(config.sft.seed)
    fresh = config.policy.model in tiny.BUILDERS
    if not fresh:
        policy = load_policy(config.policy.model, replace(config.policy, freeze_vision=False), config.sft.seed)
    examples = expert_examples(task, config, EPISODES, rng)
    if fresh:
        texts = [e.reply for e in examples] + [e.prompt.text for e in examples]
        policy = _built(config, texts, folder)
    measured: dict[str, Any] = {}
    if fresh and task.reading(examples[0].truth) is not None:
        measured["warm_up"] = warm_up(policy, task, config, rng)
        _freeze_vision(policy)
    if fresh and examples[0].reading:
        measured["reading"] = teach_reading(policy, task, examples, config, rng)
    measured["replies"] = teach_replies(policy, examples, config, rng)
    policy.save(folder)
    return measured


def _make_random(config: Config, folder: Path) -> dict[str, Any]:
    """A tiny model without any training; its tokeniser knows the task's prompts and the shape of its replies."""
    task = tasks.load(config.task)
    env = task.make_env()
    rng = np.random.default_rng(config.sft.seed)
    texts: list[str] = []
    for _ in range(SAMPLES):
        image, info = env.reset(**task.reset_arguments(rng))
        observation = task.observe(image, info)
        blank = dict.fromkeys(task.thought_keys, "")
        texts += [task.prompt(observation), *(write(blank, action) for action in task.actions(observation))]
    env.close()
    _built(config, texts, folder).save(folder)
    return {"untrained": True}


def _built(config: Config, texts: Sequence[str], folder: Path) -> Policy:
    """A tiny model with random weights, all of them trainable, in memory."""
    base = folder.with_name(folder.name + ".base")
    tiny.build(config.policy.model, texts, config.task.image_size, config.sft.seed, base)
    policy = load_policy(base, replace(config.policy, freeze_vision=False, finetune="full"), config.sft.seed)
    shutil.rmtree(base)
    return policy


def expert_examples(task: Task, config: Config, episodes: int, rng: np.random.Generator) -> list[Example]:
    """States of expert episodes with the expert's replies; hopeless starts are passed over."""
    env = task.make_env()
    examples: list[Example] = []
    limit = config.task.max_turns or task.max_turns
    for _ in range(episodes):
        image, info = env.reset(**task.reset_arguments(rng))
        target: str | None = None
        for _ in range(limit):
            truth, observation = task.truth(info), task.observe(image, info)
            expert = task.expert(truth, target)
            if expert is None:
                break
            target = expert.target
            prompt = Prompt(observation.image, task.prompt(observation))
            reply = write(expert.thought, expert.action)
            examples.append(Example(prompt, truth, reply, _reading_part(task, expert.thought)))
            image, _, terminated, truncated, info = env.step(task.to_env(expert.action, observation))
            if terminated or truncated:
                break
    env.close()
    if not examples:
        raise TaskError(
            f"task '{task.name}' has no expert to learn from: define Task.expert, or add --sft.enabled False"
        )
    return examples


def _reading_part(task: Task, thought: Any) -> str:
    """The reply's beginning, up to the end of the keys that say what is seen."""
    seen = {key: thought[key] for key in task.reading_keys if key in thought}
    return json.dumps(seen, ensure_ascii=False)[:-1] if seen else ""


# -- stage 1 ------------------------------------------------------------------------------------------------------
def warm_up(policy: Policy, task: Task, config: Config, rng: np.random.Generator) -> dict[str, float]:
    """Trains vision tower and projector to classify `Task.reading` until held-out pictures are read exactly."""
    images, labels = _readings(task, WARM_UP_IMAGES, config, rng)
    held, truths = _readings(task, 256, config, np.random.default_rng([config.sft.seed, HELD_OUT]))
    classes = int(labels.max()) + 1
    with torch.no_grad():
        width = _features(policy, images[:1]).shape[1]
    head = nn.Linear(width, labels.shape[1] * classes).to(policy.device)
    model = policy.network.model
    parameters = [*model.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=config.sft.lr)
    exact, step = 0.0, 0
    while exact < config.sft.reading and step < config.sft.max_steps:
        rows = rng.integers(len(images), size=WARM_UP_BATCH)
        logits = head(_features(policy, [images[i] for i in rows])).view(len(rows), -1, classes)
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), labels[rows].flatten().to(logits.device))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        step += 1
        if step % READING_CHECK == 0:
            with torch.no_grad():
                read = head(_features(policy, held)).view(len(held), -1, classes).argmax(-1).cpu()
            exact = float((read == truths.clamp(max=classes - 1)).all(dim=1).float().mean())
            console.print(f"warm-up   step {step:5d}  pictures read exactly {exact:.2f}", highlight=False)
    return {"steps": step, "exact": exact}


def _readings(task: Task, count: int, config: Config, rng: np.random.Generator) -> tuple[list[Prompt], Tensor]:
    """Pictures of start states and what they show; of expert episodes where all starts show the same."""
    env = task.make_env()
    prompts, labels = [], []
    for _ in range(count):
        image, info = env.reset(**task.reset_arguments(rng))
        prompts.append(Prompt(np.asarray(image), ""))
        labels.append(task.reading(task.truth(info)))
        if len(labels) == SAMPLES and len(set(labels)) == 1:
            break
    env.close()
    if len(set(labels)) == 1:
        examples = expert_examples(task, config, max(1, count // 10), rng)
        chosen = [examples[i] for i in rng.permutation(len(examples))[:count]]
        prompts = [Prompt(example.prompt.image, "") for example in chosen]
        labels = [task.reading(example.truth) for example in chosen]
    return prompts, torch.tensor(labels)


def _features(policy: Policy, prompts: Sequence[Prompt]) -> Tensor:
    """(n, tokens * width) the projector's output for pictures."""
    batch = policy.inputs(prompts)
    wanted = {k: v for k, v in batch.items() if k in ("pixel_values", "image_grid_thw", "image_sizes")}
    found: Any = policy.network.model.get_image_features(**wanted)  # type: ignore[operator]
    features = getattr(found, "pooler_output", found)
    parts = features if isinstance(features, list | tuple) else list(features)
    return torch.stack([part.flatten() for part in parts]).view(len(prompts), -1)


def _freeze_vision(policy: Policy) -> None:
    for module in vision_modules(policy.network.model):
        module.requires_grad_(False)


# -- stages 2 and 3 -----------------------------------------------------------------------------------------------
def teach_reading(
    policy: Policy, task: Task, examples: Sequence[Example], config: Config, rng: np.random.Generator
) -> dict[str, float]:
    """Trains the reading part of replies until held-out pictures are read exactly in words."""
    held = expert_examples(task, config, 32, np.random.default_rng([config.sft.seed, HELD_OUT]))[:128]
    lessons = [_lesson(policy, e.prompt, e.reading, ended=False) for e in examples]
    longest = max(len(lesson.tokens) for lesson in lessons)
    exact, step = 0.0, 0
    trainer = _Trainer(policy, config)
    while exact < config.sft.reading and step < config.sft.max_steps:
        trainer.step([lessons[i] for i in rng.integers(len(lessons), size=config.sft.batch)])
        step += 1
        if step % READING_CHECK == 0:
            short = Policy(
                policy.network, policy.processor, replace(policy.config, max_new_tokens=longest), policy.end_ids
            )
            replies = short.generate([e.prompt for e in held], greedy=True)
            exact = float(np.mean([r.text.startswith(e.reading) for r, e in zip(replies, held, strict=True)]))
            console.print(f"reading   step {step:5d}  pictures read exactly {exact:.2f}", highlight=False)
    return {"steps": step, "exact": exact}


def teach_replies(
    policy: Policy, examples: Sequence[Example], config: Config, rng: np.random.Generator
) -> dict[str, float]:
    """Trains whole replies until the sampled success on held-out starts reaches the target."""
    lessons = [_lesson(policy, e.prompt, e.reply, ended=True) for e in examples]
    sft, success, step, refinements = config.sft, -1.0, 0, 0
    every = sft.check_every
    trainer = _Trainer(policy, config)
    trainer.remember()
    while success < sft.target and step < sft.max_steps:
        trainer.step([lessons[i] for i in rng.integers(len(lessons), size=sft.batch)])
        step += 1
        if step % every and step != sft.max_steps:
            continue
        found = _competence(policy, config)
        console.print(
            f"replies   step {step:5d}  success {found.success:.2f} (target {sft.target:.2f})  "
            f"perception {found.health.get('thought/perception', float('nan')):.2f}",
            highlight=False,
        )
        if found.success > sft.target * OVERSHOOT and refinements < MAX_REFINEMENTS:
            refinements, every = refinements + 1, max(5, every // 2)
            trainer.go_back()
        else:
            success = found.success
            trainer.remember()
    if success < config.sft.target:
        log.warning(
            "SFT gave up at success %.2f below sft.target %.2f after %d steps; raise --sft.max-steps, or lower "
            "--sft.target",
            *(success, config.sft.target, step),
        )
    return {"steps": step, "success": success}


def _competence(policy: Policy, config: Config) -> Evaluation:
    """Sampled play on held-out starts; a few of them are enough while none is won."""
    episodes = config.sft.check_episodes
    few, _ = evaluate_policy(policy, "sft", config, "same", min(SCREENED, episodes), HELD_OUT, greedy=False)
    if few.successes == 0:
        return few
    return evaluate_policy(policy, "sft", config, "same", episodes, HELD_OUT, greedy=False)[0]


def _lesson(policy: Policy, prompt: Prompt, text: str, ended: bool) -> Lesson:
    tokens = policy.encode_reply(text)
    tokens = tokens if ended else tokens[:-1]
    return Lesson(prompt, tokens, (1.0,) * len(tokens))


class _Trainer:
    """Plain supervised steps with a short linear warm-up of the learning rate."""

    WARM_UP_STEPS = 20

    def __init__(self, policy: Policy, config: Config) -> None:
        self._policy, self._steps, self._part = policy, 0, config.train.minibatch
        self._parameters = [p for p in policy.network.model.parameters() if p.requires_grad]
        self._optimizer = torch.optim.AdamW(self._parameters, lr=config.sft.lr, betas=(0.9, 0.98), weight_decay=0.01)
        self._rate = config.sft.lr
        self._kept: tuple[list[Tensor], dict[str, Any]] = ([], {})

    def remember(self) -> None:
        """Keeps weights and moments as they are now, to come back to."""
        weights = [p.detach().clone() for p in self._parameters]
        self._kept = weights, copy.deepcopy(self._optimizer.state_dict())

    def go_back(self) -> None:
        """Returns to what was kept last, with half the learning rate."""
        weights, moments = self._kept
        with torch.no_grad():
            for parameter, kept in zip(self._parameters, weights, strict=True):
                parameter.copy_(kept)
        self._optimizer.load_state_dict(copy.deepcopy(moments))
        self._rate /= 2

    def step(self, lessons: Sequence[Lesson]) -> None:
        self._steps += 1
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate * min(1.0, self._steps / self.WARM_UP_STEPS)
        self._policy.network.train()
        self._optimizer.zero_grad()
        count = float(sum(len(lesson.tokens) for lesson in lessons))
        for first in range(0, len(lessons), self._part):
            part = lessons[first : first + self._part]
            replies = [lesson.tokens for lesson in part]
            scores = self._policy.score([x.prompt for x in part], replies, temperatures=[1.0] * len(part))
            _, mask = self._policy.pad(replies)
            cloning_loss(scores.logprobs, mask.float(), normaliser=count).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._parameters, 1.0)
        self._optimizer.step()

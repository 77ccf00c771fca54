"""The three stages, each stopped by what it has reached."""

import copy
import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import Tensor, nn

from gtr.config import Config
from gtr.evaluate import Evaluation, evaluate_policy
from gtr.losses.cloning import cloning_loss
from gtr.policy.policy import Policy
from gtr.report.progress import clock
from gtr.sft.competence import Target, known
from gtr.sft.experts import Example, expert_examples, readings
from gtr.tasks.task import Task
from gtr.types import Prompt, Sample

WARM_UP_IMAGES = 3000
WARM_UP_BATCH = 64
READING_CHECK = 25
"""Steps between two measurements of reading."""
SCREENED = 32
"""Held-out episodes after which a measurement of competence ends when none was won."""
OVERSHOOT = 2.5
"""Success, as a multiple of the target (above random play, where that was measured), above which SFT goes back to its
last measurement and on with smaller steps: tiny agents jump from nothing to mastery between two measurements, and RL
would have nothing left to show."""
MAX_REFINEMENTS = 8
HELD_OUT = 1_000_003
"""Added to the seed of held-out starts."""
log = logging.getLogger(__name__)
console = Console(stderr=True)


class Stage:
    """Says how far a stage is, and how long it takes at most; it ends as soon as its target is reached."""

    def __init__(self, number: int, name: str, steps: int) -> None:
        self._title, self._steps, self._started = f"{name:9} (stage {number} of 3)", steps, time.monotonic()

    def say(self, step: int, reached: str) -> None:
        left = (time.monotonic() - self._started) / step * (self._steps - step)
        console.print(f"{self._title}  step {step:5d}  {reached}  at most {clock(left)} left", highlight=False)


# -- stage 1 ------------------------------------------------------------------------------------------------------
def warm_up(policy: Policy, task: Task, config: Config, rng: np.random.Generator) -> dict[str, float]:
    """Trains vision tower and projector to classify `Task.visual_labels` until held-out pictures are read exactly."""
    images, labels = readings(task, WARM_UP_IMAGES, rng)
    held, truths = readings(task, 256, np.random.default_rng([config.sft.seed, HELD_OUT]))
    classes = int(labels.max()) + 1
    with torch.no_grad():
        width = _features(policy, images[:1]).shape[1]
    head = nn.Linear(width, labels.shape[1] * classes).to(policy.device)
    model = policy.network.model
    parameters = [*model.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=config.sft.lr)
    exact, step = 0.0, 0
    stage = Stage(1, "warm-up", config.sft.max_steps)
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
            stage.say(step, f"pictures read exactly {exact:.2f} (target {config.sft.reading:.2f})")
    return {"steps": step, "exact": exact}


def _features(policy: Policy, prompts: Sequence[Prompt]) -> Tensor:
    """(n, tokens * width) the projector's output for pictures."""
    batch = policy.inputs(prompts)
    wanted = {k: v for k, v in batch.items() if k in ("pixel_values", "image_grid_thw", "image_sizes")}
    found: Any = policy.network.model.get_image_features(**wanted)  # type: ignore[operator]
    features = getattr(found, "pooler_output", found)
    parts = features if isinstance(features, list | tuple) else list(features)
    return torch.stack([part.flatten() for part in parts]).view(len(prompts), -1)


# -- stages 2 and 3 -----------------------------------------------------------------------------------------------
def teach_reading(
    policy: Policy, task: Task, examples: Sequence[Example], config: Config, rng: np.random.Generator
) -> dict[str, float]:
    """Trains the reading part of replies until held-out pictures are read exactly in words."""
    held = expert_examples(task, 32, np.random.default_rng([config.sft.seed, HELD_OUT]))[:128]
    samples = [taught(policy, e.prompt, e.reading, ended=False) for e in examples]
    longest = max(len(sample.tokens) for sample in samples)
    exact, step = 0.0, 0
    stage = Stage(2, "reading", config.sft.max_steps)
    trainer = Trainer(policy, config)
    while exact < config.sft.reading and step < config.sft.max_steps:
        trainer.step([samples[i] for i in rng.integers(len(samples), size=config.sft.batch)])
        step += 1
        if step % READING_CHECK == 0:
            short = Policy(
                policy.network, policy.processor, replace(policy.config, max_new_tokens=longest), policy.end_ids
            )
            replies = short.generate([e.prompt for e in held], greedy=True)
            read = [policy.continued(e.reading) for e in held]
            exact = float(np.mean([r.text.startswith(part) for r, part in zip(replies, read, strict=True)]))
            stage.say(step, f"pictures read exactly {exact:.2f} (target {config.sft.reading:.2f})")
    return {"steps": step, "exact": exact}


def teach_replies(
    policy: Policy, examples: Sequence[Example], config: Config, rng: np.random.Generator, target: Target
) -> dict[str, float]:
    """Trains whole replies until the sampled success on held-out starts reaches the target."""
    samples = [taught(policy, e.prompt, e.reply, ended=True) for e in examples]
    sft, success, step, refinements = config.sft, -1.0, 0, 0
    every = sft.check_every
    stage = Stage(3, "replies", sft.max_steps)
    trainer = Trainer(policy, config)
    trainer.remember()
    most = target.random + (target.success - target.random) * OVERSHOOT
    while success < target.success and step < sft.max_steps:
        trainer.step([samples[i] for i in rng.integers(len(samples), size=sft.batch)])
        step += 1
        if step % every and step != sft.max_steps:
            continue
        found = _competence(policy, config)
        seen = found.health.get("thought/perception", float("nan"))
        stage.say(step, f"success {found.success:.2f} (target {target.success:.2f})  perception {seen:.2f}")
        if found.success > most and refinements < MAX_REFINEMENTS:
            refinements, every = refinements + 1, max(5, every // 2)
            trainer.go_back()
        else:
            success = found.success
            trainer.remember()
    if success < target.success:
        log.warning(
            "SFT gave up at success %.2f below sft.target %.2f after %d steps; raise --sft.max-steps, or lower "
            "--sft.target",
            *(success, target.success, step),
        )
    return {"steps": step, "success": success}


def _competence(policy: Policy, config: Config) -> Evaluation:
    """Sampled play on held-out starts; a few of them are enough while none is won."""
    episodes = config.sft.check_episodes
    few, _ = evaluate_policy(policy, "sft", config, "same", min(SCREENED, episodes), HELD_OUT, greedy=False)
    if known(few).successes == 0:
        return few
    return evaluate_policy(policy, "sft", config, "same", episodes, HELD_OUT, greedy=False)[0]


def taught(policy: Policy, prompt: Prompt, text: str, ended: bool) -> Sample:
    """A text of which every token is taught; its end too, where the reply has `ended`."""
    tokens = policy.encode_reply(policy.continued(text))
    tokens = tokens if ended else tokens[:-1]
    return Sample(prompt, tokens, {"cloning": (1.0,) * len(tokens)})


class Trainer:
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

    def step(self, samples: Sequence[Sample]) -> None:
        self._steps += 1
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate * min(1.0, self._steps / self.WARM_UP_STEPS)
        self._policy.network.train()
        self._optimizer.zero_grad()
        count = float(sum(len(sample.tokens) for sample in samples))
        for first in range(0, len(samples), self._part):
            part = samples[first : first + self._part]
            replies = [sample.tokens for sample in part]
            scores = self._policy.score([x.prompt for x in part], replies, temperatures=[1.0] * len(part))
            _, mask = self._policy.pad(replies)
            cloning_loss(scores.logprobs, mask.float(), normaliser=count).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._parameters, 1.0)
        self._optimizer.step()

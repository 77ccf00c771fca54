"""Training: the street, as one loop.

    environment -> prompt -> policy -> parse -> step -> correct -> buffer -> losses -> update -> report
    \\_________________________ collect _______________________/ \\____/   \\___ learn ____/    \\_____/

`Run.step` is that line in code; everything else here opens and closes it.
"""

import logging
import math
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import (
    DistributedDataParallelKwargs,
    broadcast_object_list,
    gather_object,
    set_seed,
)
from rich.console import Console

from gtr import algo, checkpoint, tasks
from gtr.ahead import Rollouts
from gtr.config import Config
from gtr.config.checks import check_resume
from gtr.config.io import own_code
from gtr.engine import make_engine
from gtr.errors import DivergenceError, EngineError
from gtr.evaluate import Evaluation, evaluate_policy
from gtr.guidance import ready
from gtr.imports import built
from gtr.learner import Learnt, learn, make_optimizer
from gtr.metrics import health
from gtr.metrics.alarm import Alarm
from gtr.metrics.pool import pooled
from gtr.policy.loading import load_policy
from gtr.policy.reference import ReferencePolicy
from gtr.policy.sharding import distributed
from gtr.processes import check_launch, dealt, per_node, resized
from gtr.relevance import RelevanceMeter
from gtr.report import trace
from gtr.report.folder import RunFolder, read_config
from gtr.report.progress import Progress
from gtr.rollout import Collector
from gtr.sft import competence, competence_of, starting_agent
from gtr.types import Rollout, Sample

START = 0
"""Number of the checkpoint before the first update."""
COPIED = 1_000_000_000
"""Weights that learn, up to which a second copy is kept to measure how far the agent has moved (4 GB as float32)."""
LEARNING, RELEVANCE = 1, 2
"""Random numbers of their own: what is learnt must not depend on what is reported."""
DISTRIBUTED = DistributedDataParallelKwargs(find_unused_parameters=True)
"""Vision towers hold layers that no output depends on."""
log = logging.getLogger(__name__)


class Run:
    """Everything that one training run holds, ready to do its next update."""

    def __init__(self, config: Config, folder: RunFolder, accelerator: Accelerator, model: Path | str) -> None:
        self.config, self.folder, self.accelerator = config, folder, accelerator
        self.task = tasks.load(config.task)
        self.policy = load_policy(model, config.policy, config.seed)
        few = sum(p.numel() for p in self.policy.network.model.parameters() if p.requires_grad) <= COPIED
        rank, ranks = accelerator.process_index, accelerator.num_processes
        kind, given = algo.find(config.algo.name), (config, self.task, self.policy, gather_object)
        self.algorithm = built(config.algo.name, kind, "(config, task, policy, everyone)", *given)
        measured = few and config.report.probe_turns
        reference = ReferencePolicy(self.policy) if measured or self.algorithm.needs_reference else None
        self.algorithm.reference = reference
        self.policy.scorer = distributed(self.policy.network, accelerator, config.train.shard, per_node())
        self.optimizer = make_optimizer(self.policy, config.train)
        self.policy.gather()
        self.corrector = self.algorithm.corrector(folder.path, rank, ranks)
        self.engine = make_engine(config.engine, self.policy, folder.path / "engine")
        spec = self.algorithm.rollout
        self.collector = Collector(self.task, self.policy, self.corrector, config, rank, spec, self.engine)
        self.rollouts = Rollouts(self.collector, self.engine, config, rank, gather_object)
        self.relevance = RelevanceMeter(self.policy, reference, self.task, config.report.probe_turns)
        self.alarm = Alarm()
        self.competence = competence_of(config)
        self.update = START
        self.sized_for = ranks
        """How many processes the settings of the run's folder are for."""

    def step(self) -> dict[str, float]:
        """One update: collect, assign credit, learn, report."""
        rng = self.seed(self.update)
        rollout = self.collect()
        samples = self.algorithm.samples(rollout, self.update)
        learnt = learn(samples, self.algorithm, self.policy, self.optimizer, self.config.train, self.accelerator, rng)
        self.update += 1
        self.algorithm.updated(self.update)
        return self.report(rollout, samples, learnt)

    def collect(self) -> Rollout:
        """A rollout, and what must be measured on it before the agent changes."""
        rollout = self.rollouts.take(self.update)
        started = time.perf_counter()
        self.relevance_metrics = self.relevance.measure(rollout, self.generator(self.update, RELEVANCE))
        self.relevance_metrics["seconds/probe"] = time.perf_counter() - started
        return rollout

    def report(self, rollout: Rollout, samples: Sequence[Sample], learnt: Learnt) -> dict[str, float]:
        """Writes down what was played and learnt in the update that ended, and returns its metrics."""
        values = {**health(rollout, self.task, self.config.seed), **self.relevance_metrics, **learnt.metrics}
        values |= self.algorithm.metrics()
        values |= {f"seconds/{stage}": spent for stage, spent in rollout.seconds.items()}
        values |= {**self.engine.metrics(), **self.rollouts.metrics()}
        values |= self.corrector.metrics() if self.corrector else {}
        values |= competence.metrics(self.competence) if self.update == START + 1 else {}
        values = pooled(gather_object([values]))
        alert = self.alarm.observe(self.update, values)
        values |= alert.metrics()
        if alert.ringing:
            log.warning("update %d: %s", self.update, alert.sentence())
        cloning = self.algorithm.cloning
        taught, rank = cloning.latest, self.accelerator.process_index
        ranks = self.accelerator.num_processes
        checkpoint.save_lessons(self.folder.path, self.update, taught, cloning.turns, rank, ranks)
        if self.folder.main and self.update % self.config.report.turns_every == 0:
            turns = rollout.flat()
            traces = trace.learnt(turns, samples, learnt.logprobs, taught, self.policy, self.task)
            self.folder.write_turns(self.update, turns, [one.advantage for one in traces], traces)
            if self.relevance.last is not None:
                self.folder.write_probe(self.update, self.relevance.last)
        return values

    def seed(self, update: int) -> np.random.Generator:
        """Seeds torch for an update and returns numpy's generator for it: no random state outlives an update."""
        set_seed(int(self.generator(update).integers(2**31)))
        return self.generator(update, LEARNING)

    def generator(self, *purpose: int) -> np.random.Generator:
        """Random numbers of this run and process for one purpose."""
        return np.random.default_rng([self.config.seed, self.accelerator.process_index, *purpose])

    def save(self) -> None:
        """Writes a checkpoint of the state between two updates."""
        ranks = gather_object([self.rollouts.state()])
        state = {"ranks": ranks, "sized_for": self.sized_for, "algorithm": self.algorithm.state()}
        state |= {"alarm": self.alarm.state()}
        keep, main, held = self.config.report.keep_checkpoints, self.folder.main, self.algorithm.tensors()
        checkpoint.save(self.folder.checkpoints, self.update, self.policy, self.optimizer, state, keep, held, main)

    def restore(self, saved: Path, state: Mapping[str, Any]) -> None:
        """Goes back to a checkpoint whose model is loaded already, written by however many processes."""
        rank, ranks, before = self.accelerator.process_index, self.accelerator.num_processes, len(state["ranks"])
        self.update, self.sized_for = int(state["update"]), state.get("sized_for", before)
        checkpoint.restore_optimizer(saved, self.optimizer)
        lessons, can_say = self.algorithm.cloning.buffer, self.policy.network.can_say
        checkpoint.load_lessons(self.folder.path, self.update, lessons, rank, ranks, self.sized_for, can_say)
        with checkpoint.used(saved):
            self.collector.restore(dealt(state["ranks"], ranks)[rank])
            self.algorithm.restore(state.get("algorithm", {}))
            self.algorithm.restore_tensors(checkpoint.read_tensors(saved))
            self.alarm.restore(state["alarm"])
        self.folder.truncate_to(self.update)
        if self.relevance.reference is not None:
            origin = checkpoint.found(self.folder.checkpoints)[0]
            begun = load_policy(origin / "model", self.config.policy, self.config.seed, torch.device("cpu"))
            self.relevance.reference = self.algorithm.reference = ReferencePolicy(begun)

    def close(self) -> None:
        """Drops what the engine and the corrector are still being asked."""
        self.engine.close()
        if self.corrector is not None:
            self.corrector.close()

    def evaluate(self) -> Evaluation:
        """Greedy success on the task's fixed panel, dealt from seeds of its own; kept with its turns."""
        name = f"{self.config.preset} update {self.update}"
        train = self.config.train
        self.rollouts.settle()
        self.engine.sync(self.update)
        found, played = evaluate_policy(self.engine, name, self.config, "same", train.eval_episodes, train.eval_seed)
        turns = [turn for one in played for turn in one]
        self.folder.write_evaluation(self.update, found.to_dict(), turns, trace.played(turns, self.policy, self.task))
        return found


def train(config: Config, resume: Path | None = None) -> Path:
    """Trains an agent, or goes on with a run, and returns its folder.

    Raises:
        GtrError: bad settings, a missing model or run; nothing has been overwritten.
        DivergenceError: a loss is not finite; a checkpoint of the last good update stands.
    """
    torch.set_num_threads(config.train.threads)
    # Precision is the network's own affair: sampling does not pass through what Accelerate would wrap.
    accelerator = Accelerator(mixed_precision="no", step_scheduler_with_optimizer=False, kwargs_handlers=[DISTRIBUTED])
    check_launch(config.train.shard, accelerator.distributed_type.value, accelerator.num_processes)
    if accelerator.is_main_process:
        ready(config)
    with _folder(config, resume, accelerator) as folder:
        folder.connect()
        run = _open(config, resume, accelerator, folder)
        silent = None if folder.main else Console(quiet=True)
        with closing(run), Progress(config.train.updates, run.update, silent) as progress:
            _loop(run, progress)
    # A process that leaves while another still holds the connection makes that one hang or abort.
    accelerator.wait_for_everyone()
    accelerator.end_training()
    return folder.path


def _loop(run: Run, progress: Progress) -> None:
    config, turns = run.config, run.config.train.envs * run.config.train.turns
    if run.update == START:
        run.save()
        run.evaluate()
    while run.update < config.train.updates:
        try:
            values = run.step()
        except (DivergenceError, EngineError) as error:
            error.add_note("the last good update is the last checkpoint")
            raise
        every = config.train.eval_every
        if run.update == config.train.updates or (every and run.update % every == 0):
            found = run.evaluate()
            values |= {} if math.isnan(found.success) else {"panel/success": found.success}
            values |= {f"panel/{k}": v for k, v in found.health.items() if k.startswith(("thought/", "episode/"))}
        run.folder.write_metrics(run.update, values)
        run.save()
        progress.update(run.update, values, turns)
        if config.report.stop_on_alarm and values.get("alarm/ringing"):
            log.warning("report.stop_on_alarm is on: the run ends after update %d", run.update)
            return


def _folder(config: Config, resume: Path | None, accelerator: Accelerator) -> RunFolder:
    """The run's folder: made or opened by the main process, shared with the others."""
    if resume is not None:
        check_resume(read_config(resume, own_code(config)), config)
        folder = RunFolder.open(resume, accelerator.is_main_process)
        folder.write_config(config)
        return folder
    shared: list[Any] = [None]
    made = None
    if accelerator.is_main_process:
        made = RunFolder.create(config)
        shared = [str(made.path)]
    broadcast_object_list(shared)
    return made or RunFolder.open(shared[0], main=False)


def _open(config: Config, resume: Path | None, accelerator: Accelerator, folder: RunFolder) -> Run:
    """A run ready for its next update: fresh, or from the folder's last checkpoint."""
    saved = checkpoint.to_resume(folder.path) if resume else None
    if saved is not None:
        state = checkpoint.read_state(saved)
        config = resized(config, state.get("sized_for", len(state["ranks"])), accelerator.num_processes)
        run = Run(config, folder, accelerator, saved / "model")
        run.restore(saved, state)
    else:
        with accelerator.main_process_first():
            model = starting_agent(config)
        run = Run(config, folder, accelerator, model)
        if folder.main:
            competence.say(run.competence)
    for change in folder.write_fingerprint(run.task, str(accelerator.device), run.competence):
        log.warning("this machine differs from the one the run started on: %s", change)
    return run

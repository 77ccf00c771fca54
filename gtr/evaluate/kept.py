"""What an evaluation played, kept as a folder that ``gtr show`` opens like a run's."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from gtr.agents import Agent
from gtr.config import Config
from gtr.engine.local import LocalEngine
from gtr.evaluate.agents import PolicyAgent
from gtr.evaluate.results import Evaluation
from gtr.report import trace
from gtr.report.folder import RunFolder
from gtr.tasks.task import Task
from gtr.types import Turn


def keep(
    found: Evaluation, played: Sequence[Sequence[Turn]], agent: Agent, task: Task, config: Config, runs: Path
) -> Path:
    """Writes an evaluation with its turns into a new folder below `runs`, without checkpoints: nothing was trained.

    Raises `RunError` where nothing can be written.
    """
    name = re.sub(r"[^A-Za-z0-9_.+-]+", "-", f"{Path(found.agent).name}-{found.panel}-{found.mode}").strip("-.")[-150:]
    report = replace(config.report, trackers=())
    own = replace(config, runs=str(runs), name=name, preset=Path(found.agent).name, task=task.config, report=report)
    turns = [turn for episode in played for turn in episode]
    with RunFolder.create(own) as folder:
        engine = agent.engine if isinstance(agent, PolicyAgent) else None
        policy = engine.policy if isinstance(engine, LocalEngine) else None
        folder.write_evaluation(0, found.to_dict(), turns, trace.played(turns, policy, task))
        folder.write_fingerprint(task)
        folder.checkpoints.rmdir()
    return folder.path

"""Turns of a household on disk: its truth is live objects, so what judges them must be written with them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gtr import cli, tasks
from gtr.compare.samples import sample
from gtr.config.presets import build
from gtr.report import Run, RunFolder, trace
from gtr.show.detail import checks, shown
from gtr.tasks.reply import parse, write
from gtr.types import Ending, Prompt, Reply, Turn


class Letters:
    """Tells where tokens lie, as a policy does: each is one character."""

    def offsets(self, tokens: tuple[int, ...]) -> list[tuple[int, int]]:
        return [(i, i + 1) for i in range(len(tokens))]


@pytest.mark.parametrize("right", [True, False])
def test_reports_and_viewer_judge_thoughts_without_the_live_room(tmp_path: Path, right: bool) -> None:
    config = replace(build("rl4vlm", "alfworld"), runs=str(tmp_path))
    task = tasks.load(config.task)
    env = task.make_env()
    image, info = env.reset(seed=3)
    truth, observation = task.truth(info), task.observe(image, info)
    env.close()
    expert = task.expert(truth)
    assert expert is not None
    thought = dict(expert.thought) if right else {**expert.thought, "hand": "mug 7"}
    text = write(thought, expert.action)
    parsed = parse(text, True, task.thought_keys)
    prompt = Prompt(np.asarray(image), task.prompt(observation))
    turn = Turn(0, 0, 0, prompt, truth, Reply(text, (1,), (-0.1,), True), parsed, True, 0.0, Ending.RUNNING)
    with RunFolder.create(config) as folder:
        folder.write_evaluation(0, {"success": 0.0}, [turn], trace.played([turn], Letters(), task))  # type: ignore[arg-type]
        (record,) = Run(folder.path).panel(0)
    expected = {"perception": right, "plan": True, "step": True}
    run = Run(folder.path)
    assert sample("before", record, task).marks == expected
    assert checks(record, run) == expected
    assert shown(record, run)["expert"] == {**expert.thought, "action": expert.action}

    older = {key: value for key, value in record.items() if key not in ("checks", "expert")}
    assert "not checked" in sample("before", older, task).trouble
    assert checks(older, run) == {}
    assert "could not judge" in shown(older, run)["unjudged"]


@pytest.mark.slow
def test_a_comparison_of_methods_ends_with_its_page(tmp_path: Path) -> None:
    words = (
        f"compare rl4vlm gtr --task alfworld --seeds 1 --out {tmp_path} --sft.enabled False --train.updates 1 "
        "--train.envs 2 --train.turns 2 --train.minibatch 4 --train.eval_episodes 2 --policy.max_new_tokens 8"
    )
    assert cli.run(words.split()) == 0
    assert "the first 2 start states" in (tmp_path / "samples.md").read_text().lower()
    assert (tmp_path / "comparison.html").stat().st_size > 10_000

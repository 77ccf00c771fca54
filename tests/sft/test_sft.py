"""SFT initialisation: what is cached, when it stops, and that each stage teaches what it says."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from small import changed

from gtr import sft, tasks
from gtr.config import Config, presets
from gtr.errors import TaskError
from gtr.evaluate import Evaluation, make_panel
from gtr.policy.loading import load_policy
from gtr.policy.policy import Policy
from gtr.report import Run
from gtr.sft import competence, stages
from gtr.train import train
from gtr.types import Prompt, Sample

Settings = Callable[..., Config]
MakePolicy = Callable[..., Policy]


def lessons(policy: Policy, prompts: Sequence[Prompt]) -> list[Sample]:
    """Replies of different lengths."""
    texts = ['{"target": 4, "action": "+"}'[: 6 + 2 * i] for i in range(len(prompts))]
    return [stages.taught(policy, prompt, text, ended=True) for prompt, text in zip(prompts, texts, strict=True)]


# -- the cache ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("key", "value", "same"),
    [
        ("task.deck", "dark", False),
        ("task.hands", 3, False),
        ("policy.model", "tiny-llava-next", False),
        ("policy.temperature", 0.9, False),
        ("policy.tiles", "one", False),
        ("sft.target", 0.7, False),
        ("sft.seed", 5, False),
        ("seed", 9, True),
        ("train.lr", 1e-3, True),
        ("algo.clip", 0.3, True),
        ("guidance.corrector", "none", True),
        ("runs", "elsewhere", True),
    ],
)
def test_an_agent_is_named_by_what_made_it(key: str, value: Any, same: bool, settings: Settings) -> None:
    base = settings(task="ezpoints")
    assert (sft.agent_name(base) == sft.agent_name(changed(base, **{key: value}))) is same


@pytest.mark.parametrize("key", ["policy.lora_rank", "policy.lora_alpha", "policy.lora_dropout"])
def test_adapters_of_other_shapes_are_other_agents(key: str, settings: Settings) -> None:
    value = 0.2 if key.endswith("dropout") else 7
    for finetune, same in (("lora", False), ("full", True)):
        base = settings(task="ezpoints", **{"policy.finetune": finetune})
        assert (sft.agent_name(base) == sft.agent_name(changed(base, **{key: value}))) is same


def test_an_agent_is_made_once(settings: Settings, tmp_path: Path) -> None:
    config = settings(**{"policy.model": "tiny-llava", "runs": str(tmp_path)})
    torch.manual_seed(3)
    first = Path(sft.starting_agent(config))
    after = torch.rand(1)
    made = (first / "model.safetensors").stat().st_mtime_ns
    assert sft.starting_agent(replace(config, seed=8)) == first
    assert (first / "model.safetensors").stat().st_mtime_ns == made
    torch.manual_seed(3)
    assert torch.equal(after, torch.rand(1)), "the caller's random numbers are left as they were"
    assert [path.name for path in (tmp_path / "agents").iterdir()] == [first.name], "nothing half-made stays"
    again = Path(sft.starting_agent(replace(config, runs=str(tmp_path / "elsewhere"))))
    weights, others = (load_file(folder / "model.safetensors") for folder in (first, again))
    assert all(torch.equal(weights[name], others[name]) for name in weights), "the same agent on every machine"


def test_a_model_of_ones_own_without_sft_is_taken_as_it_is(settings: Settings) -> None:
    config = settings()
    assert sft.starting_agent(config) == config.policy.model


# -- when it stops ------------------------------------------------------------------------------------------------
class Judge:
    """Stands for the measurement of competence: successes in the order in which they are found."""

    def __init__(self, *successes: float) -> None:
        self.left = list(successes)
        self.seen: list[torch.Tensor] = []

    def __call__(self, policy: Policy, config: Config) -> Evaluation:
        self.seen.append(policy.network.model.get_output_embeddings().weight.detach().clone())
        return Evaluation("sft", "numberline", "same", "panel", "sampled", 10, 0, 0, self.left.pop(0), (0.0, 1.0))


@pytest.fixture
def taught(make_policy: MakePolicy, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """``taught(judge, target)``: what full-reply SFT measured; checks every 5 steps of 2 replies."""

    def teach(judge: Judge, target: float, limit: int = 200) -> dict[str, float]:
        monkeypatch.setattr(stages, "_competence", judge)
        chosen = {"sft.target": target, "sft.check_every": 5, "sft.batch": 2, "sft.max_steps": limit}
        config = settings(**chosen)
        policy = make_policy(**{"policy.freeze_vision": True})
        examples = sft.expert_examples(tasks.load(config.task), 4, np.random.default_rng(0))
        return stages.teach_replies(policy, examples, config, np.random.default_rng(0), competence.target_of(config))

    return teach


def test_it_stops_at_the_measured_success(taught: Callable[..., Any]) -> None:
    assert taught(Judge(0.0, 0.05, 0.2), 0.1) == {"steps": 15, "success": 0.2}


def test_it_goes_back_where_it_jumped_past_the_target(taught: Callable[..., Any]) -> None:
    judge = Judge(0.0, 0.9, 0.9, 0.15)
    assert taught(judge, 0.1)["success"] == 0.15
    begun, jumped, again, ended = judge.seen
    sizes = [float((weight - begun).norm()) for weight in (jumped, again, ended)]
    assert sizes == sorted(sizes, reverse=True), "each time from the same weights, with smaller steps"


def test_it_gives_up_with_a_warning(taught: Callable[..., Any], caplog: pytest.LogCaptureFixture) -> None:
    assert taught(Judge(0.0, 0.0), 0.5, limit=8) == {"steps": 8, "success": 0.0}
    assert "--sft.max-steps" in caplog.text


# -- how able it is -----------------------------------------------------------------------------------------------
def able(sampled: int, greedy: int, episodes: int = 100, target: float = 0.1) -> dict[str, Any]:
    return {"target": target, "sampled": [sampled, episodes], "greedy": [greedy, episodes]}


@pytest.mark.parametrize(("sampled", "target", "off"), [(12, 0.1, ""), (45, 0.25, "+0.20"), (0, 0.1, "-0.10")])
def test_it_says_how_far_the_agent_is_from_what_was_asked_for(
    sampled: int, target: float, off: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    competence.say(able(sampled, 63, target=target))
    said = caplog.text if off else capsys.readouterr().err
    assert f"{sampled / 100:.2f} of 100 fresh starts sampled" in said
    assert "0.63 of 100 fresh starts greedy (0.53-0.72)" in said
    assert (f"{off} off sft.target {target:g}" in caplog.text) == bool(off)


def test_what_was_not_measured_is_not_said(capsys: pytest.CaptureFixture[str]) -> None:
    competence.say({})
    assert capsys.readouterr().err == ""
    assert competence.metrics({}) == competence.metrics(able(0, 0, episodes=0)) == {}


def test_competence_is_measured_as_a_panel_measures(settings: Settings, make_policy: MakePolicy) -> None:
    """Both modes on the same starts, which are others than SFT stops at, by a panel's rules."""
    policy = make_policy()
    config = settings(**{"sft.check_episodes": 6, "sft.target": 0.3, "task.illegal": "random", "task.max_turns": 4})
    found = competence.measure(policy, config, 0.3)
    assert found == {"target": 0.3, "sampled": [0, 6], "greedy": [0, 6]}, "untrained replies are not played at random"
    panels = {make_panel(config.task, "same", 6, seed).name for seed in (0, stages.HELD_OUT, competence.FRESH)}
    assert len(panels) == 3


@pytest.mark.slow
def test_a_run_keeps_how_able_its_start_was(settings: Settings, tmp_path: Path) -> None:
    chosen = {"sft.target": 0.0, "sft.reading": 0.0, "sft.max_steps": 2, "sft.check_episodes": 4, "sft.enabled": True}
    small = {"train.updates": 2, "train.envs": 2, "train.turns": 2, "train.eval_episodes": 2, "report.trackers": ()}
    config = settings(**{"policy.model": "tiny-llava", "runs": str(tmp_path), **chosen, **small})
    run = Run(train(config))
    begun = sft.competence_of(config)
    shares = tuple(begun[mode][0] / 4 for mode in ("sampled", "greedy"))
    first, second = run.metrics()
    assert (first["sft/success_sampled"], first["sft/success_greedy"]) == shares
    assert "sft/success_sampled" not in second
    assert run.starts()[0]["starting_agent"] == begun
    assert sft.competence_of(changed(config, **{"sft.enabled": False})) == {}
    assert sft.competence_of(changed(config, **{"sft.seed": 5})) == {}


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "3", "[" * 100_000, "{}", '{"competence": 3}', '{"competence": {}}'),
        *(json.dumps({"competence": {"target": 1, "sampled": one, "greedy": [1, 2]}}) for one in ([3, 2], [1], "ab")),
        '{"competence": {"target": "x", "sampled": [1, 2], "greedy": [1, 2]}}',
    ],
)
def test_a_damaged_note_of_how_able_the_start_was_is_as_none(text: str, settings: Settings, tmp_path: Path) -> None:
    config = settings(**{"sft.enabled": True, "runs": str(tmp_path)})
    folder = tmp_path / "agents" / sft.agent_name(config)
    folder.mkdir(parents=True)
    whole = {"target": 0.1, "sampled": [1, 2], "greedy": [2, 2]}
    (folder / "competence.json").write_text(json.dumps({"competence": whole}))
    assert sft.competence_of(config) == whole
    (folder / "competence.json").write_text(text)
    assert sft.competence_of(config) == {}


# -- the stages ---------------------------------------------------------------------------------------------------
def test_the_split_into_forward_passes_changes_nothing(
    make_policy: MakePolicy, settings: Settings, prompts: list[Prompt]
) -> None:
    found = []
    for size in (8, 3):
        policy = make_policy()
        stages.Trainer(policy, settings(**{"train.minibatch": size, "sft.lr": 1e-3})).step(lessons(policy, prompts))
        found.append([p.grad.clone() for p in policy.network.model.parameters() if p.grad is not None])
    for whole, parts in zip(*found, strict=True):
        torch.testing.assert_close(whole, parts, atol=1e-6, rtol=1e-3)


def test_the_examples_are_the_experts(settings: Settings) -> None:
    config = settings(task="points24", **{"task.hands": 4})
    task = tasks.load(config.task)
    examples = sft.expert_examples(task, 3, np.random.default_rng(1))
    assert sum('"action": "="' in example.reply for example in examples) == 3, "every episode is played to its end"
    for example in examples:
        assert example.reply.startswith(example.reading)
        assert json.loads(example.reading + "}") == {"cards": example.truth.state["Numbers"]}


@pytest.mark.slow
def test_the_warm_up_teaches_to_read(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers of 300 held-out pictures, of which a guess names 1 in 30."""
    monkeypatch.setattr(stages, "WARM_UP_IMAGES", 600)
    config = settings(**{"policy.model": "tiny-llava", "sft.max_steps": 75, "sft.reading": 0.6})
    folder = Path(sft.starting_agent(config))
    policy = load_policy(folder, replace(config.policy, freeze_vision=False), 0)
    measured = stages.warm_up(policy, tasks.load(config.task), config, np.random.default_rng(0))
    assert measured["exact"] >= 0.6
    assert measured["steps"] < 75


# -- where it stops -----------------------------------------------------------------------------------------------
BROKEN = Path(__file__).parents[1] / "check" / "broken.py"


def test_the_target_is_what_the_settings_say(settings: Settings) -> None:
    assert competence.target_of(settings(**{"sft.target": 0.07})) == competence.Target(0.07, 0.0)


def test_the_target_lies_above_random_play(settings: Settings) -> None:
    config = settings(**{"sft.target": None, "sft.check_episodes": 100})
    found = competence.target_of(config)
    assert 0.3 < found.random < 0.9
    assert found.success == pytest.approx(found.random + 0.1 * (1 - found.random))


def test_sft_asks_for_a_success() -> None:
    config = changed(presets.build("gtr", f"{BROKEN}:NoSuccess"), **{"sft.check_episodes": 4})
    with pytest.raises(TaskError, match=r"does not say what success is.*--sft\.enabled False"):
        competence.target_of(config)

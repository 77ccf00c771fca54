"""The corrector as a Hugging Face model in this process: tiny real models, one of them taught a whole answer."""

import json
import shutil
import time
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

pytest.importorskip("openai")
from chat_cases import case_of, load, misread, right
from chat_cases import settings as chat_settings

from gtr import cli
from gtr.config import CorrectorConfig
from gtr.errors import CorrectorError, PolicyError
from gtr.guidance import make_corrector
from gtr.guidance.chat.local import Generator, _Sampler
from gtr.guidance.chat.questions import Corrections, picture
from gtr.policy import tiny
from gtr.types import Judgement

THOUGHT = {"target": 4, "current": 2, "thoughts": "4 is more than 2, so the next action is +"}
ANSWER = {
    "seen": "two numbers",
    "checks": {"perception": False, "step": False},
    "evaluation": "NO",
    "possible_solution": "YES",
    "correction": THOUGHT,
    "action": "+",
}


def local(model, **corrector):
    chosen = {"model": str(model), "temperature": 0.0, "max_tokens": 40, **corrector}
    config = chat_settings(None, "numberline", **chosen)
    return replace(config, guidance=replace(config.guidance, corrector="local"))


def chat(task, case, config):
    question = Corrections(task, config.corrector).question(case, None)
    return [{"role": "system", "content": question.system}, question.message(config.corrector)]


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """A tiny LLaVA that was taught one answer by heart, and gives it whatever is asked."""
    task = load(local("none"))
    rng = np.random.default_rng(0)
    noise = ["".join(map(chr, rng.integers(32, 127, size))) for size in range(4, 36, 4)]
    kinds = [kind for one in noise for kind in (right, misread, one)]
    chats = [chat(task, case_of(task, kind, seed=seed), local("none")) for seed, kind in enumerate(kinds)]
    answer = json.dumps(ANSWER)
    texts = [part["text"] for _, user in chats for part in user["content"] if part["type"] == "text"]
    folder = tmp_path_factory.mktemp("taught") / "model"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny, "VOCABULARY", 1500)  # Long tokens: a whole question is a few dozen.
        patch.setattr(tiny, "FEW_WORDS", 10**6)
        tiny.build("tiny-llava", [*texts, chats[0][0]["content"], answer], 72, 0, folder)
    generator = Generator(CorrectorConfig(model=str(folder), device="cpu"))
    policy = generator._model
    policy.network.requires_grad_(True).train()
    optimizer = torch.optim.AdamW(policy.network.model.parameters(), lr=3e-3)
    reply = policy.encode_reply(answer)
    for step in range(80):
        rows = [generator._encode(chats[(step * 4 + i) % len(chats)]) for i in range(4)]
        ids, mask = policy.pad([reply] * 4)
        scores = policy.network(tiny_batch(rows, policy), ids, mask, torch.ones(4))
        loss = -scores.logprobs.sum() / mask.sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if loss < 0.002:
            break
    policy.save(folder)
    return folder


def tiny_batch(rows, policy):
    from gtr.policy.prompts import stack

    return stack(rows, policy.pad_id)


@pytest.fixture
def batches(monkeypatch):
    """The sizes of the batches that are written."""
    sizes = []
    answer = Generator.answer

    def noted(self, chats):
        sizes.append(len(chats))
        return answer(self, chats)

    monkeypatch.setattr(Generator, "answer", noted)
    return sizes


def test_judges_in_batches_records_and_never_asks_twice(taught, tmp_path, batches):
    config = local(taught, batch=4, temperature=0.2)
    task = load(config)
    every = (case_of(task, misread, seed=seed, env=seed) for seed in range(40))
    cases = list({case.text: case for case in every}.values())[:6]
    corrector = make_corrector(config, task, tmp_path)
    verdicts = [future.result(120) for future in corrector.judge(cases)]
    values = corrector.metrics()
    corrector.close()
    assert {verdict.judgement for verdict in verdicts} == {Judgement.INCORRECT}
    assert all(verdict.thought == THOUGHT for verdict in verdicts)
    assert sum(batches) == values["corrector/requests"] == 6
    assert max(batches) == 4
    assert (values["corrector/usd"], values["corrector/failed"]) == (0, 0)
    assert values["corrector/tokens_in"] > values["corrector/tokens_out"] > 6 * 10
    again = make_corrector(config, task, tmp_path)
    assert [future.result(20) for future in again.judge(cases)] == verdicts
    again.close()
    assert sum(batches) == 6


def test_nonsense_is_sent_back_once_and_counted(build_model, tmp_path):
    config = local(build_model("tiny-llava", "numberline"), max_tokens=6)
    task = load(config)
    corrector = make_corrector(config, task, tmp_path)
    verdict = corrector.judge([case_of(task, misread)])[0].result(120)
    values = corrector.metrics()
    corrector.close()
    assert verdict.judgement is Judgement.ABSENT
    counted = {name: values[f"corrector/{name}"] for name in ("requests", "repairs", "invalid", "failed")}
    assert counted == {"requests": 2, "repairs": 1, "invalid": 1, "failed": 0}


@pytest.mark.parametrize(("kind", "most"), [("tiny-llava", 3), ("tiny-llava-next", 2), ("tiny-qwen2.5-vl", 1)])
def test_an_answer_depends_on_its_chat_alone(kind, most, build_model):
    """Neither on the batch nor on torch's random numbers, which belong to the agent; several pictures are understood.

    The tiny Qwen is shown one: its template puts pictures side by side, which the real one's never does.
    """
    generator = Generator(CorrectorConfig(model=str(build_model(kind, "numberline")), max_tokens=8, temperature=1.0))
    rng = np.random.default_rng(0)
    images = [picture(rng.integers(0, 256, (96, 96, 3), dtype=np.uint8), CorrectorConfig()) for _ in range(3)]
    system = {"role": "system", "content": "Judge <image> </s>."}
    texts = [{"type": "text", "text": f"{number} or {'more ' * number}<|image_pad|>"} for number in range(3)]
    shown = (images[:1], images[1 : 1 + most], images[:most])
    chats = [[system, {"role": "user", "content": [text, *of]}] for text, of in zip(texts, shown, strict=True)]
    state = torch.get_rng_state()
    alone = [generator.answer([one])[0] for one in chats]
    torch.manual_seed(7)
    together = generator.answer(chats[::-1])[::-1]
    assert [one.text for one in together] == [one.text for one in alone]
    assert len({one.text for one in alone}) > 1
    assert [one.tokens.sent for one in together] == [one.tokens.sent for one in alone]
    torch.set_rng_state(state)
    generator.answer(chats)
    assert torch.equal(torch.get_rng_state(), state)


def test_tokens_are_drawn_from_the_tempered_distribution():
    logits, temperature, draws = torch.tensor([2.0, 1.0, 0.0, -1.0]), 0.7, 4000
    sampler = _Sampler(temperature, range(draws), torch.device("cpu"))
    chosen = sampler(torch.zeros(draws, 1, dtype=torch.long), logits.repeat(draws, 1)).argmax(-1)
    counts = Counter(chosen.tolist())
    for token, expected in enumerate(torch.softmax(logits / temperature, 0).tolist()):
        error = (expected * (1 - expected) / draws) ** 0.5
        assert abs(counts[token] / draws - expected) < 4 * error


@pytest.mark.parametrize(
    "template",
    [
        "{% for m in messages %}{% if m.role != 'system' %}{% for p in m.content %}{{ p.text }}"
        "{% if p.type == 'image' %}<image>{% endif %}{% endfor %}{% endif %}{% endfor %}",
        "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
        "{% for m in messages %}{% for p in m.content %}{{ p.text }}{% if p.type == 'image' %}<image>{% endif %}"
        "{% endfor %}{% endfor %}",
    ],
    ids=["ignored", "refused"],
)
def test_rules_reach_models_whose_template_knows_no_system_role(template, build_model, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(build_model("tiny-llava", "numberline"), folder)
    (folder / "chat_template.jinja").write_text(template)
    generator = Generator(CorrectorConfig(model=str(folder)))
    says = [
        {"role": "system", "content": "the rules"},
        {"role": "user", "content": [{"type": "text", "text": "the turn"}]},
    ]
    asked = [{"role": one["role"], "content": generator._for_template(one)} for one in says]
    assert generator._templated(asked) == "the rules\n\nthe turn"
    (folder / "chat_template.jinja").write_text("{{ messages[0].content[0].text }}")
    with pytest.raises(CorrectorError, match="no usable chat template: it leaves out"):
        Generator(CorrectorConfig(model=str(folder)))._templated(asked)


def test_mistakes_are_named(build_model):
    task = load(local("x"))
    with pytest.raises(CorrectorError, match=r"corrector\.model: 'nowhere' is no folder"):
        make_corrector(local("nowhere"), task)
    with pytest.raises(CorrectorError, match=r"corrector\.device cuda:9 cannot be used"):
        make_corrector(local(build_model(), device="cuda:9"), task)


def test_close_ends_what_is_being_written(build_model, tmp_path):
    config = local(build_model("tiny-llava", "numberline"), max_tokens=100_000)
    task = load(config)
    corrector = make_corrector(config, task, tmp_path)
    future = corrector.judge([case_of(task, misread)])[0]
    time.sleep(1)
    assert not future.done()
    started = time.monotonic()
    corrector.close()
    assert time.monotonic() - started < 10
    assert isinstance(future.exception(5), CorrectorError)


def test_a_question_that_ends_badly_is_settled_and_ends_no_other(build_model, tmp_path, monkeypatch):
    config = local(build_model("tiny-llava", "numberline"))
    task = load(config)
    corrector = make_corrector(config, task, tmp_path)
    answer, stumbles = Generator.answer, [RuntimeError("the device is gone"), PolicyError("no template")]

    def stumbling(self, chats):
        if stumbles:
            raise stumbles.pop()
        return answer(self, chats)

    monkeypatch.setattr(Generator, "answer", stumbling)
    ends = [corrector.judge([case_of(task, misread, env=env)])[0].exception(60) for env in range(2)]
    assert {str(one) for one in ends} == {"the device is gone", "no template"}
    assert not corrector.ledger._open
    assert corrector.judge([case_of(task, misread, env=3)])[0].exception(60) is None, "it still serves"
    corrector.close()


@pytest.mark.slow
def test_examined_and_trained_under(taught, settings, tmp_path, capsys):
    words = f"corrector-eval --task numberline --who local --thoughts 3 --corrector.model {taught} --task.image_size 64"
    words += f" --task.prompt compact --corrector.temperature 0 --corrector.max_tokens 40 --json {tmp_path}/found.json"
    assert cli.run(words.split()) == 0
    found = {one["kind"]: one for one in json.loads((tmp_path / "found.json").read_text())["scores"]}
    assert found["correct"]["found"]["estimate"] == 0, "it finds fault with everything"
    assert found["misread"]["found"]["estimate"] == 1
    assert "per 1,000 turns" in capsys.readouterr().out

    from gtr.train import train

    asked = {"guidance.corrector": "local", "guidance.stop_early": False, "corrector.model": str(taught)}
    asked |= {"corrector.temperature": 0.0, "corrector.max_tokens": 40, "train.updates": 1}
    run = train(settings("gtr", "numberline", **asked))
    values = json.loads((run / "metrics.jsonl").read_text().splitlines()[0])
    assert values["guidance/lesson"] > 0
    assert values["loss/cloning"] > 0
    assert values["corrector/requests"] > 0

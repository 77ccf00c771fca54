"""Every door by which text from outside comes in, but for the files of a run folder: see `campaign.damage`.

A row is a door: good texts to spoil, what is done with one, and the errors that are promised answers.
"""

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import chat_cases
from hostile import DATES

from campaign import inputs
from campaign.inputs import NASTY
from gtr import tasks
from gtr.config import CorrectorConfig, presets
from gtr.config.checks import validate
from gtr.config.files import over, read_file
from gtr.config.io import config_from_dict, config_to_dict
from gtr.engine import server as vllm
from gtr.engine import teacher as teaching
from gtr.engine.request import _Answer, answered
from gtr.engine.teacher import _Rendered, _Scored
from gtr.errors import ConfigError, GtrError, TaskError
from gtr.guidance.chat.answers import BadAnswer, read_answer
from gtr.guidance.chat.client import Client
from gtr.guidance.chat.conversation import _Colour, _whole_json, tool_of
from gtr.guidance.chat.costs import Ledger, price_of
from gtr.guidance.chat.dispatch import VerdictCache
from gtr.guidance.chat.model import Failure
from gtr.guidance.chat.questions import Comparisons, Corrections, Scores
from gtr.guidance.chat.response import read_completion, redactor, retry_after
from gtr.guidance.oracle import OracleCorrector
from gtr.imports import load_class
from gtr.play.game import Game
from gtr.report.files import encode
from gtr.report.inside import Unreadable, parsed
from gtr.report.text import visible
from gtr.tasks.alfworld.games import read_game
from gtr.tasks.formats import FORMATS
from gtr.tasks.reply import write
from gtr.tasks.task import Task

GAMES = ("numberline", "ezpoints", "points24", "blackjack")
SLOW = ("points24",)
"""Games whose solver takes milliseconds: they get fewer inputs."""
EXAMPLE = Path(__file__).parents[1] / "examples" / "dots.py"


@dataclass(frozen=True)
class Door:
    """Where text comes in."""

    name: str
    corpus: Sequence[str]
    take: Callable[[str], Any]
    allowed: tuple[type[BaseException], ...] = ()
    weight: float = 1.0
    """Share of the inputs; less where one takes long."""
    seconds: float = 5.0
    """What one input may take."""
    make: Callable[[Random, Sequence[str]], str] = inputs.text


def doors(place: Path) -> list[Door]:
    """All of them; files that they read are written below `place`."""
    place.mkdir(parents=True, exist_ok=True)
    made: list[Door] = []
    for name in GAMES:
        for form in FORMATS:
            made += game(name, form)
    return [*made, *server(), engine(), *files(place), *words(place)]


# -- games: replies, actions, corrections, verdicts, judges' answers --------------------------------------------------
def game(name: str, form: str) -> Iterator[Door]:
    """What an agent, a corrector, a judge or a person may say in a game; the latter in its first format alone."""
    task = tasks.load(replace(tasks.settings(name), format=form))
    dealt = (chat_cases.case_of(task, "{}", seed=seed) for seed in range(12))
    helped = [(one, expert) for one in dealt if (expert := task.expert(one.truth)) is not None]
    cases = [replace(one, text=task.write(expert.thought, expert.action)) for one, expert in helped]
    corpus = [case.text for case in cases] + [chat_cases.misread(task, cases[0].truth)]
    oracle = OracleCorrector(task)

    def replied(text: str) -> None:
        case = cases[len(text) % len(cases)]
        read = task.parse(text, len(text) % 7 > 0)
        known = replace(case, env=0, episode=len(text), text=text, parsed=read)
        oracle.judge([known])[0].result()
        target = task.stated_plan(case.truth, read)
        for plan in (None, target, text):
            task.check(case.truth, read, plan)
            task.plan_reachable(case.truth, plan)
        task.implied_action(read, case.observation)
        encode(dict(read.fields))
        visible(text)

    def acted(text: str) -> None:
        case = cases[len(text) % len(cases)]
        task.to_env(text, case.observation)
        task.action_in(text, case.observation)
        task.same_action(text, cases[0].text)
        task.fits(case.observation, text)
        task.expert(case.truth, text)

    share = 0.1 if name in SLOW else 1.0
    yield Door(f"replies, {name}, {form}", corpus, replied, weight=3 * share)
    if form != "json":
        return
    yield Door(f"actions, {name}", [*task.actions(cases[0].observation), "1", "(", "hit", "10"], acted)
    yield from judged(name, task, cases)
    played = Game(presets.build("gtr", name), 1)

    def typed(text: str) -> None:
        if played.over:
            played.deal()
        played.play(text).account()

    yield Door(f"a person's replies, {name}", corpus, typed, weight=share)


def judged(name: str, task: Task, cases: Sequence[Any]) -> Iterator[Door]:
    """Answers of correctors and judges."""
    kept = CorrectorConfig()
    questions = {
        "corrections": Corrections(task, kept).question(cases[0], None),
        "corrections to a plan": Corrections(task, kept).question(cases[0], "1"),
        "judges' scores": Scores(task).question(cases[0]),
        "judges' comparisons": Comparisons(task).question(cases[0], cases[1]),
    }
    expert = task.expert(cases[0].truth)
    assert expert is not None
    passed = dict.fromkeys(task.corrector_spec().questions, True)
    answer = {"seen": "it", "checks": passed, "evaluation": "NO", "possible_solution": "YES", "target": expert.target}
    corpus = [json.dumps({**answer, "correction": dict(expert.thought), "action": expert.action})]
    corpus += [json.dumps({**answer, "evaluation": "YES", "correction": None, "action": None})]
    corpus += [json.dumps({"seen": "it", "checks": passed, "score": 7})]
    corpus += [json.dumps({"seen_first": "a", "seen_second": "b", "better": "first"})]
    for kind, question in questions.items():

        def take(text: str, question: Any = question) -> None:
            verdict = question.read(read_answer(text, question.form))
            if verdict.thought is not None:
                usable(write(verdict.thought, verdict.action or ""))

        yield Door(f"{kind}, {name}", corpus, take, (BadAnswer,))
    for function in task.corrector_spec().tools:
        yield Door(f"a tool's arguments, {name}", ['{"cards": [2, 4, 4, 10], "current": "2*"}'], tool_of(function).run)


def usable(text: str) -> None:
    """A lesson is text that tokenizers take."""
    text.encode()
    assert not [letter for letter in text if ord(letter) < 32 or 127 <= ord(letter) < 160], "control characters"


# -- servers: completions, usage, Retry-After, prices -----------------------------------------------------------------
def server() -> Iterator[Door]:
    """What an API may send beside the answers themselves."""
    usage = {"prompt_tokens": 9, "completion_tokens": 9}
    call = {"id": "1", "type": "function", "function": {"name": "x", "arguments": "{}"}}
    choices = [{"message": {"content": "hello", "tool_calls": [call]}, "finish_reason": "stop"}]
    redact = redactor("sk-0123456789")

    def completed(text: str) -> None:
        said, taken = read_completion(text.encode(errors="surrogatepass"), redact)
        usable_text = said.text + "".join(one.name + one.arguments for one in said.tool_calls)
        usable_text.encode()
        assert taken is None or 0 <= taken.sent <= 1e15 >= taken.written >= 0, taken

    def waited(text: str) -> None:
        for header in ("retry-after", "retry-after-ms"):
            seconds = retry_after({header: text})
            assert seconds is None or 0 <= seconds < float("inf"), seconds

    yield Door("completions", [json.dumps({"choices": choices, "usage": usage})], completed, (Failure,), 2)
    yield Door("usage", [json.dumps({"choices": choices, "usage": usage})], completed, (Failure,), make=only_usage)
    yield Door("Retry-After", [*DATES, "Wed, 21 Oct 2015 07:28:00 GMT", "12"], waited)
    yield Door("names of models", ["gpt-4o", "gpt-4o-2024-11-20"], lambda text: price_of(CorrectorConfig(model=text)))
    budget = CorrectorConfig(budget_usd=3.0)
    priced = Door("prices", ["gpt-4o"], lambda text: price_of(replace(budget, model=text)), (ConfigError,))
    yield priced
    config = presets.build("gtr", "points24")

    def called(text: str) -> None:
        chosen = replace(config.corrector, base_url=text)
        validate(replace(config, corrector=chosen))

        async def made() -> None:
            await Client(chosen, None, Ledger(None, None)).close()

        asyncio.run(made())

    addresses = ["http://localhost:8000/v1", "https://[::1]:80/x", "http://a.b"]
    yield Door("addresses of correctors", addresses, called, (GtrError,), 0.05)
    yield Door("structure", ['{"hue_name": "a", "wavelength_guess": 1}'], colour, (BadAnswer,))


def engine() -> Door:
    """What a vLLM server may answer, to whoever samples or scores."""
    asked = vllm.Server("http://127.0.0.1:9", 1.0, 1.0, 1)
    token = {"logprob": -0.5, "rank": 1, "decoded_token": "a"}
    corpus = [
        {"data": [{"id": "model"}]},
        {"prompt_token_ids": [1, 2], "choices": [{"token_ids": [3], "logprobs": {"content": [token]}}]},
        {"token_ids": [1, 2], "features": {"mm_hashes": {"image": ["h"]}, "kwargs_data": {"image": ["AAAA"]}}},
        {"prompt_token_ids": [1, 2, 3], "prompt_logprobs": [None, {"2": token}, {"3": token, "4": {"logprob": -3.0}}]},
    ]

    def tried(text: str) -> None:
        asked._call = lambda *given: text.encode(errors="surrogatepass")  # type: ignore[method-assign]
        for kind in (_Answer, _Rendered, _Scored):
            with contextlib.suppress(vllm.Failure):
                found = answered(kind, asked, asked.complete({}))
                for row in filter(None, getattr(found, "prompt_logprobs", ())):
                    for token in row:
                        told = {one: place.logprob for one, place in row.items()}
                        assert -1e9 < teaching.tempered(told, 0.2)[token] < 1e4
        with contextlib.suppress(vllm.Failure):
            asked.load(Path("weights"))
        asked.models()[0].encode()

    return Door("answers of vLLM servers", [json.dumps(one) for one in corpus], tried, (vllm.Failure,))


def colour(text: str) -> None:
    """What tells whether a server keeps to a form."""
    read_answer(text, _Colour)
    _whole_json(text)


def only_usage(random: Random, corpus: Sequence[str]) -> str:
    """A completion that is right but for its usage."""
    found = json.loads(corpus[0])
    found["usage"] = "@"
    numbers = ["1e999", "-1", "9" * 400, "1e15", "0", "true", "null", '"9"', "[]", "0.5", str(random.randrange(10**18))]
    pick = random.choice
    value = pick([f'{{"prompt_tokens": {pick(numbers)}, "completion_tokens": {pick(numbers)}}}', pick(numbers), "{}"])
    return json.dumps(found).replace('"@"', value)


# -- files: settings, tasks, ledgers, verdicts ------------------------------------------------------------------------
def files(place: Path) -> Iterator[Door]:
    """Files that a user names, or that a corrector kept."""
    config = config_to_dict(presets.build("gtr", "points24"))
    whole = json.dumps(config)
    toml = '[train]\nlr = 1e-4\nupdates = 3\n[task]\nname = "ezpoints"\nhands = 24\n'
    yaml = "train:\n  lr: 1e-4\n  adam_betas: [0.9, 0.95]\ntask: {name: ezpoints, hands: 24}\nseed: 3\n"
    base = presets.build("gtr", "ezpoints")

    def read(ending: str) -> Callable[[str], None]:
        path = place / f"settings{ending}"

        def take(text: str) -> None:
            path.write_bytes(text.encode(errors="surrogatepass"))
            over(base, read_file(path))

        return take

    for ending, corpus in ((".toml", [toml]), (".yaml", [yaml, whole]), (".json", [whole, '{"train": {"lr": 1e-4}}'])):
        yield Door(f"settings {ending}", corpus, read(ending), (ConfigError,), 0.1)
    old = json.dumps({**config, "ppo": {"clip": 0.1}, "task": {"name": "ezpoints", "options": {"kinds": "pick,heat"}}})
    yield Door("config.json", [whole, old], settled, (GtrError,), 0.4)
    yield from kept(place)
    yield Door("task files", [EXAMPLE.read_text()], own_task(place), (TaskError,), 0.02)
    game = {"pddl_domain": "(a)", "grammar": "g", "pddl_problem": "(define (:goal (and)))", "walkthrough": ["look"]}
    file = place / "game.tw-pddl"

    def household(text: str) -> None:
        file.write_bytes(text.encode(errors="surrogatepass"))
        read_game(file)

    yield Door("game files", [json.dumps(game)], household, (TaskError,))


def settled(text: str) -> None:
    """A run's settings."""
    try:
        values = parsed(text.encode(errors="surrogatepass"))
    except Unreadable:
        return
    config_from_dict(values)


def kept(place: Path) -> Iterator[Door]:
    """A corrector's files."""
    verdict = {"judgement": "incorrect", "thought": {"cards": [2, 4], "thoughts": "x"}, "action": "(", "answers": {}}
    verdict |= {"target": "2*4", "stop": False, "score": None}
    line = json.dumps({"env": 0, "episode": 0, "turn": 0, "key": "k", "source": "asked", "verdict": verdict})
    spent = '{"request": 1, "at_most": 1.0}\n{"request": 1, "outcome": "answered", "usd": 0.5, "seconds": 1}'

    def ledger(text: str) -> None:
        path = place / "requests.jsonl"
        path.write_bytes(text.encode(errors="surrogatepass") + b"\n")
        found = Ledger(path, 10.0)
        assert 0 <= found.usd + found.usd_unsure < float("inf")
        found.metrics()
        found.close()

    def verdicts(text: str) -> None:
        path = place / "verdicts.jsonl"
        path.write_bytes(text.encode(errors="surrogatepass") + b"\n")
        VerdictCache(path).close()

    yield Door("verdicts kept", [line, f"{line}\n{line}"], verdicts, (), 0.5)
    yield Door("ledgers", [spent], ledger, (), 0.1)


def own_task(place: Path) -> Callable[[str], None]:
    """A file that should hold a task: broken as files are, never a program of another kind."""
    number = iter(range(10**9))

    def take(text: str) -> None:
        path = place / f"own{next(number)}.py"
        path.write_bytes(text.encode(errors="surrogatepass"))
        try:
            compile(text, "own.py", "exec")
        except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
            load_class(f"{path}:DotsTask", Task, "task", TaskError)
        finally:
            path.unlink()

    return take


# -- words: paths of classes, pages' requests -------------------------------------------------------------------------
def words(place: Path) -> Iterator[Door]:
    """What is typed, or asked of a page."""
    import show_cases

    from gtr.play.browser import application
    from gtr.report import Run
    from gtr.show.server import make_app

    yield Door("names of tasks", ["points24", "a.b:C", "x.py:C", "os:path"], tasks.find, (GtrError,), 0.2)
    run = show_cases.write_run(place)
    gets = ["/", "/api/overview", "/api/version", "/api/parts/0/-1", "/api/turns/0/1/0/0", "/api/panel/0/0"]
    gets += ["/api/study", "/api/play/0/0/0", "/api/probe/0/1", "/page/app.js", "/nothing"]
    gets += ["/image/0/00000000000000000000.png"]
    page = make_app([Run(run)])
    corpus = [f"GET {path}\nhost: localhost" for path in gets]
    yield Door("requests of gtr show", corpus, lambda text: ask(page, text), (), 0.2)
    played = application(Game(presets.build("gtr", "ezpoints"), 1), 10**9)
    form = "token=x&whole=%7B%22a%22%3A1%7D&thought.cards=[1]&action=1"
    head = "host: 127.0.0.1\norigin: http://127.0.0.1"
    corpus = [f"POST {path}\n{head}\n\n{form}" for path in ("/turn", "/deal", "/expert")] + [f"GET /\n{head}"]
    yield Door("requests of gtr play", corpus, lambda text: ask(played, text), (), 0.2)


def ask(app: Any, text: str) -> None:
    """One HTTP request to an application, as a server hands it on; the answer must not be its failure."""
    head, _, body = text.partition("\n\n")
    first, *lines = head.split("\n")
    method, _, path = first.partition(" ")
    path, _, query = path.partition("?")
    headers = [(name.strip().lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    scope = {
        **{"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http", "root_path": ""},
        **{"method": method.upper(), "path": path, "raw_path": path.encode(errors="replace")},
        "query_string": query.encode(errors="replace"),
        "headers": [(name.encode("latin-1", "replace"), value.encode("latin-1", "replace")) for name, value in headers],
        **{"client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80)},
    }
    parts = [{"type": "http.request", "body": body.encode(errors="replace"), "more_body": False}]
    sent: list[Any] = []

    async def receive() -> Any:
        return parts.pop(0) if parts else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    assert sent, "no answer"
    assert sent[0]["status"] < 500, sent[0]["status"]


__all__ = ["NASTY", "Door", "doors"]

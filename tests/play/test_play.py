"""A person at the game: what they type is read, judged and played as an agent's reply is."""

import io
import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pictures
from rich.console import Console
from toys import Scripted

from gtr import tasks
from gtr.cli import run
from gtr.cli.play import parse_play
from gtr.config.presets import build
from gtr.play.game import Game, choices, value_of
from gtr.play.terminal import blocks, play
from gtr.rollout import Collector

EXAMPLE = str(Path(__file__).parents[2] / "examples" / "dots.py") + ":DotsTask"
BUILT_IN = ("numberline", "ezpoints", "points24", "blackjack")


def game(task: str = "ezpoints", seed: int = 1) -> Game:
    return Game(build("gtr", task, "7b"), seed)


def session(lines: Sequence[str], folder: Path, task: str = "ezpoints", episodes: int = 1, **console: bool) -> str:
    """What a terminal shows to a person who types these lines and then ends the input."""
    typed = iter(lines)
    out = io.StringIO()

    def ask() -> str:
        try:
            return next(typed)
        except StopIteration:
            raise EOFError from None

    with closing(game(task)) as one:
        play(one, episodes, folder, Console(file=out, width=100, highlight=False, **console), ask)
    return out.getvalue()


# -- the game ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", [*BUILT_IN, EXAMPLE])
def test_the_experts_moves_are_right_in_every_game(task: str) -> None:
    with closing(game(task)) as one:
        while not one.over and (reply := one.expert()) is not None:
            played = one.play(reply)
            assert played.verdict is not None
            assert played.verdict.judgement == "correct", played.account()
            assert played.turn.legal
        assert one.total == sum(played.turn.reward for played in one.turns)


def test_a_person_sees_what_environment_0_of_training_deals() -> None:
    config = build("rl4vlm", "points24", "7b")
    agent = Scripted(lambda prompt, calls: '{"thoughts": "", "action": "nothing"}')
    agent.values = lambda prompts: [0.0 for _ in prompts]  # type: ignore[method-assign]
    envs = Collector(tasks.load(config.task), agent, None, config).envs  # type: ignore[arg-type]
    with closing(game("points24", config.seed)) as one:
        assert np.array_equal(one.prompt.image, envs.states[0].prompt.image)
        assert one.prompt.text == envs.states[0].prompt.text
    envs.close()


def test_the_same_oracle_and_rewards_as_in_training() -> None:
    """By hand: EZPoints, any hand; a plan that is not 12, a lie about the cards, an action that is no card."""
    with closing(game()) as one:
        expert = json.loads(one.expert() or "")
        lie = {**expert, "cards": [1, 1]}
        played = one.play(json.dumps(lie))
        assert played.verdict is not None
        assert dict(played.verdict.answers)["perception"] is False
        said = played.account()
        assert (said["verdict"], said["reply"]) == ("wrong", "complete")
        assert "perception WRONG" in said["checks"]
        assert json.loads(said["correction"])["cards"] == expert["cards"]
        assert played.turn.reward == 0
        again = one.play(one.written({}, "banana"))
        assert (again.turn.legal, again.turn.reward) == (False, -1.0)
        assert again.account()["action"] == "banana (not legal here)"
        assert again.account()["allowed"].startswith("'1', '2', ")
        assert again.account()["allowed"].endswith(" more")
        assert one.play("no object at all").account()["reply"] == "not readable as one JSON object"


def test_a_bare_action_is_judged_by_itself() -> None:
    """NumberLine: the one right move, then the wrong way, then no move at all."""
    with closing(game("numberline")) as one:
        right = json.loads(one.expert() or "")["action"]
        other = {"+": "-", "-": "+"}[right]
        assert (
            one.act(other).account()["verdict"] == f"another action than the expert's; the expert would play {right!r}"
        )
        assert one.act("up").account()["verdict"] == f"wrong: it is not allowed; the expert would play {right!r}"
        played = one.act(right)
        assert (played.account()["verdict"], played.verdict) == ("right", None)
        assert "checks" not in played.account(), "nothing was thought"
        while not one.over:
            one.act(json.loads(one.expert() or "")["action"])
        assert one.turns[-1].account() == {**one.turns[-1].account(), "verdict": "right", "episode": "terminated, won"}


def test_an_action_that_loses_is_told() -> None:
    with closing(game("ezpoints")) as one:
        said = one.act("=").account()["verdict"]
        assert said.startswith("wrong: it loses the game; the expert would play ")


def test_the_nearest_allowed_actions_are_named_first() -> None:
    allowed = [f"go to desk {number}" for number in range(20)] + ["open drawer 3"]
    said = choices("opn drawer 3", allowed)
    assert said.startswith("'open drawer 3', 'go to desk ")
    assert said.endswith(", and 9 more")


def test_plans_are_kept_and_returns_are_counted() -> None:
    with closing(game("ezpoints")) as one:
        for _ in range(2):
            while not one.over:
                one.play(one.expert() or one.written({}, one.allowed()[0]))
            one.deal()
        assert one.returns == [10.0, 10.0]
        assert one.won == 2
        assert (one.episode, one.turns, one.total) == (2, [], 0.0)


def test_what_is_typed_into_a_field() -> None:
    assert [value_of(text) for text in ("[3, 9]", "5", "next 3", "true", "", '{"a": 1}', "1.5")] == [
        [3, 9], 5, "next 3", "true", "", {"a": 1}, "1.5",
    ]  # fmt: skip


# -- in the terminal --------------------------------------------------------------------------------------------------


def test_a_session_in_a_terminal(tmp_path: Path) -> None:
    text = session(["?", "banana", "!", "!", "!", "!"], tmp_path)
    assert "Type a whole reply" in text
    assert "prompt of turn 0:" in text
    assert text.count('"thoughts": ') >= 2
    assert "banana (not legal here)" in text
    assert re.search(r"allowed +'1', '2', ", text)
    assert re.search(r"verdict +wrong", text)
    assert re.search(r"verdict +right", text)
    assert re.search(r"episode +terminated, won", text)
    assert "1 episodes ended, 1 won, mean return 9" in text
    files = sorted(tmp_path.glob("episode0-turn*.png"))
    assert len(files) == 6
    assert f"picture: {files[0]}" in text
    with closing(game()) as one:
        assert np.array_equal(np.asarray(Pictures.open(files[0])), one.prompt.image)


def test_an_object_may_go_on_over_several_lines_and_q_leaves(tmp_path: Path) -> None:
    text = session(['{"cards": [1, 2],', '"formula": "1+2=",', '"thoughts": "x", "action": "1"}', "q"], tmp_path)
    assert re.search(r"reply +complete", text)
    assert "0 episodes ended" in text
    text = session(['{"cards": [1,', "", "q"], tmp_path)
    assert re.search(r"reply +not readable as one JSON object", text)


def test_what_is_typed_cannot_steer_the_terminal(tmp_path: Path) -> None:
    text = session(['{"cards": 1, "formula": "", "thoughts": "", "action": "\x1b[2J\u202e[red]"}', "q"], tmp_path)
    assert "\x1b" not in text
    assert r"\x1b[2J\u202e[red] (not legal here)" in text


def test_the_picture_in_half_blocks(tmp_path: Path) -> None:
    image = np.zeros((40, 40, 3), np.uint8)
    image[:20] = (255, 0, 0)
    image[20:, 20:] = (0, 0, 255)
    out = io.StringIO()
    Console(file=out, width=20, force_terminal=True, color_system="truecolor").print(blocks(image, 4))
    red, black, blue = ("255;0;0", "0;0;0", "0;0;255")
    cells = re.findall(r"\x1b\[38;2;([\d;]+);48;2;([\d;]+)m▀", out.getvalue())
    assert cells == [(red, red)] * 4 + [(black, black)] * 2 + [(blue, blue)] * 2
    assert "▀" in session(["q"], tmp_path, force_terminal=True)
    assert "▀" not in session(["q"], tmp_path)


def test_the_real_program_reads_standard_input_and_imports_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from gtr.cli import run; code = run(sys.argv[1:])\n"
        "print(code, [name for name in ('torch', 'transformers') if name in sys.modules])"
    )
    words = ["play", EXAMPLE, "--episodes", "2", "--seed", "7", "--pictures", str(tmp_path / "new" / "folder")]
    command = [sys.executable, "-c", code, *words, "--task.image-size", "64"]
    done = subprocess.run(command, input="!\n" * 40, capture_output=True, text=True, timeout=100)
    assert done.stdout.splitlines()[-1] == "0 []", done.stderr
    assert "2 episodes ended, 2 won" in done.stdout
    assert Pictures.open(tmp_path / "new" / "folder" / "episode0-turn0.png").size[0] > 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("play", "write one game first"),
        ("play points23", "did you mean 'points24'"),
        ("play points24 --episodes 0", "--episodes 0"),
        ("play ezpoints --task.hands 0", "task.hands"),
    ],
)
def test_mistakes(words: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(words.split()) == 2
    assert message in capsys.readouterr().err


def test_settings_of_the_game() -> None:
    chosen, config = parse_play(["points24", "--task.deck", "dark", "--seed", "4", "--scale", "tiny"])
    assert (chosen.task, config.task.deck, config.task.prompt, config.seed) == ("points24", "dark", "compact", 4)
    assert parse_play(["points24"])[1].task == build("gtr", "points24", "7b").task


# -- in the browser ---------------------------------------------------------------------------------------------------


@contextmanager
def served(*words: str) -> Iterator[str]:
    """The address at which the real program serves."""
    command = [sys.executable, "-m", "gtr", "play", *words, "--browser", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+/", line)
        if found is None:
            process.kill()
            raise AssertionError(line + process.communicate()[1])
        yield found[0]
    finally:
        process.terminate()
        process.communicate(timeout=60)


def fetch(address: str, fields: dict[str, str] | None = None, **headers: str) -> str:
    """The page; `fields` are sent as its form does, with the token that it holds."""
    data = None
    if fields is not None:
        fields = {"token": token(fetch(address.rpartition("/")[0] + "/")), **fields}
        data = urllib.parse.urlencode(fields).encode()
    with urllib.request.urlopen(urllib.request.Request(address, data, headers), timeout=60) as answer:
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        return str(answer.read().decode())


def token(page: str) -> str:
    (found,) = set(re.findall(r'name="token" value="([^"]+)"', page))
    return found


def test_only_the_page_itself_can_move() -> None:
    pytest.importorskip("starlette", reason="pip install 'guided-thought[show]'")
    with served("ezpoints") as address, served("ezpoints") as other:
        own = token(fetch(address))
        assert own != token(fetch(other)), "a token of its own each time"
        for place in ("turn", "expert", "deal"):
            for wrong in ("", "x", token(fetch(other))):
                with pytest.raises(urllib.error.HTTPError, match="403"):
                    fetch(address + place, {"token": wrong, "action": "1"})
            for origin in ("http://elsewhere.example", "null", other.rstrip("/"), "http://[", "file://"):
                with pytest.raises(urllib.error.HTTPError, match="403"):
                    fetch(address + place, {"action": "1"}, Origin=origin)
            with pytest.raises(urllib.error.HTTPError, match="403"):
                fetch(address + place, {"action": "1"}, **{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"})
        assert "What came of it" not in fetch(address)
        assert "What came of it" in fetch(address + "turn", {"action": "1"}, Origin=address.rstrip("/"))


@pytest.mark.parametrize("depth", [40, 400, 900, 3_000, 30_000])
def test_no_thought_is_too_deep(depth: int) -> None:
    pytest.importorskip("starlette", reason="pip install 'guided-thought[show]'")
    lists, tables = "[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth
    nested = ("[" * depth, lists, tables, "1" * depth, f"[{'9' * depth}]")
    with served("ezpoints", "--episodes", "1") as address:
        for text in nested:
            fields = {"thought.cards": text, "thought.formula": text, "action": text}
            assert "What came of it" in fetch(address + "turn", fields)
            assert "<h1" in fetch(address + "deal", {})
            assert "What came of it" in fetch(address + "turn", {"whole": f'{{"cards": {text}, "action": "1"}}'})
            assert "<h1" in fetch(address + "deal", {})


def test_the_page_from_the_first_turn_to_the_last() -> None:
    pytest.importorskip("starlette", reason="pip install 'guided-thought[show]'")
    with served("ezpoints", "--episodes", "1") as address:
        page = fetch(address)
        assert 'src="data:image/png;base64,' in page
        assert "<script" not in page
        assert 'name="thought.cards"' in page
        assert "What came of it" not in page
        page = fetch(address + "expert", {})
        expert = json.loads(unescape(re.findall(r"<pre dir=\"auto\">(.*?)</pre>", page, re.DOTALL)[-1]))
        hostile = {"thought.cards": "[1, 1]", "thought.formula": "<script>x</script>", "thought.thoughts": "\x1b[1m"}
        page = fetch(address + "turn", {**hostile, "action": "<b>"})
        assert "&lt;script&gt;x&lt;/script&gt;" in page
        assert "<script" not in page
        assert "\x1b" not in page
        assert "(not legal here)" in page
        assert "<dt>allowed</dt>" in page
        assert 'name="choice" value="10">10</button>' in page
        assert '<dd class="bad">wrong</dd>' in page
        texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in expert.items()}
        fields = {f"thought.{key}": text for key, text in texts.items()}
        page = fetch(address + "turn", {**fields, "action": expert["action"]})
        assert '<dd class="good">right</dd>' in page
        for _ in range(3):
            reply = re.findall(r"<pre dir=\"auto\">(.*?)</pre>", fetch(address + "expert", {}), re.DOTALL)[-1]
            page = fetch(address + "turn", {"whole": unescape(reply)})
        assert "terminated, won" in page
        assert "mean return 9" in page
        assert 'name="action"' not in page
        with pytest.raises(urllib.error.HTTPError, match="400"):
            fetch(address, Host="elsewhere.example")
        port = address.rstrip("/").rpartition(":")[2]
        taken = [sys.executable, "-m", "gtr", "play", "ezpoints", "--browser", "--port", port]
        done = subprocess.run(taken, capture_output=True, text=True, timeout=100)
        assert done.returncode == 2
        assert f"--port {port} cannot be used" in done.stderr


def test_an_action_by_its_button() -> None:
    pytest.importorskip("starlette", reason="pip install 'gtr[show]'")
    with served("numberline", "--episodes", "1") as address:
        assert re.findall(r'name="choice" value="(.)"', fetch(address)) == ["-", "+"]
        reply = json.loads(unescape(re.findall(r"<pre dir=\"auto\">(.*?)</pre>", fetch(address + "expert", {}))[-1]))
        page = fetch(address + "turn", {"thought.target": "", "action": "", "choice": reply["action"]})
        assert '<dd class="good">right</dd>' in page
